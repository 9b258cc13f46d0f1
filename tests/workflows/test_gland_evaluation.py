from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_lightseg.errors import LightsegError
from monai_lightseg.workflows.gland_evaluation import evaluate_glands

TRUE = np.zeros((20, 30), np.uint8)
TRUE[2:12, 2:12], TRUE[2:12, 12:22] = 3, 7  # two glands that touch
CLASSES = np.zeros_like(TRUE)
CLASSES[2:12, 2:22] = 2
CLASSES[4:10, 4:10] = CLASSES[4:10, 14:20] = 1


@pytest.fixture
def folders(tmp_path):
    for folder, pixels in (("predictions", CLASSES), ("labels", TRUE)):
        (tmp_path / folder).mkdir()
        for name in ("testA_1", "testB_1"):
            Image.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
    return tmp_path / "predictions", tmp_path / "labels"


def test_classes_become_glands(folders):
    scores = evaluate_glands(*folders, objects="core-border", min_size=50, progress=False)
    assert list(scores.parts) == ["testA", "testB"]
    for of_part in (scores.total, *scores.parts.values()):
        assert of_part.dataset == {"object_f1": 1, "object_dice": 1, "object_hausdorff": 0}
    assert (
        evaluate_glands(*folders, objects="core-border", min_size=101, progress=False).total.dataset["object_f1"] == 0
    )


def test_instances_are_taken_as_they_are(folders):
    predictions, labels = folders
    scores = evaluate_glands(labels, labels, objects="instances", progress=False)
    assert scores.total.dataset["object_dice"] == 1
    # Taken for two instances, core and border each cover a third of their gland and two thirds.
    assert evaluate_glands(predictions, labels, objects="instances", progress=False).total.dataset["object_f1"] == 0.5


def test_other_names_have_no_parts(folders):
    for folder in folders:
        (folder / "testB_1.png").rename(folder / "b.png")
    assert evaluate_glands(*folders, objects="core-border", min_size=50, progress=False).parts == {}


def test_convention_reaches_the_metrics(folders):
    predictions, labels = folders
    half = np.where(np.arange(30) < 7, TRUE, 0).astype(np.uint8)  # half of the first gland
    for folder, pixels in ((predictions, half), (labels, np.where(TRUE == 3, TRUE, 0))):
        for path in folder.iterdir():
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    assert evaluate_glands(*folders, objects="instances", progress=False).total.dataset["object_f1"] == 1
    assert (
        evaluate_glands(*folders, objects="instances", convention="pinckaers", progress=False).total.dataset[
            "object_f1"
        ]
        == 0
    )


@pytest.mark.parametrize("sizes", [{"min_size": 1}, {"min_size": 10**6}])
def test_size_is_for_classes(folders, sizes):
    _, labels = folders
    scores = evaluate_glands(labels, labels, objects="instances", progress=False, **sizes)
    assert scores.total.dataset["object_f1"] == 1


def test_instances_are_no_classes(folders):
    _, labels = folders
    with pytest.raises(LightsegError, match=r"labels.testA_1\.png holds the value 7.*--objects instances"):
        evaluate_glands(labels, labels, objects="core-border", progress=False)


@pytest.mark.parametrize("objects", ["core-border", "instances"])
@pytest.mark.parametrize("part", ["Tr", "Ts"])
def test_classes_are_no_true_objects(folders, monkeypatch, part, objects):
    predictions, labels = folders
    classes = labels.rename(labels.with_name(f"labels{part}"))
    evaluate_glands(predictions, classes, objects=objects, progress=False)
    instances = classes.with_name(f"instances{part}")
    instances.mkdir()
    with pytest.raises(LightsegError, match=f"labels{part} holds classes, not objects.*{instances}"):
        evaluate_glands(predictions, classes, objects=objects, progress=False)
    monkeypatch.chdir(classes)
    with pytest.raises(LightsegError, match=str(instances)):
        evaluate_glands(predictions, Path(), objects=objects, progress=False)


def test_unknown_kind_of_objects(folders):
    with pytest.raises(ValueError, match="glands"):
        evaluate_glands(*folders, objects="glands", progress=False)


def test_refused(folders):
    predictions, _ = folders
    Image.fromarray(CLASSES[:-1]).save(predictions / "testA_1.png")
    with pytest.raises(LightsegError, match=r"testA_1\.png is 19 x 30 but .*labels.*testA_1\.png is 20 x 30"):
        evaluate_glands(*folders, objects="instances", progress=False)
    (predictions / "testA_1.png").unlink()
    with pytest.raises(LightsegError, match="predictions has no file for testA_1"):
        evaluate_glands(*folders, objects="instances", progress=False)
