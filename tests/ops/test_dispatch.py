"""Which back end runs."""

import sys
import threading
from types import ModuleType

import pytest
import torch

from monai_lightseg.ops import (
    ScanBackend,
    dispatch,
    list_scan_backends,
    mamba_ssm_scan,
    register_scan_backend,
    scan_backend,
    selective_scan,
)
from tests.ops.reference_scan import scan_inputs, sequential_scan


def counting_backend(name="counting"):
    calls = []

    def run(u, delta, A, B, C, *rest):
        calls.append((B.shape, C.shape))
        return u, u.new_zeros(*u.shape[:2], A.shape[1])

    return ScanBackend(name, run, lambda *_: None), calls


def chosen():
    return dispatch.chosen_backend(torch.zeros(1, 1, 1), torch.zeros(1, 1), False)


def test_auto_takes_torch_on_a_cpu():
    assert chosen().name == "torch"
    assert list_scan_backends()[-1] == "torch"


def test_context_manager_forces_and_restores():
    backend, calls = counting_backend()
    inputs = scan_inputs(2, 4, 10)
    with scan_backend(backend):
        assert torch.equal(selective_scan(**inputs), inputs["u"])
        with scan_backend("torch"):
            inner = selective_scan(**inputs)
        selective_scan(**inputs)
    assert torch.equal(selective_scan(**inputs), inner)
    assert calls == [((2, 1, 16, 10), (2, 1, 16, 10))] * 2


def test_context_manager_restores_after_an_error():
    with pytest.raises(KeyError), scan_backend(counting_backend()[0]):
        raise KeyError
    assert chosen().name == "torch"


def test_context_manager_holds_in_its_own_thread_only():
    names = []
    with scan_backend(counting_backend()[0]):
        thread = threading.Thread(target=lambda: names.append(chosen().name))
        thread.start()
        thread.join()
    assert names == ["torch"]


def test_environment_variable(monkeypatch):
    monkeypatch.setenv("LIGHTSEG_SCAN_BACKEND", "mamba_ssm")
    with pytest.raises(ValueError, match="'mamba_ssm' was asked for, but it runs on CUDA and the input is on cpu"):
        selective_scan(**scan_inputs(1, 2, 3))
    with scan_backend("auto"):
        selective_scan(**scan_inputs(1, 2, 3))
    monkeypatch.setenv("LIGHTSEG_SCAN_BACKEND", "")
    selective_scan(**scan_inputs(1, 2, 3))
    monkeypatch.setenv("LIGHTSEG_SCAN_BACKEND", "tritn")
    with pytest.raises(ValueError, match="LIGHTSEG_SCAN_BACKEND names 'tritn'; known: auto, mamba_ssm, torch"):
        selective_scan(**scan_inputs(1, 2, 3))


def test_unknown_name():
    with pytest.raises(ValueError, match="names 'cuda'; known"), scan_backend("cuda"):
        pass


def test_register(monkeypatch):
    monkeypatch.setattr(dispatch, "_BACKENDS", dict(dispatch._BACKENDS))
    backend, calls = counting_backend("native")
    register_scan_backend(backend)
    assert list_scan_backends()[0] == "native"
    selective_scan(**scan_inputs(1, 2, 3))
    assert len(calls) == 1
    for name in ("native", "auto"):
        with pytest.raises(ValueError, match="is taken"):
            register_scan_backend(ScanBackend(name, backend.run, backend.obstacle))


def test_auto_passes_over_a_back_end_that_cannot(monkeypatch):
    monkeypatch.setattr(dispatch, "_BACKENDS", dict(dispatch._BACKENDS))
    backend, calls = counting_backend("native")
    register_scan_backend(
        ScanBackend("native", backend.run, lambda u, *_: "no float64" if u.dtype.itemsize == 8 else None)
    )
    selective_scan(**scan_inputs(1, 2, 3))
    assert calls == []


def test_mamba_ssm_obstacles(monkeypatch):
    class OnCuda:
        device = torch.device("cuda", 0)
        dtype = torch.float32

    def obstacle(states=16, return_last_state=False):
        mamba_ssm_scan._import_problem.cache_clear()
        return mamba_ssm_scan.mamba_ssm_obstacle(OnCuda, torch.zeros(1, states), return_last_state)

    def broken(name):
        raise OSError("undefined symbol")

    monkeypatch.setattr(mamba_ssm_scan, "import_module", broken)
    assert "does not import (OSError: undefined symbol)" in obstacle()
    monkeypatch.setattr(mamba_ssm_scan, "import_module", lambda name: None)
    assert obstacle() is None
    assert "256 states at most" in obstacle(states=257)
    assert "no gradient" in obstacle(return_last_state=True)
    with torch.no_grad():
        assert obstacle(return_last_state=True) is None
    OnCuda.dtype = torch.float64
    assert "float64" in obstacle()
    mamba_ssm_scan._import_problem.cache_clear()


def test_mamba_ssm_is_called_as_its_function_is_defined(monkeypatch):
    interface = ModuleType("mamba_ssm.ops.selective_scan_interface")

    def selective_scan_fn(
        u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False, return_last_state=False
    ):
        assert return_last_state
        assert all(tensor.dtype == torch.float32 for tensor in (u, delta, A, B, C, D, z, delta_bias))
        return sequential_scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus)

    interface.selective_scan_fn = selective_scan_fn
    for name in ("mamba_ssm", "mamba_ssm.ops"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    forced = ScanBackend("mamba_ssm", mamba_ssm_scan.mamba_ssm_scan, lambda *_: None)
    inputs = scan_inputs(2, 4, 10, groups=2)
    inputs["u"] = inputs["u"].half()
    expected = selective_scan(**inputs, delta_softplus=True)
    with scan_backend(forced):
        y = selective_scan(**inputs, delta_softplus=True)
    assert y.dtype == torch.float16
    torch.testing.assert_close(y, expected)
