"""How stock nnU-Net finds our trainers: the shim directory in `nnUNet_extTrainer`, set now or at every Python start.

The start-up line runs this module in every Python start of its environment, hence no import at the top that costs time.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # type checkers take it for true; importing typing would cost more than all the rest
if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["VARIABLE", "activate", "disable", "enable", "is_enabled", "shim_directory", "startup_file"]

VARIABLE = "nnUNet_extTrainer"

_SHIM_DIRECTORY = os.path.join(os.path.dirname(os.path.realpath(__file__)), "external")

# Python reads start-up files by name: this one comes after those that put an editable install on the path.
_STARTUP_NAME = "zz_lightseg_nnunet.pth"

# One line, because Python runs only lines that begin with import; without the package it does nothing.
_STARTUP_LINE = (
    "import importlib.util as u; "
    "u.find_spec('nnunet_trainers') and u.find_spec('nnunet_trainers.activation') "
    "and __import__('nnunet_trainers.activation', fromlist=['activate']).activate()\n"
)


def shim_directory() -> Path:
    """The folder that `nnUNet_extTrainer` has to name."""
    from pathlib import Path

    return Path(_SHIM_DIRECTORY)


def activate() -> None:
    """Add the shim directory to `nnUNet_extTrainer` of this process and its children, after what is there already.

    nnU-Net reads the variable at each lookup, so this also works after nnU-Net was imported.
    """
    entries = [entry for entry in os.environ.get(VARIABLE, "").split(os.pathsep) if entry.strip()]
    if _SHIM_DIRECTORY not in entries:
        os.environ[VARIABLE] = os.pathsep.join([*entries, _SHIM_DIRECTORY])


def startup_file() -> Path:
    """Where `enable` puts the start-up file: the site-packages of the running Python."""
    import sysconfig
    from pathlib import Path

    return Path(sysconfig.get_path("purelib")) / _STARTUP_NAME


def is_enabled() -> bool:
    """Whether the start-up file is there."""
    return startup_file().is_file()


def enable() -> Path:
    """Write the start-up file, after which every Python of this environment calls `activate` when it starts.

    Returns:
        Path of the file.

    Raises:
        LightsegError: site-packages cannot be written.
    """
    from monai_lightseg.atomic import write_text

    path = startup_file()
    try:
        write_text(path, _STARTUP_LINE)
    except OSError as error:
        raise _not_writable(path, error) from error
    return path


def disable() -> Path | None:
    """Remove the start-up file.

    Returns:
        Path of the removed file, or None where there was none.

    Raises:
        LightsegError: site-packages cannot be written.
    """
    path = startup_file()
    try:
        path.unlink()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _not_writable(path, error) from error
    return path


def _not_writable(path: Path, error: OSError) -> Exception:
    from monai_lightseg.errors import LightsegError

    return LightsegError(
        f"{path} cannot be written or removed ({error.strerror}); "
        f'without it, run: export {VARIABLE}="$(lightseg nnunet path)${{{VARIABLE}:+:${VARIABLE}}}"'
    )
