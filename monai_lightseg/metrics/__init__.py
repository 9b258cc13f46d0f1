"""Scores of segmentations."""

from monai_lightseg.metrics.binary_scores import EMPTY_MASKS, METRICS, BinaryScores, score_binary_masks, worst_first
from monai_lightseg.metrics.comparison import ModelComparison, compare_models
from monai_lightseg.metrics.confusion import POOLED_METRICS
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
from monai_lightseg.metrics.intervals import ScoreIntervals, pooled_difference, score_intervals
from monai_lightseg.metrics.statistics import (
    SMALL_SAMPLE,
    Interval,
    PairedTest,
    SeedScores,
    coverage_warning,
    holm,
    mean_interval,
    over_seeds,
    paired_permutation,
    paired_wilcoxon,
    percentile_interval,
    resampled_sums,
)
from monai_lightseg.metrics.surface import SURFACE_TOLERANCE
from monai_lightseg.metrics.thresholded_jaccard import ThresholdedJaccardMetric, compute_thresholded_jaccard

__all__ = [
    "EMPTY_MASKS",
    "GLAND_METRICS",
    "METRICS",
    "POOLED_METRICS",
    "SMALL_SAMPLE",
    "SURFACE_TOLERANCE",
    "BinaryScores",
    "Convention",
    "GlandPartScores",
    "GlandScores",
    "Interval",
    "ModelComparison",
    "ObjectDiceMetric",
    "ObjectF1Metric",
    "ObjectHausdorffMetric",
    "PairedTest",
    "ScoreIntervals",
    "SeedScores",
    "ThresholdedJaccardMetric",
    "compare_models",
    "compute_object_dice",
    "compute_object_f1",
    "compute_object_hausdorff",
    "compute_thresholded_jaccard",
    "coverage_warning",
    "glas_part",
    "holm",
    "mean_interval",
    "over_seeds",
    "paired_permutation",
    "paired_wilcoxon",
    "percentile_interval",
    "pooled_difference",
    "resampled_sums",
    "score_binary_masks",
    "score_glands",
    "score_intervals",
    "worst_first",
]
