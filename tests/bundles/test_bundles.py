"""Every bundle through MONAI's own commands, on drawn images; see `monai.bundle` and its specification."""

import csv
import hashlib
import json
import shutil
import subprocess
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import monai.bundle
import numpy as np
import onnxruntime
import pytest
import torch
from monai.bundle import create_workflow
from PIL import Image

from monai_lightseg.checkpoints import load_network
from monai_lightseg.data import load_protocol
from monai_lightseg.data.label_images import read_labels
from monai_lightseg.metrics import score_glands
from monai_lightseg.workflows.bundles import bundle_folder, bundles_folder, list_bundles, load_bundle
from monai_lightseg.workflows.evaluation import evaluate_models

SCHEMA = Path(__file__).parent / "meta_schema_20240725.json"
SCHEMA_MD5 = "76e1add273836515d0bbb3bc71962474"
GLANDS = "glas_gland_unode"
SKIN = [name for name in list_bundles() if name.startswith("isic")]
# Warnings that a bundle cannot avoid.
UNAVOIDABLE = (
    'any `"_target_"` value in it is resolved',  # MONAI says it of every config
    "`torch.jit",  # TorchScript is deprecated as a whole
    "cause the trace to be incorrect",  # a trace holds for its size, as the model card says
)


@pytest.fixture
def copied(request, tmp_path, monkeypatch):
    """A copy of the bundle, which is the working directory."""
    folder = tmp_path / request.param
    shutil.copytree(bundle_folder(request.param), folder)
    monkeypatch.chdir(folder)
    return folder


@contextmanager
def no_avoidable_warnings():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    said = [str(warning.message) for warning in caught]
    assert [text for text in said if not any(known in text for known in UNAVOIDABLE)] == []


def every_bundle(names):
    return pytest.mark.parametrize("copied", names, indirect=True)


def run(*configs, **overrides):
    """`python -m monai.bundle run` in this process."""
    files = [f"configs/{name}.json" for name in configs]
    monai.bundle.run(config_file=files if len(files) > 1 else files[0], **overrides)


@every_bundle(list_bundles())
def test_metadata_fit_the_schema(copied):
    with no_avoidable_warnings():
        monai.bundle.verify_metadata(meta_file="configs/metadata.json", filepath=str(SCHEMA), hash_val=SCHEMA_MD5)
    content = json.loads(Path("configs/metadata.json").read_text())
    assert content["version"] in content["changelog"]
    assert all(content[name] for name in ("monai_version", "pytorch_version", "numpy_version", "eval_metrics"))


@every_bundle(list_bundles())
def test_network_fits_the_metadata(copied):
    with no_avoidable_warnings():
        monai.bundle.verify_net_in_out(
            net_id="network_def", meta_file="configs/metadata.json", config_file="configs/inference.json", device="cpu"
        )


@every_bundle(list_bundles())
def test_files_of_a_bundle(copied):
    for name in ("LICENSE", "docs/README.md", "docs/data_license.txt", "configs/logging.conf", "models/receipt.json"):
        assert Path(name).stat().st_size > 0


@every_bundle(list_bundles())
def test_receipt_is_that_of_the_weights_and_scores(copied):
    receipt = json.loads(Path("models/receipt.json").read_text())
    for name, digest in receipt["sha256_of_weights"].items():
        assert hashlib.sha256(Path("models", name).read_bytes()).hexdigest() == digest
    assert len(receipt["validation_losses"]) == receipt["epochs"]
    assert receipt["validation_losses"][receipt["best_epoch"] - 1] == min(receipt["validation_losses"])
    protocol = load_protocol(receipt["protocol"])
    assert receipt["sha256_of_ids"] == {part: of.sha256 for part, of in protocol.parts.items()}
    for test in receipt["tests"]:
        with Path("models", test["per_image"]).open() as lines:
            rows = list(csv.DictReader(lines))
        cases = [row["case"] for row in rows]
        if receipt["protocol"].startswith("glas"):
            assert sorted(cases) == sorted(protocol.ids("test"))
            continue
        if test["name"] == "test":
            assert cases == sorted(protocol.ids("test"))
        assert len(rows) == test["images"]
        tp, fp, fn = (sum(int(row[name]) for row in rows) for name in ("tp", "fp", "fn"))
        assert test["scores"]["dice_pooled"]["estimate"] == pytest.approx(2 * tp / (2 * tp + fp + fn))
        mean = np.mean([float(row["dice"]) for row in rows])
        assert test["scores"]["dice_per_image"]["estimate"] == pytest.approx(mean)


@every_bundle(list_bundles())
def test_weights_are_tensors_and_the_same_in_both_files(copied):
    state = torch.load("models/model.pt", weights_only=True)
    assert all(type(value) is torch.Tensor for value in state.values())
    network = load_network("models/model.safetensors")
    assert list(network.state_dict()) == list(state)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


@pytest.mark.filterwarnings("error", "ignore:parsing config_file")  # MONAI says so of every bundle
@pytest.mark.parametrize("workflow", ["train", "inference"])
@pytest.mark.parametrize("name", list_bundles())
def test_monai_loads_the_same_offline_from_anywhere(name, workflow, tmp_path, monkeypatch):
    def download(**_):
        raise AssertionError("MONAI looks for the bundle in the network")

    monkeypatch.setattr("monai.bundle.scripts.download", download)
    monkeypatch.chdir(tmp_path)
    theirs = monai.bundle.load(name, bundle_dir=str(bundles_folder()), workflow_type=workflow, device="cpu")
    ours = load_bundle(name)
    assert type(theirs) is type(ours)
    weights = theirs.state_dict()
    assert weights.keys() == ours.state_dict().keys()
    assert all(torch.equal(value, weights[key]) for key, value in ours.state_dict().items())
    assert list(tmp_path.iterdir()) == []


def test_all_weights_are_small():
    sizes = [
        path.stat().st_size for name in list_bundles() for path in (bundle_folder(name) / "models").glob("model.*")
    ]
    assert sum(sizes) < 10e6


@every_bundle(SKIN)
def test_skin_bundle_trains_resumes_evaluates(copied, datalist):
    small = {"dataset_dir": str(datalist), "image_size": [32, 64], "batch_size": 2, "ckpt_dir": "new", "device": "cpu"}
    monai_scores = trained_resumed_evaluated(small)
    ours = evaluate_only_predicted(Path("eval/predictions"), datalist / "labels")
    # MONAI sums in float32.
    assert float(monai_scores["dice_pooled"]) == pytest.approx(ours.pooled["dice"], abs=1e-6)
    assert float(monai_scores["dice_per_image"]) == pytest.approx(ours.per_image_mean["dice"], abs=1e-6)


@every_bundle(SKIN)
def test_skin_bundle_predicts_upright_at_the_image_size(copied, tmp_path):
    """A dark ellipse in the upper left of pictures of several sizes and kinds is found where it is."""
    images = tmp_path / "images"
    images.mkdir()
    for name, size in (("wide.png", (200, 300)), ("tall.jpg", (301, 201)), ("grey.png", (160, 160))):
        picture, _ = lesion(*size)
        picture = picture.convert("L") if name.startswith("grey") else picture
        picture.save(images / name)
    with no_avoidable_warnings():
        run("inference", dataset_dir=str(images), output_dir="masks", device="cpu")
    for name, size in (("wide", (200, 300)), ("tall", (301, 201)), ("grey", (160, 160))):
        mask = pixels_of(f"masks/{name}.png")
        assert mask.shape == size
        assert set(np.unique(mask)) <= {0, 255}
        _, true = lesion(*size)
        found = mask > 0
        assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.7
    workflow = create_workflow(
        config_file="configs/inference.json", workflow_type="inference", dataset_dir=str(images), device="cpu"
    )
    assert workflow.check_properties() == []


@every_bundle([name for name in list_bundles() if name == GLANDS])
def test_gland_bundle_trains_resumes_evaluates(copied, glas):
    small = {"dataset_dir": str(glas), "reduction": 0.5, "crop_size": [32, 32], "ckpt_dir": "new", "device": "cpu"}
    monai_scores = trained_resumed_evaluated(small)
    labels = {name: read_labels(glas / f"{name}_anno.bmp") for name in ("testA_1", "testB_2")}
    found = [(name, read_labels(Path(f"eval/predictions/{name}.png")), truth) for name, truth in labels.items()]
    for name, value in score_glands(found).total.dataset.items():
        assert float(monai_scores[name]) == pytest.approx(value, rel=1e-6)
    for name in labels:
        glands = pixels_of(f"eval/predictions/{name}.png")
        assert glands.shape == pixels_of(glas / f"{name}.bmp").shape[:2]
        assert glands.dtype.itemsize > 1  # there may be more than 255 glands


@every_bundle([name for name in list_bundles() if name == GLANDS])
def test_gland_bundle_predicts_the_size_of_the_image(copied, glas, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    shutil.copy(glas / "testA_1.bmp", images)
    settings = {"dataset_dir": str(images), "output_dir": "glands", "reduction": 0.5, "device": "cpu"}
    with no_avoidable_warnings():
        run("inference", **settings)
    assert pixels_of("glands/testA_1.png").shape == pixels_of(images / "testA_1.bmp").shape[:2]
    workflow = create_workflow(config_file="configs/inference.json", workflow_type="inference", **settings)
    assert workflow.check_properties() == []


@every_bundle(list_bundles())
def test_onnx_takes_any_size(copied):
    """As the model card says; the figures are those of torch."""
    with no_avoidable_warnings():
        monai.bundle.onnx_export(args_file="configs/onnx_export.json")
    session = onnxruntime.InferenceSession("models/model.onnx", providers=["CPUExecutionProvider"])
    network = load_network("models/model.safetensors")
    for shape in ((1, 3, 256, 256), (3, 3, 90, 131)):
        x = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 4 - 2
        with torch.inference_mode():
            expected = torch.sigmoid(network(x)).numpy()
        (logits,) = session.run(None, {"image": x.numpy()})
        # Two libraries' float32, through some thirty layers.
        np.testing.assert_allclose(1 / (1 + np.exp(-logits)), expected, atol=1e-4)


@every_bundle(list_bundles())
def test_torchscript_by_tracing_at_the_training_size(copied):
    with no_avoidable_warnings():
        monai.bundle.ckpt_export(
            config_file="configs/inference.json",
            net_id="network_def",
            ckpt_file="models/model.pt",
            filepath="models/model.ts",
            use_trace=True,
            input_shape=[1, 3, 256, 256],
        )
        traced = torch.jit.load("models/model.ts")
    x = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        # The same kernels in the same order, but for those that a traced graph fuses.
        torch.testing.assert_close(traced(x), load_network("models/model.safetensors")(x), atol=1e-4, rtol=1e-4)


def test_bundles_are_up_to_date():
    script = Path(__file__).parents[2] / "bundles" / "make_bundles.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def trained_resumed_evaluated(settings):
    """MONAI's scores after two epochs, of which the second is repeated from the checkpoint of the first."""
    both = ["configs/train.json", "configs/evaluate.json"]
    for config in ("configs/train.json", both):
        assert create_workflow(config_file=config, workflow_type="train", **settings).check_properties() == []
    with no_avoidable_warnings():
        run("train", epochs=2, **settings)
        run("train", epochs=2, resume="new/checkpoint_epoch=1.pt", **settings | {"ckpt_dir": "resumed"})
        run("train", "evaluate", output_dir="eval", **settings)
    states = [torch.load(f"{of}/checkpoint_epoch=2.pt", weights_only=True) for of in ("new", "resumed")]
    assert states[0]["best"] == states[1]["best"]
    assert len(states[0]["best"]["losses"]) == 2 and np.isfinite(states[0]["best"]["losses"]).all()
    return dict(line.split(",") for line in Path("eval/metrics.csv").read_text().splitlines())


def evaluate_only_predicted(predictions, labels):
    return evaluate_models([predictions], labels, only_predicted=True, progress=False).models[0].scores


def pixels_of(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def lesion(height, width):
    """A dark ellipse on skin, up and left of the middle, and its mask."""
    rows, columns = np.mgrid[:height, :width]
    true = ((rows - 0.4 * height) / (0.2 * height)) ** 2 + ((columns - 0.35 * width) / (0.2 * width)) ** 2 < 1
    generator = np.random.default_rng(0)
    pixels = np.where(true[..., None], (90, 60, 50), (205, 165, 150)) + generator.normal(0, 6, (height, width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), true
