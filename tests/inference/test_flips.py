import pytest
import torch

from monai_lightseg.inference import predict_with_flips


def test_mean_of_three_flips():
    image = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    slope = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None] + torch.linspace(0, 3, 7, dtype=torch.float64)

    def network(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x.sum(1) * slope, x[:, 0] - slope], dim=1)

    expected = (
        network(image).sigmoid() + network(image.flip(2)).sigmoid().flip(2) + network(image.flip(3)).sigmoid().flip(3)
    ) / 3
    torch.testing.assert_close(predict_with_flips(network, image), expected)


@pytest.mark.parametrize("axis", [2, 3])
def test_a_network_that_knows_no_direction(axis):
    image = torch.randn(1, 1, 4, 6)
    torch.testing.assert_close(predict_with_flips(lambda x: x * 2, image), (image * 2).sigmoid())
    torch.testing.assert_close(predict_with_flips(lambda x: x, image).flip(axis), image.sigmoid().flip(axis))


def test_gradients_are_the_callers_choice():
    image = torch.randn(1, 1, 4, 6, requires_grad=True)
    assert predict_with_flips(lambda x: x, image).requires_grad
    with torch.no_grad():
        assert not predict_with_flips(lambda x: x, image).requires_grad
