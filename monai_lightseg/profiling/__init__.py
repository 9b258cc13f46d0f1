"""What a network costs: parameters, multiply-accumulates, floating point operations, memory, latency; what it sees."""

from monai_lightseg.profiling.comparison import Comparison, NetworkCost, compare
from monai_lightseg.profiling.counting import count_flops, count_macs, count_macs_thop, count_parameters
from monai_lightseg.profiling.latency import interleaved_cpu_seconds
from monai_lightseg.profiling.memory import peak_activation_bytes
from monai_lightseg.profiling.processor import processor_name
from monai_lightseg.profiling.receptive_field import effective_receptive_field, receptive_radius
from monai_lightseg.profiling.state_space_parameters import mamba_parameters, pvm_parameters, vss_parameters

__all__ = [
    "Comparison",
    "NetworkCost",
    "compare",
    "count_flops",
    "count_macs",
    "count_macs_thop",
    "count_parameters",
    "effective_receptive_field",
    "interleaved_cpu_seconds",
    "mamba_parameters",
    "peak_activation_bytes",
    "processor_name",
    "pvm_parameters",
    "receptive_radius",
    "vss_parameters",
]
