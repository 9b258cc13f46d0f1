"""What a report says below its table of scores."""

from monai_lightseg.metrics import EMPTY_MASKS, BinaryScores
from monai_lightseg.workflows.report_document import Paragraph

__all__ = ["score_notes"]


def score_notes(scores: BinaryScores) -> list[Paragraph]:
    """What the columns and the scores mean, and how many lesions were missed."""
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
        Paragraph(f"Missed lesions: {scores.missed}. False alarms: {scores.false_alarms}. {EMPTY_MASKS}"),
    ]
