"""UltraLight VM-UNet at its own size through the export paths; the small form of every network is tested elsewhere."""

import pytest
import torch

from monai_lightseg.networks import create_network
from tests.networks.tester import assert_near, image

pytestmark = pytest.mark.slow

SHAPES = ((1, 3, 256, 256), (3, 3, 192, 320), (1, 3, 255, 257))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return create_network("ultralight_vm_unet").eval()


@torch.no_grad()
@pytest.mark.parametrize("sides", [(256, 256), (192, 320)])
def test_torch_export_with_open_batch(network, sides):
    program = torch.export.export(network, (image(2, 3, *sides),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    for batch in (1, 3):
        x = image(batch, 3, *sides)
        assert_near(program.module()(x), network(x), 1e-5)


@torch.no_grad()
def test_onnx_with_open_batch_and_sides(network):
    runtime = pytest.importorskip("onnxruntime")
    shapes = ({0: "batch", 2: "height", 3: "width"},)
    program = torch.onnx.export(network, (image(2, 3, 256, 192),), dynamo=True, dynamic_shapes=shapes, verbose=False)
    session = runtime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for shape in SHAPES:
        x = image(*shape)
        output = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
        assert_near(torch.from_numpy(output), network(x), 1e-5)


@pytest.mark.parametrize("sides", [(256, 256), (192, 320)])
def test_onnx_with_open_batch(network, sides):
    runtime = pytest.importorskip("onnxruntime")
    with torch.no_grad():
        program = torch.onnx.export(
            network, (image(2, 3, *sides),), dynamo=True, dynamic_shapes=({0: "batch"},), verbose=False
        )
        session = runtime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
        for batch in (1, 3):
            x = image(batch, 3, *sides)
            output = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
            assert_near(torch.from_numpy(output), network(x), 1e-5)


def test_compiled_training_step_under_bfloat16(network):
    """Inductor once gave the bridge NaN gradients here."""
    torch._dynamo.reset()
    network.train()
    compiled = torch.compile(network, fullgraph=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = compiled(image(2, 3, 64, 64)).float().square().mean()
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
