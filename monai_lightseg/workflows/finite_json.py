"""Scores as JSON."""

import json
import math
from typing import Any

__all__ = ["finite_json"]


def finite_json(content: Any) -> str:
    """Indented JSON, with null for NaN and infinity, which JSON does not have."""
    return json.dumps(_finite_or_null(content), indent=2)


def _finite_or_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite_or_null(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite_or_null(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
