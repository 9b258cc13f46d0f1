"""Peak activation memory against cases worked out by hand; a map is what a convolution makes."""

import pytest
import torch
from torch import nn

from monai_lightseg.ops import ScanBackend, scan_backend, selective_scan
from monai_lightseg.profiling import peak_activation_bytes

SIZE = (1, 2, 8, 8)
MAP = 2 * 8 * 8 * 4


def convolution():
    return nn.Conv2d(2, 2, 1)


class Host(nn.Module):
    """A parameter, a buffer, a constant that is neither, and one function that gets all of them."""

    def __init__(self, function):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(SIZE))
        self.register_buffer("buffer", torch.ones(SIZE))
        self.constant = torch.ones(SIZE)
        self.function = function

    def forward(self, x):
        return self.function(self, x)


class Doubled(torch.autograd.Function):
    """Makes one map that it does not return."""

    @staticmethod
    def forward(ctx, x):
        return x * 4 - x * 2

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 2


def chain_by_hand(_, x):
    first = x + 1
    second = first + 1
    del first
    return second + 1


def skip(_, x):
    kept = x + 1
    return kept + ((kept + 1) + 1)


def two_of_three_freed(_, x):
    parts = [x + 1, x + 2, x + 3]
    parts = parts[:1]
    return parts[0] + 1


def same_memory(_, x):
    y = x + 1
    halves = [*y.chunk(2, dim=1), y.view(-1), y.transpose(2, 3), y.expand(3, 2, 8, 8), y.detach(), *y.unbind(0)]
    return [part.unsqueeze(0) for part in halves]


def from_outside(host, x):
    weight, buffer, constant = host.weight.view(-1), host.buffer[:, :1], host.constant.flatten()
    return weight, buffer, constant, x.reshape(-1), host.weight.detach(), x.contiguous()


def in_place(_, x):
    y = x + 1
    y.mul_(2).relu_()
    y[:, :1] = 0
    return torch.add(y, 1, out=y)


def broadcast_product(_, x):
    # The factors are (2, 1, 8, 8) and (1, 2, 8, 8); batched multiplication copies both to (2, 2, 8, 8).
    return torch.matmul(x.transpose(0, 1), x)


@pytest.mark.parametrize(
    ("function", "maps"),
    [
        (lambda _, x: x, 0),
        (lambda _, x: x + 1, 1),
        (chain_by_hand, 2),
        (skip, 3),
        (two_of_three_freed, 3),
        (same_memory, 1),
        (from_outside, 0),
        (in_place, 1),
        (lambda _, x: torch.zeros(2, *x.shape[1:]), 2),
        (lambda _, x: torch.cat([x, x, x]), 3),
        (lambda _, x: (x + 1).double(), 1 + 2),
        (lambda _, x: (x + 1).unbind(1)[0] + 1, 1 + 0.5),
        (lambda _, x: Doubled.apply(x), 3),
        (broadcast_product, 2 + 2 + 2),
    ],
)
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_maps_alive_at_once(function, maps, mode):
    with mode():
        assert peak_activation_bytes(Host(function), SIZE) == maps * MAP


def test_chain_of_convolutions_keeps_two_maps():
    assert peak_activation_bytes(nn.Sequential(*(convolution() for _ in range(5))), SIZE) == 2 * MAP


def test_activations_in_place_add_nothing():
    layers = [layer for _ in range(4) for layer in (convolution(), nn.ReLU(inplace=True))]
    assert peak_activation_bytes(nn.Sequential(*layers), SIZE) == 2 * MAP


def test_indices_of_a_pooling_count():
    network = nn.Sequential(convolution(), nn.MaxPool2d(2, return_indices=True))
    assert peak_activation_bytes(network, SIZE) == MAP + MAP // 4 + 2 * MAP // 4


def test_a_batch_and_a_wider_type_cost_as_much_more():
    network = nn.Sequential(convolution(), convolution())
    assert peak_activation_bytes(network, (3, *SIZE[1:])) == 3 * 2 * MAP
    assert peak_activation_bytes(network.double(), SIZE) == 2 * 2 * MAP


def fused_scan(u, delta, A, *_):
    return torch.zeros_like(u), u.new_zeros(*u.shape[:2], A.shape[1])


def test_states_of_a_scan_count_where_it_makes_tensors_of_them():
    u, A, B = torch.zeros(2, 4, 9), -torch.ones(4, 16), torch.zeros(2, 16, 9)
    network = Host(lambda *_: selective_scan(u, u, A, B, B))
    output, last_state, states = 2 * 4 * 9 * 4, 2 * 4 * 16 * 4, 2 * 4 * 16 * 9 * 4
    with scan_backend(ScanBackend("fused", fused_scan)):
        assert peak_activation_bytes(network, SIZE) == output + last_state
    with scan_backend("torch"):
        assert peak_activation_bytes(network, SIZE) >= 2 * states


@pytest.mark.parametrize("training", [True, False])
def test_network_is_left_as_it_was(training):
    network = nn.Sequential(convolution(), nn.BatchNorm2d(2), nn.Dropout(0.5)).train(training)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    peak_activation_bytes(network, SIZE)
    assert all(module.training is training for module in network.modules())
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_on_another_device():
    network = nn.Sequential(convolution(), nn.ReLU(), convolution())
    assert peak_activation_bytes(network.to("meta"), SIZE) == 2 * MAP
