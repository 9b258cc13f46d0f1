"""The gland metrics as handlers of an ignite engine; needs the `bundle` extra."""

from collections.abc import Callable, Sequence
from typing import Any

from monai.handlers import IgniteMetricHandler

from monai_lightseg.metrics.gland import ObjectDiceMetric, ObjectF1Metric, ObjectHausdorffMetric, Reduction
from monai_lightseg.metrics.gland_objects import Convention

__all__ = ["ObjectDice", "ObjectF1", "ObjectHausdorff"]

OutputTransform = Callable[[Any], Any]


class ObjectF1(IgniteMetricHandler):
    """Object F1 of all images of a run; see `ObjectF1Metric`.

    Args:
        convention: "challenge" or "pinckaers".
        reduction: "dataset" or "mean".
        output_transform: from the engine's output to (predicted label maps, true label maps).
        save_details: keep the row of each image in `engine.state.metric_details`.
    """

    def __init__(
        self,
        convention: Convention = "challenge",
        reduction: Reduction = "dataset",
        output_transform: OutputTransform = lambda output: output,
        save_details: bool = True,
    ) -> None:
        metric = ObjectF1Metric(convention, reduction)
        super().__init__(metric_fn=metric, output_transform=output_transform, save_details=save_details)


class ObjectDice(IgniteMetricHandler):
    """Object Dice of all images of a run; see `ObjectDiceMetric`.

    Args:
        convention: "challenge" or "pinckaers".
        reduction: "dataset" or "mean".
        output_transform: from the engine's output to (predicted label maps, true label maps).
        save_details: keep the row of each image in `engine.state.metric_details`.
    """

    def __init__(
        self,
        convention: Convention = "challenge",
        reduction: Reduction = "dataset",
        output_transform: OutputTransform = lambda output: output,
        save_details: bool = True,
    ) -> None:
        metric = ObjectDiceMetric(convention, reduction)
        super().__init__(metric_fn=metric, output_transform=output_transform, save_details=save_details)


class ObjectHausdorff(IgniteMetricHandler):
    """Object Hausdorff distance of all images of a run; see `ObjectHausdorffMetric`.

    Args:
        convention: "challenge" or "pinckaers".
        reduction: "dataset" or "mean".
        spacing: size of a pixel, or its height and width; with 1, distances are in pixels.
        output_transform: from the engine's output to (predicted label maps, true label maps).
        save_details: keep the row of each image in `engine.state.metric_details`.
    """

    def __init__(
        self,
        convention: Convention = "challenge",
        reduction: Reduction = "dataset",
        spacing: float | Sequence[float] = 1.0,
        output_transform: OutputTransform = lambda output: output,
        save_details: bool = True,
    ) -> None:
        metric = ObjectHausdorffMetric(convention, reduction, spacing)
        super().__init__(metric_fn=metric, output_transform=output_transform, save_details=save_details)
