"""Conversion of the authors' state dicts: every key finds its place, or an error lists it."""

import json
import re

import pytest
import torch

from monai_lightseg.checkpoints import convert
from monai_lightseg.errors import LightsegError
from monai_lightseg.networks import create_network
from tests.checkpoints.authors_files import FIXTURES

ARGUMENTS = {"solver": "heun", "ordering": "CB_R"}


def authors_weights(path):
    """The keys and shapes of the authors' network; the meta device holds no values."""
    fixture = json.loads(path.read_text())
    weights = {
        key: torch.empty(shape, dtype=getattr(torch, dtype), device="meta") for key, shape, dtype in fixture["keys"]
    }
    return fixture["network"], fixture["arguments"], weights


def weights_of(stem):
    return authors_weights(next(path for path in FIXTURES if path.stem == stem))[2]


def heun_weights():
    return weights_of("nmode_unet_hd_cb_r")


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_every_key_finds_its_place(path):
    name, arguments, weights = authors_weights(path)
    converted = convert(name, weights, **arguments)
    with torch.device("meta"):
        network = create_network(name, **arguments)
    assert list(converted) == list(network.state_dict())
    network.load_state_dict(converted, strict=True, assign=True)
    # The same tensors, each once: nothing is copied or lost.
    assert {id(tensor) for tensor in converted.values()} == {id(tensor) for tensor in weights.values()}
    assert len(converted) == len(weights)


def test_every_solver_and_ordering_is_covered():
    seen = set()
    for path in FIXTURES:
        _, arguments, _ = authors_weights(path)
        seen.add((arguments.get("solver"), arguments.get("ordering")))
    solvers, orderings = ("euler", "heun", "multistep"), ("C_RB", "C_BR", "CR_B", "CB_R")
    assert {(solver, ordering) for solver in solvers for ordering in orderings} <= seen


def test_unknown_network():
    with pytest.raises(LightsegError, match=r"no key map for network 'nnunet'; there are maps for .*nmode_unet"):
        convert("nnunet", {})


def test_missing_key_is_listed_by_our_name():
    weights = heun_weights()
    del weights["inc.double_conv.0.weight"]
    with pytest.raises(LightsegError, match=r"nothing fills: encoder\.levels\.0\.conv1\.weight$"):
        convert("nmode_unet", weights, **ARGUMENTS)


def test_extra_key_is_listed_by_their_name():
    weights = heun_weights()
    weights["up9.g.weight"] = torch.empty(1, device="meta")
    with pytest.raises(LightsegError, match=r"fit nothing: up9\.g\.weight$"):
        convert("nmode_unet", weights, **ARGUMENTS)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("encoder4.0.mamba.A_log", "encoder.levels.3.mamba.A_log"),
        ("decoder5.0.bias", "decoder.levels.4.bias"),
        ("dbn1.weight", "decoder.norms.0.weight"),
        ("scab.catt.get_all_att.weight", "decoder.bridge.channel.mix.weight"),
        ("scab.satt.shared_conv2d.0.bias", "decoder.bridge.spatial.conv.bias"),
    ],
)
def test_missing_key_of_ultralight_vm_unet(theirs, ours):
    weights = weights_of("ultralight_vm_unet_x4")
    del weights[theirs]
    with pytest.raises(LightsegError, match=rf"nothing fills: {re.escape(ours)}$"):
        convert("ultralight_vm_unet", weights)


# Names close to those the key map knows: a level, a norm and an attention too many, and a parameter Mamba has not.
@pytest.mark.parametrize(
    "key",
    ["encoder7.0.weight", "ebn6.weight", "scab.catt.att6.weight", "encoder4.0.mamba.in_proj.bias", "module.final.bias"],
)
def test_extra_key_of_ultralight_vm_unet(key):
    weights = weights_of("ultralight_vm_unet_x4")
    weights[key] = torch.empty(1, device="meta")
    with pytest.raises(LightsegError, match=rf"fit nothing: {re.escape(key)}$"):
        convert("ultralight_vm_unet", weights)


def test_two_keys_for_one_place():
    weights = heun_weights()
    weights["up1.g.weight"] = weights["up1.g.0.weight"]
    with pytest.raises(LightsegError, match=r"fit nothing: up1\.g\.weight$"):
        convert("nmode_unet", weights, **ARGUMENTS)


def test_wrong_shape_is_listed():
    weights = heun_weights()
    weights["outc.conv.bias"] = torch.empty(2, device="meta")
    with pytest.raises(LightsegError, match=r"differ: decoder\.head\.bias has \(2,\), the network \(1,\)$"):
        convert("nmode_unet", weights, **ARGUMENTS)


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.complex64])
def test_another_kind_of_number_is_listed(dtype):
    weights = heun_weights()
    weights["outc.conv.bias"] = torch.empty(1, dtype=dtype, device="meta")
    with pytest.raises(LightsegError, match=rf"differ: decoder\.head\.bias holds {dtype}, the network torch.float32$"):
        convert("nmode_unet", weights, **ARGUMENTS)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_floating_number_will_do(dtype):
    weights = heun_weights()
    weights["outc.conv.bias"] = torch.empty(1, dtype=dtype, device="meta")
    assert convert("nmode_unet", weights, **ARGUMENTS)["decoder.head.bias"].dtype == dtype


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"solvr": "heun"}, "nmode_unet has no argument solvr; it has: "),
        ({"solver": "huen"}, r"nmode_unet cannot be built with \{'solver': 'huen'\}: "),
    ],
)
def test_arguments_that_do_not_build_the_network(arguments, message):
    with pytest.raises(LightsegError, match=message):
        convert("nmode_unet", heun_weights(), **arguments)


def test_one_line_for_each_problem():
    weights = heun_weights()
    del weights["outc.conv.weight"]
    weights["extra"] = torch.empty(1, device="meta")
    weights["outc.conv.bias"] = torch.empty(2, device="meta")
    weights["inc.double_conv.0.bias"] = torch.empty(3, device="meta")
    with pytest.raises(LightsegError) as error:
        convert("nmode_unet", weights, **ARGUMENTS)
    assert str(error.value).splitlines() == [
        "weights do not fit 'nmode_unet' with {'solver': 'heun', 'ordering': 'CB_R'}:",
        "keys of the given weights that fit nothing: extra",
        "keys of the network that nothing fills: decoder.head.weight",
        "shapes that differ: encoder.levels.0.conv1.bias has (3,), the network (64,); "
        "decoder.head.bias has (2,), the network (1,)",
    ]


@pytest.mark.parametrize("count", [10, 11])
def test_ten_keys_are_listed(count):
    extra = [f"extra{number}" for number in range(count)]
    weights = heun_weights() | {key: torch.empty(1, device="meta") for key in extra}
    with pytest.raises(LightsegError) as error:
        convert("nmode_unet", weights, **ARGUMENTS)
    rest = "" if count == 10 else " and 1 more"
    assert str(error.value).endswith(f"fit nothing: {', '.join(extra[:10])}{rest}")


def hint(name, weights, **arguments):
    """The second line of the error where it names a network, else None."""
    with pytest.raises(LightsegError) as error:
        convert(name, weights, **arguments)
    _, second, *lines = str(error.value).splitlines()
    assert not any(line.startswith("these keys") for line in lines)
    return second if second.startswith("these keys") else None


@pytest.mark.parametrize(
    ("stem", "name", "fits"),
    [
        ("malunet", "egeunet", "'malunet'"),
        ("egeunet", "malunet", "'egeunet'"),
        ("ultralight_vm_unet_x4", "malunet", "'ultralight_vm_unet'"),
        ("ultralight_vm_unet_x1", "ultralight_vm_unet", "'ultralight_vm_unet' with {'branches': 1}"),
        ("nmode_unet_hd_cb_r", "unet_bilinear", "'nmode_unet' with {'solver': 'heun', 'ordering': 'CB_R'}"),
        ("unext_s", "unext", "'unext_s'"),
    ],
)
def test_the_network_that_fits_is_named(stem, name, fits):
    assert hint(name, weights_of(stem)) == f"these keys and shapes fit {fits}"


def test_a_network_that_fits_but_for_shapes_is_named():
    weights = weights_of("nmode_unet_baseline") | {"outc.conv.bias": torch.empty(7, device="meta")}
    assert hint("nmode_unet", weights) == "these keys fit 'unet_bilinear'"


def test_no_hint_where_none_fits():
    weights = weights_of("malunet")
    del weights["final.bias"]
    assert hint("egeunet", weights) is None


@pytest.mark.parametrize("arguments", [{}, {"branches": 4}])
def test_no_hint_where_only_the_shapes_are_wrong(arguments):
    weights = weights_of("ultralight_vm_unet_x4") | {"final.bias": torch.empty(7, device="meta")}
    assert hint("ultralight_vm_unet", weights, **arguments) is None
