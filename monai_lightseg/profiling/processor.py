"""Name of the processor, without which a time says nothing."""

import platform
from pathlib import Path

__all__ = ["processor_name"]


def processor_name() -> str:
    """Model name of the processor, where the system tells."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
