"""Binary masks to score: noise, and lesions with the mistakes that networks make."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.uint8]
Case = tuple[str, Mask, Mask]


def ellipse(size: tuple[int, int], center: tuple[float, float], radii: tuple[float, float]) -> Mask:
    rows, columns = np.indices(size)
    return ((((rows - center[0]) / radii[0]) ** 2 + ((columns - center[1]) / radii[1]) ** 2) <= 1).astype(np.uint8)


def noise() -> list[Case]:
    rng = np.random.default_rng(0)
    return [
        (f"noise_{i}", rng.integers(0, 2, (24, 32), np.uint8), (rng.random((24, 32)) < share).astype(np.uint8))
        for i, share in enumerate((0.1, 0.4, 0.9))
    ]


def lesions() -> list[Case]:
    """Every case has both masks."""
    rng = np.random.default_rng(1)
    size = (48, 64)
    lesion = ellipse(size, (22, 30), (12, 17))
    ragged = (ndimage.gaussian_filter(lesion + rng.normal(0, 0.8, size), 2) > 0.5).astype(np.uint8)
    speck = np.zeros(size, np.uint8)
    speck[3, 60] = 1
    cut = ellipse((40, 40), (2, 38), (14, 9))  # by two borders of its image
    return [
        ("right", lesion, lesion),
        ("ragged", ragged, lesion),
        ("small", ndimage.binary_erosion(lesion, iterations=3).astype(np.uint8), lesion),
        ("shifted", np.roll(lesion, 5, axis=1), lesion),
        ("with speck", lesion | speck, lesion),
        ("elsewhere", speck, lesion),
        ("hole", lesion - ellipse(size, (22, 30), (3, 3)), lesion),
        ("border", np.roll(cut, 2, axis=0), cut),
        ("whole image", np.ones(size, np.uint8), lesion),
    ]


def with_empty() -> list[Case]:
    empty, lesion = np.zeros((48, 64), np.uint8), ellipse((48, 64), (22, 30), (12, 17))
    return [
        *noise(),
        *lesions(),
        ("missed", empty, lesion),
        ("missed too", empty, ellipse((48, 64), (10, 50), (4, 6))),
        ("false alarm", lesion, empty),
        ("nothing there", empty, empty),
    ]
