"""What the shared tests do not say of U-Lite: its axial convolution, its two ways up, its arguments."""

import pytest
import torch

from monai_lightseg.networks import create_network
from monai_lightseg.networks.nets.ulite import ULiteAxialConv, ULiteDecoderLevel
from tests.networks.tester import image


@pytest.mark.parametrize(("kernel_size", "dilation", "reach"), [(7, 1, 3), (3, 1, 1), (3, 2, 2), (3, 3, 3)])
def test_axial_convolution_sees_a_cross(kernel_size, dilation, reach):
    torch.manual_seed(0)
    conv, x = ULiteAxialConv(2, kernel_size, dilation), torch.zeros(1, 2, 15, 15, requires_grad=True)
    output = conv(x)
    assert output.shape == x.shape
    (gradient,) = torch.autograd.grad(output[:, 0, 7, 7].sum(), x)
    places = gradient[0, 0].nonzero()
    assert ((places == 7).any(dim=1)).all()
    assert (places - 7).abs().max() == reach
    assert gradient[0, 1].abs().sum() == 0


def test_narrowing_before_upsampling_changes_nothing():
    """In eval the 1x1 convolution runs in front of the upsampling; in training, and in the release, behind it."""
    torch.manual_seed(0)
    level = ULiteDecoderLevel(8, 4, "gelu", "instance")
    x, skip = image(2, 8, 5, 6), image(2, 4, 10, 12, seed=2)
    with torch.no_grad():
        torch.testing.assert_close(level.eval()(x, skip), level.train()(x, skip))


def test_another_module_in_place_of_the_convolution_is_called_in_eval_too():
    class Doubled(torch.nn.Conv2d):
        def forward(self, x):
            return 2 * super().forward(x)

    level = ULiteDecoderLevel(8, 4, "gelu", "instance")
    level.norm = torch.nn.Identity()
    level.narrow = Doubled(12, 4, 1)
    x, skip = image(2, 8, 5, 6), image(2, 4, 10, 12, seed=2)
    with torch.no_grad():
        torch.testing.assert_close(level.eval()(x, skip), level.train()(x, skip))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_dims": 3}, "ulite is 2D: spatial_dims must be 2, got 3"),
        ({"features": (16,)}, "two or more levels"),
        ({"features": (16, 30)}, "the last one a multiple of 4"),
        ({"deep_supervision": True}, "no auxiliary outputs"),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        create_network("ulite", **arguments)
