"""Numerics below the modules: the selective scan and its back ends."""

from monai_lightseg.ops.dispatch import ScanBackend, list_scan_backends, register_scan_backend, scan_backend
from monai_lightseg.ops.scan_function import selective_scan

__all__ = ["ScanBackend", "list_scan_backends", "register_scan_backend", "scan_backend", "selective_scan"]
