"""Lightweight 2D medical image segmentation: nmODE decoders and small networks for MONAI and nnU-Net."""

__version__ = "0.1.0"
