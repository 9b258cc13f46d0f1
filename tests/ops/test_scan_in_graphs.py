"""The scan under torch.compile, torch.export and the ONNX exporter."""

import pytest
import torch
from torch import nn

from monai_lightseg.ops import ScanBackend, scan_backend, selective_scan
from tests.ops.reference_scan import relative_error, scan_inputs, with_gradients

SEQUENCES = ("u", "delta", "B", "C", "z")


class Scan(nn.Module):
    def forward(self, u, delta, A, B, C, D, z, delta_bias):
        return selective_scan(u, delta, A, B, C, D, z, delta_bias, True, True)


def open_axes(**dimensions):
    """Dynamic shapes of the arguments of Scan, with the batch and, if named, the length of all sequences open."""
    axes = {{"batch": 0, "length": 2}[name]: dimension for name, dimension in dimensions.items()}
    return tuple(axes if name in SEQUENCES else None for name in scan_inputs(1, 2, 3))


BATCH = torch.export.Dim("batch")
LENGTH = torch.export.Dim("length", min=2, max=100_000)


def assert_same(run, **sizes):
    inputs = scan_inputs(**sizes, dtype=torch.float32)
    for actual, expected in zip(run(*inputs.values()), Scan()(*inputs.values()), strict=True):
        assert relative_error(actual, expected) < 1e-6


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.parametrize("length", [1, 60, 256])
def test_compiled_without_graph_breaks(backend, length):
    torch._dynamo.reset()

    def scan(**inputs):
        return selective_scan(**inputs, return_last_state=True)

    compiled = torch.compile(scan, fullgraph=True, backend=backend)
    inputs = scan_inputs(2, 4, length, groups=2, dtype=torch.float32)
    outputs, gradients = with_gradients(compiled, inputs)
    expected_outputs, expected_gradients = with_gradients(scan, inputs)
    for name, expected in (expected_outputs | expected_gradients).items():
        assert relative_error((outputs | gradients)[name], expected) < 1e-6, name
    with torch.no_grad():
        y, _ = compiled(**inputs, delta_softplus=True)
    assert relative_error(y, expected_outputs["y"]) < 1e-6


def test_compiled_sees_a_forced_back_end():
    torch._dynamo.reset()
    compiled = torch.compile(lambda inputs: selective_scan(**inputs), fullgraph=True, backend="eager")
    inputs = scan_inputs(1, 2, 10)
    doubling = ScanBackend("doubling", lambda u, *_: (2 * u, u), lambda *_: None)
    with scan_backend(doubling):
        assert torch.equal(compiled(inputs), 2 * inputs["u"])
    assert not torch.equal(compiled(inputs), 2 * inputs["u"])


def test_export_with_open_batch():
    inputs = scan_inputs(2, 4, 50, dtype=torch.float32)
    module = torch.export.export(Scan(), tuple(inputs.values()), dynamic_shapes=open_axes(batch=BATCH)).module()
    for batch in (1, 2, 5):
        assert_same(module, batch=batch, channels=4, length=50)


def test_export_with_open_batch_and_length():
    inputs = scan_inputs(2, 4, 50, dtype=torch.float32)
    shapes = open_axes(batch=BATCH, length=LENGTH)
    module = torch.export.export(Scan(), tuple(inputs.values()), dynamic_shapes=shapes).module()
    for batch, length in ((1, 1), (2, 16), (5, 33), (1, 3000)):
        assert_same(module, batch=batch, channels=4, length=length)


def test_onnx_with_open_batch_and_length():
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    inputs = scan_inputs(2, 4, 50, dtype=torch.float32)
    program = torch.onnx.export(
        Scan().eval(),
        tuple(inputs.values()),
        dynamo=True,
        dynamic_shapes=open_axes(batch=BATCH, length=LENGTH),
        verbose=False,
    )
    session = runtime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])

    def run(*tensors):
        names = [argument.name for argument in session.get_inputs()]
        feeds = {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}
        return [torch.from_numpy(array) for array in session.run(None, feeds)]

    for batch, length in ((1, 1), (2, 50), (5, 33), (1, 3000)):
        assert_same(run, batch=batch, channels=4, length=length)
