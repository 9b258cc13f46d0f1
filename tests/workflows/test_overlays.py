import numpy as np

from monai_lightseg.workflows.overlays import OVERLAY_LEGEND, overlay


def squares() -> tuple[np.ndarray, np.ndarray]:
    truth, prediction = np.zeros((2, 40, 60), np.uint8)
    truth[5:25, 5:25] = 1
    prediction[5:25, 30:50] = 1
    return truth, prediction


def test_colours_are_those_of_the_legend() -> None:
    image = np.full((40, 60, 3), 90, np.uint8)
    truth, prediction = squares()
    assert OVERLAY_LEGEND == "Green: truth. Magenta: prediction. White: both."
    drawn = overlay(image, truth, prediction)
    red, green, blue = (drawn[15, 5, channel] for channel in range(3))
    assert green > red and green > blue
    red, green, blue = (drawn[15, 30, channel] for channel in range(3))
    assert red > green and blue > green
    assert (overlay(image, truth, truth)[15, 5] == 255).all()
    assert (image == 90).all()


def test_outlines_lie_inside_the_mask_and_are_two_pixels_wide() -> None:
    truth, prediction = squares()
    drawn = overlay(np.zeros((40, 60, 3), np.uint8), truth, 0 * prediction).any(axis=2)
    np.testing.assert_array_equal(np.flatnonzero(drawn[15]), [5, 6, 23, 24])
    assert not (drawn & (truth == 0)).any()


def test_large_images_are_made_smaller() -> None:
    truth = np.zeros((1000, 2000), np.uint8)
    truth[200:800, 400:1600] = 1
    drawn = overlay(np.zeros((1000, 2000, 3), np.uint8), truth, 0 * truth)
    assert drawn.shape == (320, 640, 3)
    np.testing.assert_array_equal(np.flatnonzero(drawn[160].any(axis=1)), [128, 129, 510, 511])


def test_masks_that_are_empty_draw_nothing() -> None:
    empty = np.zeros((4, 4), np.uint8)
    assert not overlay(np.zeros((4, 4, 3), np.uint8), empty, empty).any()
