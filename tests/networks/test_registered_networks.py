"""The contract of the design, for every network in the registry."""

import copy
import inspect
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.bundle.config_item import ComponentLocator
from monai.data import MetaTensor
from safetensors.torch import load_file, save_file

import monai_lightseg.networks
from monai_lightseg.networks import create_network, list_networks, network_card, network_class
from monai_lightseg.networks.registry import register_network
from monai_lightseg.profiling import count_flops, count_macs, count_macs_thop, count_parameters
from tests.networks.tester import TINY, assert_near_in_norm, fitting_shape, image, tiny_network

every_network = pytest.mark.parametrize("name", list_networks())

# A batch splits the work of a convolution otherwise, and graph runtimes fuse: float32 sums in another order. Measured
# up to 5e-6 of the output's norm, in EGE-UNet, which normalises over five channels and more.
ROUNDING = 1e-5


def test_every_network_has_tiny_arguments():
    assert sorted(TINY) == list_networks()


def test_names_are_sorted():
    assert list_networks() == sorted(list_networks())
    assert "nmode_unet" in list_networks()


def test_misspelt_name_suggests():
    with pytest.raises(ValueError, match="did you mean 'nmode_unet'"):
        create_network("nmode_unett")


def test_name_registered_twice():
    with pytest.raises(ValueError, match="registered twice"):
        register_network(network_card("nmode_unet"))(torch.nn.Identity)


@every_network
def test_every_parameter_gets_a_gradient(name):
    network = tiny_network(name).train()
    output = network(image(*fitting_shape(network)))
    main = output[0] if isinstance(output, list) else output
    main.square().mean().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


@every_network
@pytest.mark.parametrize("out_channels", [1, 2, 5])
@pytest.mark.parametrize("in_channels", [1, 3, 4])
def test_channels(name, in_channels, out_channels):
    network = tiny_network(name, in_channels=in_channels, out_channels=out_channels)
    batch, _, height, width = shape = fitting_shape(network)
    with torch.no_grad():
        assert network(image(*shape)).shape == (batch, out_channels, height, width)


@every_network
def test_any_size_in_eval(name):
    network = tiny_network(name)

    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(height=st.integers(1, 70), width=st.integers(1, 70))
    def check(height, width):
        with torch.no_grad():
            output = network(image(1, 3, height, width))
        assert output.shape == (1, 1, height, width)
        assert output.isfinite().all()

    check()


@every_network
def test_multiples_are_not_padded(name):
    network = tiny_network(name)
    seen = []
    encode = network.encode
    network.encode = lambda x: (seen.append(x), encode(x))[1]
    multiple = network.size_multiple[0]
    fitting = image(*fitting_shape(network))
    with torch.no_grad():
        network(fitting)
        network(image(1, 3, multiple + 1, 2 * multiple))
    assert seen[0] is fitting
    assert seen[1].shape[2:] == (2 * multiple, 2 * multiple)


@every_network
def test_border_is_repeated(name):
    network = tiny_network(name)
    _, _, height, width = fitting_shape(network)
    small = image(1, 3, height - 1, width - 1)
    padded = torch.cat([small, small[..., -1:]], dim=-1)
    padded = torch.cat([padded, padded[..., -1:, :]], dim=-2)
    with torch.no_grad():
        assert_near_in_norm(network(small), network(padded)[..., :-1, :-1], ROUNDING)


@every_network
def test_training_with_one_value_per_channel(name):
    network = tiny_network(name).train()
    side = network.size_multiple[0]
    with pytest.raises(ValueError, match="batch of two or more"):
        network(image(1, 3, side, side))
    network(image(2, 3, side, side))
    network(image(1, 3, side, side + 1))


@every_network
def test_wrong_input(name):
    network = tiny_network(name)
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\), got \(1, 4, 16, 16\)"):
        network(image(1, 4, 16, 16))
    with pytest.raises(ValueError, match=r"got \(3, 16, 16\)"):
        network(image(3, 16, 16))
    with pytest.raises(ValueError, match=r"got \(1, 3, 1, 16, 16\)"):
        network(image(1, 3, 1, 16, 16))


@every_network
def test_eval_is_deterministic(name):
    network = tiny_network(name)
    x = image(*fitting_shape(network))
    with torch.no_grad():
        assert torch.equal(network(x), network(x))


@every_network
def test_eval_is_batch_independent(name, request):
    expect_what_the_card_says(name, "independent_batch", request)
    network = tiny_network(name)
    x = image(*fitting_shape(network, batch=3))
    with torch.no_grad():
        together = network(x)
        alone = torch.cat([network(x[i : i + 1]) for i in range(3)])
    assert_near_in_norm(alone, together, ROUNDING)


@every_network
def test_deepcopy_after_a_forward(name):
    network = tiny_network(name).train()
    x = image(*fitting_shape(network))
    network(x)
    twin = copy.deepcopy(network).eval()
    with torch.no_grad():
        assert torch.equal(twin(x), network.eval()(x))


@every_network
def test_state_dict_through_safetensors(name, tmp_path):
    network = tiny_network(name)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    other = create_network(name, **TINY[name]).eval()
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"), strict=True)
    x = image(*fitting_shape(network))
    with torch.no_grad():
        assert torch.equal(other(x), network(x))


@every_network
@pytest.mark.parametrize("size", [(16, 20), (17, 21)])
def test_meta_tensor(name, size):
    network = tiny_network(name)
    x = image(1, 3, *size)
    with torch.no_grad():
        output = network(MetaTensor(x, meta={"filename_or_obj": "a.png"}))
        plain = network(x)
    assert isinstance(output, MetaTensor)
    assert output.meta["filename_or_obj"] == "a.png"
    assert type(plain) is torch.Tensor
    assert torch.equal(output.as_tensor(), plain)


# bfloat16 keeps 8 bits, float16 11, and the error grows over ten layers and more. What EGE-UNet's norms over few
# channels make of the error of bfloat16 is on its card.
HALF_PRECISION = [
    (name, dtype, 0.05 if dtype is torch.bfloat16 else 0.03)
    for name in list_networks()
    for dtype in (torch.bfloat16, torch.float16)
    if (name, dtype) != ("egeunet", torch.bfloat16)
]


@pytest.mark.parametrize(("name", "dtype", "share"), HALF_PRECISION)
def test_autocast(name, dtype, share):
    network = tiny_network(name)
    x = image(*fitting_shape(network))
    with torch.no_grad():
        exact = network(x)
        with torch.autocast("cpu", dtype=dtype):
            output = network(x)
    assert_near_in_norm(output, exact, share)


@every_network
def test_double(name):
    network = tiny_network(name)
    x = image(*fitting_shape(network))
    with torch.no_grad():
        single = network(x)
        double = copy.deepcopy(network).double()(x.double())
    assert double.dtype == torch.float64
    assert_near_in_norm(double, single, ROUNDING)


def expect_what_the_card_says(name, capability, request):
    reason = network_card(name).not_supported.get(capability)
    if reason:
        # Strict: once a capability works, it has to leave the card.
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))


def script(network, x):
    return torch.jit.script(network)


def export(network, x):
    """Batch and both sides dynamic; from two bottleneck pixels a side up, as torch.export keeps 1 apart."""
    auto = torch.export.Dim.AUTO
    program = torch.export.export(network, (x,), dynamic_shapes=({0: auto, 2: auto, 3: auto},))
    module = program.module()
    height, width = network.size_multiple
    for shape in ((3, 3, 2 * height, 3 * width), (5, 3, 3 * height - 1, 2 * width), (2, 3, height + 1, width + 1)):
        y = image(*shape)
        assert_near_in_norm(module(y), network(y), ROUNDING)
    return module


def onnx(network, x):
    """Batch and both sides dynamic, checked from one pixel up."""
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    shapes = ({0: "batch", 2: "height", 3: "width"},)
    program = torch.onnx.export(network, (x,), dynamo=True, dynamic_shapes=shapes, verbose=False)
    session = runtime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])

    def run(y):
        return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: y.numpy()})[0])

    height, width = network.size_multiple
    for shape in ((1, 3, height, width), (3, 3, 2 * height + 1, width), (1, 3, 1, 1)):
        y = image(*shape)
        assert_near_in_norm(run(y), network(y), 1e-4)
    return run


def compiled(network, x):
    # Static, as the other networks of this process have other sizes: a second size would open the sides of the graph,
    # which takes minutes where a sequence is scanned.
    return torch.compile(network, backend="aot_eager", dynamic=False)


CAPABILITIES = {"script": script, "export": export, "onnx": onnx, "compile": compiled}


@every_network
@pytest.mark.parametrize("capability", CAPABILITIES)
@torch.no_grad()
def test_capability(name, capability, request):
    expect_what_the_card_says(name, capability, request)
    network = tiny_network(name)
    x = image(*fitting_shape(network))
    other = CAPABILITIES[capability](network, x)
    assert_near_in_norm(other(x), network(x), 1e-4)


@every_network
@pytest.mark.slow
@torch.no_grad()
def test_compiled_by_inductor(name):
    if "compile" in network_card(name).not_supported:
        pytest.skip(network_card(name).not_supported["compile"])
    network = tiny_network(name)
    x = image(*fitting_shape(network))
    assert_near_in_norm(torch.compile(network, dynamic=False)(x), network(x), 1e-4)


@every_network
def test_card_is_complete(name):
    card = network_card(name)
    assert card.name == name
    for field in ("title", "paper", "origin", "licence", "description", "parallelized"):
        assert getattr(card, field).strip(), field
    assert 2000 <= card.year <= 2100
    assert card.paper.startswith(("arXiv:", "doi:"))
    assert "/" in card.origin
    assert all(quirk.strip() for quirk in card.quirks)
    assert all(reason.strip() for reason in card.not_supported.values())
    assert set(card.not_supported) <= {*CAPABILITIES, "independent_batch"}
    assert card.reference_parameters


@every_network
def test_card_figures(name):
    card = network_card(name)
    with torch.device("meta"):
        network = create_network(name)
        for arguments, parameters in card.reference_parameters:
            assert count_parameters(create_network(name, **arguments)) == parameters, arguments
    assert count_parameters(network) == card.parameters
    assert network.size_multiple == (card.size_multiple,) * 2
    # On the meta device the counters see every shape, and nothing is computed.
    assert count_macs_thop(network) == card.macs_thop
    assert count_macs(network) == card.macs
    assert count_flops(network) == card.flops


@every_network
def test_constructor_is_keyword_only(name):
    parameters = inspect.signature(network_class(name)).parameters
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters.values())
    for argument in ("spatial_dims", "in_channels", "out_channels", "dropout", "deep_supervision"):
        assert argument in parameters
    with pytest.raises(TypeError, match="no_such_argument"):
        create_network(name, no_such_argument=1)


@every_network
def test_deep_supervision(name):
    try:
        network = tiny_network(name, deep_supervision=True)
    except ValueError as error:
        assert "deep_supervision" in str(error)
        return
    plain = tiny_network(name)
    assert network.state_dict().keys() == plain.state_dict().keys()
    x = image(*fitting_shape(network))
    with torch.no_grad():
        assert torch.equal(network(x), plain(x))
    outputs = network.train()(x)
    assert isinstance(outputs, list)
    assert len(outputs) - 1 == len(network.auxiliary_weights) > 0
    sides = [output.shape[-1] for output in outputs]
    assert sides[0] == x.shape[-1]
    assert all(finer > coarser for finer, coarser in pairwise(sides))


def test_names_do_not_collide_with_monai():
    locator = ComponentLocator()
    locator.get_component_module_name("nothing")
    monai_names, our_names = set(), set(monai_lightseg.networks.__all__)
    for component, modules in locator._components_table.items():
        for module in modules:
            (our_names if module.startswith("monai_lightseg") else monai_names).add(component)
    assert "UNet" in monai_names
    assert "NmODEUNet" in our_names
    assert our_names & monai_names == set()
