"""The command line: arguments in, one public function called, results printed."""

from monai_lightseg.cli.app import main

__all__ = ["main"]
