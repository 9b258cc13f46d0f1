import dataclasses

import numpy as np
import pytest

from monai_lightseg.errors import LightsegError
from monai_lightseg.metrics import BinaryScores, compare_models, holm, paired_wilcoxon, score_binary_masks


def scores(wrong: list[int]) -> BinaryScores:
    """Ten images with a lesion of 60 pixels and one without; of the former so many pixels are missed."""
    truth = np.zeros((10, 10), np.uint8)
    truth[:6] = 1
    masks = []
    for i, missed in enumerate(wrong):
        prediction = truth.copy()
        prediction.ravel()[:missed] = 0
        masks.append((f"case_{i}", prediction, truth))
    return score_binary_masks([*masks, ("empty", np.zeros_like(truth), np.zeros_like(truth))])


ONE = scores([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
WORSE = scores([2, 4, 6, 8, 10, 12, 14, 16, 18, 20])
MIXED = scores([10, 9, 8, 7, 6, 5, 4, 3, 2, 1])


def test_comparison_is_that_of_the_paired_tests() -> None:
    worse, mixed = compare_models(ONE, {"worse": WORSE, "mixed": MIXED})
    dice = [[of.per_image[f"case_{i}"]["dice"] for i in range(10)] for of in (ONE, WORSE, MIXED)]
    assert (worse.other, mixed.other) == ("worse", "mixed")
    assert worse.wilcoxon == paired_wilcoxon(dice[0], dice[1])
    assert worse.mean == pytest.approx(np.mean(dice[0])) and worse.other_mean == pytest.approx(np.mean(dice[1]))
    # 10 differences of one sign: 2 of 2^10 sign patterns are as extreme.
    assert worse.wilcoxon.p_value == pytest.approx(2 / 1024)
    assert worse.permutation.p_value == pytest.approx(2 / 1024)
    assert worse.permutation.difference.mean > 0 and worse.wilcoxon.effect == 1
    assert mixed.wilcoxon.p_value > 0.9
    for name in ("wilcoxon", "permutation"):
        adjusted = holm([getattr(of, name).p_value for of in (worse, mixed)])
        assert [getattr(of, f"{name}_adjusted") for of in (worse, mixed)] == list(adjusted)


def test_images_without_a_score_of_both_are_left_out() -> None:
    (comparison,) = compare_models(ONE, {"worse": WORSE})
    assert (comparison.left_out, comparison.wilcoxon.n) == (1, 10)


def test_other_images() -> None:
    other = dataclasses.replace(WORSE, per_image={"case_0": WORSE.per_image["case_0"]})
    with pytest.raises(LightsegError, match="worse was scored on other images"):
        compare_models(ONE, {"worse": other})


def test_too_few_images() -> None:
    few = scores([3])
    with pytest.raises(LightsegError, match="x: 1 image has a dice of both models"):
        compare_models(few, {"x": few})


def test_unknown_metric() -> None:
    with pytest.raises(ValueError, match="dise"):
        compare_models(ONE, {"worse": WORSE}, metric="dise")
