"""What a folder holds, for tests that compare folders."""

from pathlib import Path


def content(folder: Path) -> dict[Path, bytes]:
    """Every file below `folder`, by its path inside."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
