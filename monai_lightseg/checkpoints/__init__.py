"""Weights: files of the authors' code converted into ours, and ours loaded."""

from monai_lightseg.checkpoints.authors_file import read_authors_file
from monai_lightseg.checkpoints.conversion import convert
from monai_lightseg.checkpoints.file_conversion import convert_file
from monai_lightseg.checkpoints.network_file import CheckpointCard, load_network, read_checkpoint_card

__all__ = ["CheckpointCard", "convert", "convert_file", "load_network", "read_authors_file", "read_checkpoint_card"]
