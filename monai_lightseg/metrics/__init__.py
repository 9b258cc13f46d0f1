"""Scores of segmentations."""

from monai_lightseg.metrics.confusion import METRICS, BinaryScores, score_binary_masks
from monai_lightseg.metrics.gland import (
    ObjectDiceMetric,
    ObjectF1Metric,
    ObjectHausdorffMetric,
    compute_object_dice,
    compute_object_f1,
    compute_object_hausdorff,
)
from monai_lightseg.metrics.gland_objects import Convention
from monai_lightseg.metrics.gland_scores import GLAND_METRICS, GlandPartScores, GlandScores, glas_part, score_glands

__all__ = [
    "GLAND_METRICS",
    "METRICS",
    "BinaryScores",
    "Convention",
    "GlandPartScores",
    "GlandScores",
    "ObjectDiceMetric",
    "ObjectF1Metric",
    "ObjectHausdorffMetric",
    "compute_object_dice",
    "compute_object_f1",
    "compute_object_hausdorff",
    "glas_part",
    "score_binary_masks",
    "score_glands",
]
