"""Scores of segmentations."""

from monai_lightseg.metrics.confusion import METRICS, BinaryScores, score_binary_masks

__all__ = ["METRICS", "BinaryScores", "score_binary_masks"]
