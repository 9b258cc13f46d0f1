"""nnU-Net trainers of monai-lightseg. Importing this package imports neither torch nor nnU-Net."""
