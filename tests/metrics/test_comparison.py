import dataclasses

import numpy as np
import pytest

from monai_lightseg.errors import LightsegError
from monai_lightseg.metrics import (
    METRICS,
    POOLED_METRICS,
    BinaryScores,
    compare_models,
    holm,
    paired_permutation,
    paired_wilcoxon,
    pooled_difference,
    score_binary_masks,
)

EMPTY = np.zeros((10, 10), np.uint8)
LESION = EMPTY.copy()
LESION[:6] = 1


def missing(pixels: int) -> np.ndarray:
    """The lesion of 60 pixels less so many."""
    prediction = LESION.copy()
    prediction.ravel()[:pixels] = 0
    return prediction


def scores(wrong: list[int], healthy: list[np.ndarray] | None = None) -> BinaryScores:
    """Images with a lesion, of which so many pixels are missed, and predictions of images without one."""
    masks = [(f"case_{i}", missing(pixels), LESION) for i, pixels in enumerate(wrong)]
    masks += [(f"healthy_{i}", prediction, EMPTY) for i, prediction in enumerate(healthy or [])]
    return score_binary_masks(masks)


ONE = scores([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [EMPTY])
WORSE = scores([2, 4, 6, 8, 10, 12, 14, 16, 18, 20], [EMPTY])
MIXED = scores([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], [EMPTY])

# A model that raises no alarm, and one that raises 20; alike on lesions.
CALM = scores(list(range(20)), [EMPTY] * 20)
ALARMED = scores(list(range(20)), [missing(50)] * 20)


def test_comparison_is_that_of_the_paired_tests() -> None:
    worse, mixed = compare_models(ONE, {"worse": WORSE, "mixed": MIXED})
    dice = [[of.per_image[f"case_{i}"]["dice"] for i in range(10)] for of in (ONE, WORSE, MIXED)]
    assert (worse.other, mixed.other, worse.metric) == ("worse", "mixed", "dice")
    assert worse.wilcoxon == paired_wilcoxon(dice[0], dice[1])
    assert mixed.permutation == paired_permutation(dice[0], dice[2])
    assert worse.mean == pytest.approx(np.mean(dice[0])) and worse.other_mean == pytest.approx(np.mean(dice[1]))
    # 10 differences of one sign: 2 of 2^10 sign patterns are as extreme.
    assert worse.wilcoxon.p_value == pytest.approx(2 / 1024)
    assert worse.permutation.p_value == pytest.approx(2 / 1024)
    assert worse.permutation.difference.estimate > 0 and worse.wilcoxon.effect == 1
    assert mixed.wilcoxon.p_value > 0.9


def test_holm_is_over_the_comparisons_of_one_test() -> None:
    # Out of the order of their p values.
    other = scores([1, 3, 2, 6, 4, 7, 30, 9, 8, 12], [EMPTY])
    comparisons = compare_models(ONE, {"mixed": MIXED, "worse": WORSE, "other": other})
    for name in ("wilcoxon", "permutation"):
        p_values = [getattr(of, name).p_value for of in comparisons]
        assert len(set(p_values)) == 3
        assert [getattr(of, f"{name}_adjusted") for of in comparisons] == list(holm(p_values))
    assert comparisons[2].wilcoxon_adjusted != comparisons[2].permutation_adjusted
    assert comparisons[1].wilcoxon_adjusted == pytest.approx(3 * 2 / 1024)


def test_both_silent_is_undefined() -> None:
    (comparison,) = compare_models(ONE, {"worse": WORSE})
    assert (comparison.undefined, comparison.silent, comparison.wilcoxon.n) == (1, 0, 10)


def test_a_false_alarm_counts_against_the_model_that_raised_it() -> None:
    (comparison,) = compare_models(CALM, {"alarmed": ALARMED})
    assert (comparison.undefined, comparison.silent, comparison.wilcoxon.n) == (0, 20, 40)
    for test in (comparison.wilcoxon, comparison.permutation):
        assert test.zeros == 20 and test.p_value < 0.001 and test.effect > 0
        assert test.difference.estimate == pytest.approx(0.5)
    # The 20 images of lesions score alike, the others 1 and 0.
    of_lesions = np.mean([CALM.per_image[f"case_{i}"]["dice"] for i in range(20)])
    assert comparison.mean == pytest.approx((of_lesions + 1) / 2)
    assert comparison.other_mean == pytest.approx(of_lesions / 2)
    assert comparison.pooled is not None and comparison.pooled.low > 0
    (back,) = compare_models(ALARMED, {"calm": CALM})
    assert (back.mean, back.other_mean) == (comparison.other_mean, comparison.mean)
    assert back.silent == 20 and back.wilcoxon.difference.estimate == pytest.approx(-0.5)


def test_a_silent_model_is_no_distance_away() -> None:
    (comparison,) = compare_models(CALM, {"alarmed": ALARMED}, metric="hd95")
    assert (comparison.undefined, comparison.silent, comparison.wilcoxon.n) == (0, 20, 40)
    # On 20 of 40 images the other is as far off as the diagonal, and on the others as far as this one.
    diagonal = ALARMED.per_image["healthy_0"]["hd95"]
    assert diagonal > 10
    assert comparison.permutation.difference.estimate == pytest.approx(-diagonal / 2)
    assert comparison.permutation.p_value < 0.001


@pytest.mark.parametrize("metric", METRICS)
def test_pooled_difference_comes_with_pooled_scores(metric: str) -> None:
    (comparison,) = compare_models(ONE, {"worse": WORSE}, metric=metric)
    assert comparison.metric == metric
    expected = pooled_difference(ONE, WORSE, metric=metric) if metric in POOLED_METRICS else None
    assert comparison.pooled == expected


def test_seed_is_that_of_permutation_and_bootstrap() -> None:
    rng = np.random.default_rng(0)
    one, other = (scores(list(rng.integers(0, 40, 30))) for _ in range(2))
    first, again, second = (compare_models(one, {"other": other}, seed=seed)[0] for seed in (1, 1, 2))
    assert first == again
    assert first.permutation.p_value != second.permutation.p_value
    assert first.pooled == pooled_difference(one, other, seed=1) != second.pooled
    assert first.wilcoxon == second.wilcoxon


def test_no_others() -> None:
    assert compare_models(ONE, {}) == []


def test_other_images_are_refused() -> None:
    fewer = dataclasses.replace(WORSE, per_image={"case_0": WORSE.per_image["case_0"]})
    turned = dataclasses.replace(WORSE, per_image=dict(reversed(WORSE.per_image.items())))
    for other in (fewer, turned):
        with pytest.raises(LightsegError, match="worse was scored on other images, or in another order"):
            compare_models(ONE, {"worse": other})


def test_too_few_images() -> None:
    few = scores([3], [EMPTY])
    with pytest.raises(LightsegError, match="x cannot be compared: a paired test needs two images with a dice"):
        compare_models(few, {"x": few})


def test_unknown_metric() -> None:
    with pytest.raises(ValueError, match="dise"):
        compare_models(ONE, {"worse": WORSE}, metric="dise")
