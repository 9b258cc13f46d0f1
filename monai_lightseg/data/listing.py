"""Long lists cut short for an error message."""

from collections.abc import Sequence

__all__ = ["first_few"]


def first_few(items: Sequence[str], limit: int = 5) -> list[str]:
    """Return the first `limit` items, then "... and N more" where there are more."""
    rest = len(items) - limit
    return [*items[:limit], f"... and {rest} more"] if rest > 0 else list(items)
