"""Who may import whom, and what importing the package must not load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BASE = {"errors", "atomic"}
NETWORKS = BASE | {"ops", "networks"}
LIBRARY = NETWORKS | {"checkpoints", "inference", "export", "profiling", "nnunet_trainers", "data", "metrics"}

# What each part of the package may import besides itself.
MAY_IMPORT = {
    "errors": set(),
    "atomic": set(),
    "ops": BASE,
    "networks": BASE | {"ops"},
    "data": BASE,
    "metrics": BASE,
    "checkpoints": NETWORKS,
    "inference": NETWORKS,
    "export": NETWORKS,
    "profiling": NETWORKS,
    "nnunet_trainers": NETWORKS | {"data"},  # its doctor inspects data sets, its trainers read split files
    "workflows": LIBRARY,
    "cli": LIBRARY | {"workflows"},
    "__main__": {"cli"},
}

OPTIONAL = (
    "nnunetv2",
    "mamba_ssm",
    "torchdiffeq",
    "onnx",
    "onnxruntime",
    "openvino",
    "ignite",
    "SimpleITK",
    "nibabel",
    "matplotlib",
    "timm",
    "segmentation_models_pytorch",
)


def part_of(module):
    """`monai_lightseg.networks.nets` -> `networks`; None for the package itself and for other libraries."""
    names = module.split(".")
    if names[0] == "nnunet_trainers":
        return "nnunet_trainers"
    return names[1] if names[0] == "monai_lightseg" and len(names) > 1 else None


def imported_parts(source):
    """Parts that a file imports, at its top or inside functions."""
    parts = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            parts |= {part_of(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the direction"
            if node.module == "monai_lightseg":
                parts |= {alias.name for alias in node.names if not alias.name.startswith("__")}
            else:
                parts.add(part_of(node.module))
    return parts - {None}


def part_of_file(path):
    names = path.relative_to(ROOT).with_suffix("").parts
    return "nnunet_trainers" if names[0] == "nnunet_trainers" else names[1]


FILES = sorted(
    path
    for package in ("monai_lightseg", "nnunet_trainers")
    for path in (ROOT / package).rglob("*.py")
    if path != ROOT / "monai_lightseg" / "__init__.py"
)


def test_the_reader_sees_imports():
    source = (
        "import monai_lightseg.cli.app\nfrom monai_lightseg import ops\ndef f():\n    from nnunet_trainers.a import b\n"
    )
    assert imported_parts(source) == {"cli", "ops", "nnunet_trainers"}
    assert len(FILES) > 30


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path):
    part = part_of_file(path)
    assert part in MAY_IMPORT, f"{part} has no place among the layers"
    assert imported_parts(path.read_text()) - {part} <= MAY_IMPORT[part]


def test_the_package_itself_imports_nothing():
    assert imported_parts((ROOT / "monai_lightseg" / "__init__.py").read_text()) == set()


def loaded(imports):
    """Top-level modules of OPTIONAL, and torch, that a fresh interpreter holds after `imports`."""
    code = f"import sys\n{imports}\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(run.stdout.split()) & {*OPTIONAL, "torch"}


def test_import_of_the_package_loads_nothing_heavy():
    assert loaded("import monai_lightseg") == set()


def test_import_of_networks_loads_no_optional_library():
    # MONAI loads what it finds of its own optional libraries; ours may add none to them.
    assert loaded("import torch, monai, monai_lightseg.networks") == loaded("import torch, monai")
