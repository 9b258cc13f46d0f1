"""Real instance maps, made worse in known ways: every value moves the right way."""

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from monai_lightseg.metrics import score_glands

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif("LIGHTSEG_DATA" not in os.environ, reason="LIGHTSEG_DATA names no folder with the images"),
]


@pytest.fixture(scope="module")
def truths():
    files = sorted((Path(os.environ["LIGHTSEG_DATA"]) / "dsb2018_nuclei" / "instances").glob("*.png"))
    assert len(files) == 40
    # Half of the images, which are of all three sizes, to be done in half a minute.
    return {file.stem: np.asarray(Image.open(file)).astype(np.int32) for file in files[::2]}


@pytest.fixture(params=["challenge", "pinckaers"])
def score(request, truths):
    def score_degraded(degrade, *arguments):
        cases = ((name, degrade(truth, *arguments), truth) for name, truth in truths.items())
        return score_glands(cases, convention=request.param).total

    return score_degraded


def erode(truth, pixels):
    """Each object loses its rim; objects that vanish are missed."""
    inside = ndimage.minimum_filter(truth, 2 * pixels + 1) == ndimage.maximum_filter(truth, 2 * pixels + 1)
    return np.where(inside, truth, 0)


def dilate(truth, pixels):
    """Objects grow into the background."""
    distance, nearest = ndimage.distance_transform_edt(truth == 0, return_indices=True)
    return np.where(distance <= pixels, truth[tuple(nearest)], 0)


def drop(truth, every):
    """Each so many objects one is missing."""
    labels = np.unique(truth[truth > 0])
    return np.where(np.isin(truth, labels[::every]), 0, truth)


def shift(truth, pixels):
    """Down and to the right."""
    return np.pad(truth, ((pixels, 0), (pixels, 0)))[: truth.shape[0], : truth.shape[1]]


def merge_touching(truth):
    """Objects that share a border, corners included, become one."""
    return ndimage.label(truth > 0, np.ones((3, 3)))[0]


def test_the_truth_itself(score):
    scores = score(np.copy)
    for values in (scores.dataset, scores.per_image_mean):
        assert values == {"object_f1": 1, "object_dice": 1, "object_hausdorff": 0}


@pytest.mark.parametrize(("degrade", "stages"), [(erode, (1, 2)), (drop, (10, 4, 2)), (shift, (1, 3, 6))])
def test_more_damage_is_worse_in_every_metric(score, degrade, stages):
    all_scores = [score(np.copy), *(score(degrade, stage) for stage in stages)]
    for better, worse in pairwise(all_scores):
        for reduction in ("dataset", "per_image_mean"):
            before, after = getattr(better, reduction), getattr(worse, reduction)
            assert after["object_dice"] < before["object_dice"]
            assert after["object_hausdorff"] > before["object_hausdorff"]
            # A shift or an erosion by one pixel need not lose an object.
            assert after["object_f1"] <= before["object_f1"]
    assert all_scores[-1].dataset["object_f1"] < 0.9


def test_growth_keeps_every_hit(score):
    scores = [score(np.copy), score(dilate, 1), score(dilate, 3)]
    for better, worse in pairwise(scores):
        assert worse.dataset["object_f1"] == 1
        assert worse.dataset["object_dice"] < better.dataset["object_dice"]
        assert worse.dataset["object_hausdorff"] > better.dataset["object_hausdorff"]


def test_dropped_objects_are_counted(score, truths):
    objects = sum(len(np.unique(truth[truth > 0])) for truth in truths.values())
    dropped = sum(len(np.unique(truth[truth > 0])[::4]) for truth in truths.values())
    kept = objects - dropped
    assert score(drop, 4).dataset["object_f1"] == pytest.approx(2 * kept / (2 * kept + dropped))


def test_merged_objects(score, truths):
    merged = score(merge_touching)
    assert sum(merge_touching(truth).max() < len(np.unique(truth)) - 1 for truth in truths.values()) >= 10
    assert merged.dataset["object_f1"] < 0.99
    assert merged.dataset["object_dice"] < 0.99
    assert merged.dataset["object_hausdorff"] > 0.5
