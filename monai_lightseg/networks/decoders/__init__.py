"""Decoders that fit any pyramid."""
