"""What is read from the authors' files, and what is refused without being run."""

import argparse
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from monai_lightseg.checkpoints import read_authors_file
from monai_lightseg.errors import LightsegError
from tests.checkpoints.authors_files import assert_same, lightning_checkpoint, training_checkpoint

WEIGHTS = {
    "encoder1.0.weight": torch.arange(6.0).reshape(2, 3),
    "ebn1.num_batches_tracked": torch.tensor(7),
}


def saved(content, path, **options):
    torch.save(content, path / "authors.pth", **options)
    return path / "authors.pth"


def prefixed(prefix):
    return {prefix + key: tensor for key, tensor in WEIGHTS.items()}


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        prefixed("module."),
        prefixed("_orig_mod."),
        prefixed("model."),
        prefixed("module._orig_mod."),
        prefixed("_orig_mod.module."),
        training_checkpoint(WEIGHTS),
        lightning_checkpoint(WEIGHTS),
        {"state_dict": WEIGHTS},
        {"model": WEIGHTS, "epoch": torch.tensor(3)},
        {"net": prefixed("module."), "acc": 0.9},
        {"network_weights": WEIGHTS, "current_epoch": 5, "logging": {"mean_fg_dice": [np.float32(0.5)]}},
        {"model": {"state_dict": WEIGHTS}},
        {"model": {"depth": 4}, "state_dict": WEIGHTS},
        {**WEIGHTS, "total_ops": torch.zeros(1), "encoder1.0.total_params": torch.zeros(1)},
        {**prefixed("module."), "total_ops": torch.zeros(1)},
        {**WEIGHTS, "epoch": 3, 5: torch.zeros(1)},
        {key: torch.nn.Parameter(tensor, requires_grad=False) for key, tensor in WEIGHTS.items()},
    ],
    ids=lambda content: "-".join(str(key).split(".")[0] for key in list(content)[:3]),
)
def test_nestings(content, tmp_path):
    weights = read_authors_file(saved(content, tmp_path))
    assert_same(weights, WEIGHTS)
    assert {type(tensor) for tensor in weights.values()} == {torch.Tensor}


@pytest.mark.parametrize("wrapper", ["module", "model"])
def test_a_wrapper_of_some_keys_stays(wrapper, tmp_path):
    content = {f"{wrapper}.weight": torch.zeros(1), "bias": torch.zeros(1)}
    assert_same(read_authors_file(saved(content, tmp_path)), content)


def test_weights_carry_no_gradient(tmp_path):
    path = saved({"weight": torch.nn.Parameter(torch.ones(2))}, tmp_path)
    assert not read_authors_file(path)["weight"].requires_grad


def test_safetensors(tmp_path):
    save_file(prefixed("module."), tmp_path / "authors.safetensors")
    assert_same(
        dict(sorted(read_authors_file(tmp_path / "authors.safetensors").items())), dict(sorted(WEIGHTS.items()))
    )


def test_safetensors_under_another_name(tmp_path):
    save_file(WEIGHTS, tmp_path / "authors.bin")
    assert read_authors_file(tmp_path / "authors.bin").keys() == WEIGHTS.keys()


def test_the_path_may_be_text(tmp_path):
    assert_same(read_authors_file(str(saved(WEIGHTS, tmp_path))), WEIGHTS)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.eye(3).to_sparse(),
        lambda: torch.eye(3).to_sparse_csr(),
        lambda: torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.qint8),
        lambda: torch.empty(3, device="meta"),
    ],
    ids=["coo", "csr", "quantised", "meta"],
)
def test_tensors_without_plain_values_are_refused(make, tmp_path):
    path = saved({**WEIGHTS, "head.weight": make()}, tmp_path)
    with pytest.raises(LightsegError, match=r"authors\.pth: head\.weight is sparse, quantised or without values"):
        read_authors_file(path)


def test_a_dictionary_that_holds_itself(tmp_path):
    content = {"epoch": 3}
    content["model"] = content
    with pytest.raises(LightsegError, match="holds no weights"):
        read_authors_file(saved(content, tmp_path))


@pytest.mark.parametrize("zipped", [True, False])
def test_numpy_scalars_of_every_kind(zipped, tmp_path):
    scalars = [np.float64(1), np.float32(1), np.int64(1), np.bool_(True), np.str_("one"), np.complex64(1)]
    content = {"state_dict": WEIGHTS, "losses": scalars, "best": {"dice": np.float16(0.5)}}
    path = saved(content, tmp_path, _use_new_zipfile_serialization=zipped)
    assert_same(read_authors_file(path), WEIGHTS)


def test_numpy_scalars_under_the_name_before_numpy_2(tmp_path):
    path = saved({"state_dict": WEIGHTS, "loss": np.float64(1)}, tmp_path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    now, before = b"cnumpy._core.multiarray\nscalar\n", b"cnumpy.core.multiarray\nscalar\n"
    assert (now in content) != (before in content)
    for module in (now, before):
        path.write_bytes(content.replace(now, module).replace(before, module))
        assert_same(read_authors_file(path), WEIGHTS)


def test_what_is_allowed_is_allowed_here_only(tmp_path):
    path = saved({"state_dict": WEIGHTS, "loss": np.float64(1)}, tmp_path)
    read_authors_file(path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


def test_what_the_program_allows_stays_apart(tmp_path):
    scalar = saved({"state_dict": WEIGHTS, "loss": np.float64(1)}, tmp_path)
    allowed = [argparse.Namespace, np.dtype, np.float64(1).__reduce__()[0]]
    with torch.serialization.safe_globals(allowed):
        before = set(torch.serialization.get_safe_globals())
        assert_same(read_authors_file(scalar), WEIGHTS)
        with pytest.raises(LightsegError, match=r"pickled argparse\.Namespace"):
            read_authors_file(saved({"state_dict": WEIGHTS, "args": argparse.Namespace(lr=1)}, tmp_path))
        assert set(torch.serialization.get_safe_globals()) == before


class Runs:
    """Makes a file when it is unpickled."""

    def __init__(self, made):
        self.made = made

    def __reduce__(self):
        return os.system, (f"touch {self.made}",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("how", ["zip", "legacy", "pickle"])
def test_code_is_not_run(protocol, how, tmp_path):
    content = {"state_dict": WEIGHTS, "extra": Runs(tmp_path / "made")}
    if how == "pickle":
        path = tmp_path / "authors.pth"
        path.write_bytes(pickle.dumps(Runs(tmp_path / "made"), protocol))
    else:
        path = saved(content, tmp_path, pickle_protocol=protocol, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(LightsegError, match=r"authors\.pth .*torch\.save\(model\.state_dict\(\)") as error:
        read_authors_file(path)
    assert protocol == 4 or f"holds a pickled {os.system.__module__}.system, and" in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        ({"model": torch.nn.Sequential(torch.nn.ReLU())}, "torch.nn.modules.container.Sequential"),
        ({"state_dict": WEIGHTS, "args": argparse.Namespace(lr=1)}, "argparse.Namespace"),
        ({"state_dict": WEIGHTS, "losses": np.zeros(3)}, f"{np.zeros(3).__reduce__()[0].__module__}._reconstruct"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_objects_are_refused_by_name(content, named, tmp_path):
    with pytest.raises(LightsegError, match=r"was not loaded: .*torch\.save\(model\.state_dict\(\)") as error:
        read_authors_file(saved(content, tmp_path))
    assert f"holds a pickled {named}," in str(error.value)


def zip_of_text(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "text")


def half_of(path, **options):
    torch.save({"weight": torch.rand(1000)}, path, **options)
    path.write_bytes(path.read_bytes()[:2000])


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_text("epoch 3"),
        lambda path: path.write_text("conv1\nweight\n"),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100)),
        lambda path: path.write_bytes(pickle.dumps([1, 2])),
        zip_of_text,
        half_of,
        lambda path: half_of(path, _use_new_zipfile_serialization=False),
    ],
    ids=["text", "instructions", "empty", "hdf5", "pickle", "zip", "cut", "cut_legacy"],
)
def test_no_checkpoint(write, tmp_path):
    path = tmp_path / "authors.pth"
    write(path)
    with pytest.raises(LightsegError, match=r"authors\.pth cannot be read as a checkpoint: [^\n]*$"):
        read_authors_file(path)


@pytest.mark.parametrize("file", ["none.pth", "none.safetensors"])
def test_no_such_file(file, tmp_path):
    with pytest.raises(LightsegError, match=rf"{file} cannot be read \(No such file or directory\)"):
        read_authors_file(tmp_path / file)


def test_folder(tmp_path):
    with pytest.raises(LightsegError, match=r"cannot be read \(Is a directory\)"):
        read_authors_file(tmp_path)


@pytest.mark.parametrize("content", [b"", b"text that is long enough for a header", b"\x02\0\0\0\0\0\0\0{"])
def test_no_safetensors(content, tmp_path):
    (tmp_path / "authors.safetensors").write_bytes(content)
    with pytest.raises(LightsegError, match=r"authors\.safetensors is damaged or no safetensors file"):
        read_authors_file(tmp_path / "authors.safetensors")


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"epoch": 3},
        {"weights": WEIGHTS},
        [torch.zeros(1)],
        torch.zeros(1),
        {"model": {"total_ops": torch.zeros(1)}},
    ],
    ids=["empty", "epoch", "other_key", "list", "tensor", "counters"],
)
def test_no_weights(content, tmp_path):
    with pytest.raises(LightsegError, match="holds no weights: no tensors at its top or under state_dict, "):
        read_authors_file(saved(content, tmp_path))


def test_several_candidates(tmp_path):
    content = {"model": {"net": WEIGHTS, "state_dict": WEIGHTS}, "network_weights": WEIGHTS}
    with pytest.raises(LightsegError, match=r"several places: model\.state_dict, model\.net, network_weights; "):
        read_authors_file(saved(content, tmp_path))
