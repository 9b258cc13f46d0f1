"""What every registered network is tested with; a new network adds one line to TINY."""

import torch

from monai_lightseg.networks import create_network

# Arguments that make a network of a few thousand parameters; its structure stays.
TINY = {
    "egeunet": {"features": (16, 16, 16, 16, 16, 16)},
    "lightm_unet": {"features": (8, 16), "blocks_down": (1, 0), "blocks_up": (1,)},
    "malunet": {"features": (8, 8, 8, 12, 16, 16)},
    "nmode_unet": {"features": (4, 8, 8)},
    "ulite": {"features": (4, 8, 8)},
    "ultralight_vm_unet": {"features": (4, 8, 4, 8, 12, 8), "branches": 2},
    "unet_bilinear": {"features": (4, 8, 8)},
    "unet_valid": {"features": (4, 8, 8)},
    "unext": {"features": (4, 8, 10, 12, 14)},
    "unext_s": {"features": (4, 4, 8, 10, 14)},
    # Over four channels the differential equation amplifies rounding a hundredfold.
    "unode": {"features": (16, 16, 16)},
    "uresnet": {"features": (4, 4, 8)},
}

# What makes the number of operations independent of the image, where it is not by default.
FIXED_STEPS = {"unode": {"solver": "rk4"}}


def tiny_network(name, **arguments):
    """The network in eval, with weights and norm statistics away from their initial zeros and ones."""
    torch.manual_seed(0)
    network = create_network(name, **(TINY[name] | arguments))
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.add_(0.05 * torch.randn_like(tensor))
        for key, tensor in network.named_buffers():
            if key.endswith(("running_mean", "running_var")):
                tensor.add_(0.1 * torch.rand_like(tensor))
    return network.eval()


def image(*shape, seed=1):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def fitting_shape(network, batch=2):
    """An input shape that needs no padding."""
    height, width = network.size_multiple
    return (batch, network.in_channels, 4 * height, 5 * width)


def assert_near(actual, expected, share):
    """Largest difference at most `share` of the largest expected value."""
    assert actual.shape == expected.shape
    assert (actual.double() - expected.double()).abs().max() <= share * expected.abs().max()


def assert_near_in_norm(actual, expected, share):
    """Root mean square difference at most `share` of that of the expected values.

    For whole networks: where one normalises over a few channels, rounding errors of single pixels grow a hundredfold.
    """
    assert actual.shape == expected.shape
    assert (actual.double() - expected.double()).norm() <= share * expected.double().norm()
