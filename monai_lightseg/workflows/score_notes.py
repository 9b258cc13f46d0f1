"""Scores as a table, and what a report says below it."""

from monai_lightseg.metrics import METRICS, BinaryScores, ScoreIntervals
from monai_lightseg.workflows.report_document import Paragraph, Table

__all__ = ["missed_note", "score_notes", "score_table"]


def score_table(scores: BinaryScores, intervals: ScoreIntervals) -> Table:
    """Pooled scores and means over images, each with its interval."""
    rows = [
        (
            name,
            scores.pooled.get(name, ""),
            intervals.pooled[name].ends if name in intervals.pooled else "",
            scores.per_image_mean[name],
            intervals.per_image_mean[name].ends if name in intervals.per_image_mean else "",
            scores.undefined[name],
        )
        for name in METRICS
    ]
    return Table(("", "pooled", "95 % interval", "per-image mean", "95 % interval", "images left out"), rows)


def score_notes(scores: BinaryScores) -> list[Paragraph]:
    """What the columns and the scores mean."""
    return [
        Paragraph(
            "Pooled: one confusion matrix over all pixels of all images, as most papers on light networks report. "
            "Per-image mean: the score of each image, averaged, as nnU-Net reports; an image where a score is 0/0 is "
            "left out and counted in the last column. These are different scores and do not belong in one column."
        ),
        Paragraph(
            "iou is that of the foreground, which papers on light networks call mIoU; mean_iou takes foreground and "
            "background. thresholded_jaccard is the IoU, or 0 below 0.65; hd95 is in pixels; surface_dice has a "
            f"tolerance of {scores.surface_tolerance:g} pixels."
        ),
    ]


def missed_note(scores: BinaryScores) -> str:
    """How many lesions were missed and how many predictions are false alarms."""
    return f"Missed lesions: {scores.missed}. False alarms: {scores.false_alarms}."
