"""Encoders of other libraries' networks, one small file per library; none of them is imported unless it is in use."""

from monai_lightseg.networks.adapters.host import HostEncoder, host_encoder

__all__ = ["HostEncoder", "host_encoder"]
