"""The thresholded Jaccard index as a handler of an ignite engine; needs the `bundle` extra."""

from collections.abc import Callable
from typing import Any

from monai.handlers import IgniteMetricHandler

from monai_lightseg.metrics.thresholded_jaccard import JACCARD_THRESHOLD, ThresholdedJaccardMetric

__all__ = ["ThresholdedJaccard"]


class ThresholdedJaccard(IgniteMetricHandler):
    """Thresholded Jaccard index of all images of a run; see `ThresholdedJaccardMetric`.

    Args:
        threshold: smallest Jaccard index that counts.
        include_background: score the first channel too.
        ignore_empty: leave out images where prediction and truth are both empty; else they score 1.
        output_transform: from the engine's output to (predicted masks, true masks).
        save_details: keep the values of each image in `engine.state.metric_details`.
    """

    def __init__(
        self,
        threshold: float = JACCARD_THRESHOLD,
        include_background: bool = True,
        ignore_empty: bool = True,
        output_transform: Callable[[Any], Any] = lambda output: output,
        save_details: bool = True,
    ) -> None:
        metric = ThresholdedJaccardMetric(threshold, include_background, ignore_empty)
        super().__init__(metric_fn=metric, output_transform=output_transform, save_details=save_details)
