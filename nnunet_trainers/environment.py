"""Environment variables, through which nnU-Net is told most things."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["variable_put_back"]


@contextmanager
def variable_put_back(name: str) -> Iterator[None]:
    """Let the environment variable be changed inside; afterwards it is as before, or not set if it was not."""
    before = os.environ.get(name)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
