"""Put trained weights into a bundle: test them once, and write weights, receipt and the scores of each image.

python bundles/publish_weights.py isic_lesion_ulite --run RUN --data isic2018-random42 --external PH2=PH2_LIST
python bundles/publish_weights.py glas_gland_unode --run RUN --data GLAS
python bundles/make_bundles.py

RUN is the `--ckpt_dir` of the training: `model.pt`, the weights with the lowest validation loss, and the last
`checkpoint_epoch=N.pt`. The data are those of `--dataset_dir`. The bundle's own `evaluate.json` predicts and scores
them; the masks that it saves are scored by the code of `lightseg evaluate`, and the two have to agree.
"""

import argparse
import csv
import hashlib
import json
import math
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from monai_lightseg import __version__
from monai_lightseg.atomic import write_bytes, write_text
from monai_lightseg.checkpoints import CheckpointCard
from monai_lightseg.checkpoints.network_file import write_network_file
from monai_lightseg.data import load_protocol
from monai_lightseg.data.gland_readers import glands_in
from monai_lightseg.data.label_images import read_labels
from monai_lightseg.metrics import GLAND_METRICS, Interval, glas_part, score_glands
from monai_lightseg.networks import create_network
from monai_lightseg.profiling import processor_name
from monai_lightseg.workflows.evaluation import evaluate_models
from monai_lightseg.workflows.evaluation_report import per_image_csv

ROOT = Path(__file__).parent
# MONAI sums in float32.
AGREEMENT = 1e-5
LESION_SCORING = (
    "In brackets 95 % intervals over images. Pooled: one confusion matrix over all pixels of all images, as papers on "
    "light networks report; per image: the mean over images. The test images were used once, after the training."
)
GLAND_SCORING = (
    "Over all objects of the images, as the challenge defines the scores; distances in pixels of the copy at hand. The "
    "test images were used once, after the training."
)


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="bundle")
    parser.add_argument("--run", type=Path, required=True, help="folder of the training")
    parser.add_argument("--data", type=Path, required=True, help="data of the training")
    parser.add_argument("--options", default="", help="further options of the training, as one word")
    parser.add_argument("--external", action="append", default=[], help="TITLE=FOLDER: a further datalist to test on")
    arguments = parser.parse_args()
    external = dict(item.split("=", 1) for item in arguments.external)
    publish(ROOT / arguments.name, arguments.run, arguments.data, shlex.split(arguments.options), external)


def publish(bundle: Path, run: Path, data: Path, options: Sequence[str], external: Mapping[str, str]) -> None:
    """Write `models/` of a bundle."""
    network_def = _read(bundle / "configs" / "inference.json")["network_def"]
    arguments = {key: value for key, value in network_def.items() if key not in ("_target_", "name")}
    network = create_network(network_def["name"], **arguments)
    network.load_state_dict(torch.load(run / "model.pt", weights_only=True))
    models = bundle / "models"
    models.mkdir(exist_ok=True)
    write_bytes(models / "model.pt", (run / "model.pt").read_bytes())
    card = CheckpointCard(
        network=network_def["name"],
        arguments=arguments,
        origin=f"monai-lightseg {__version__}, bundle {bundle.name}",
        licence="Apache-2.0",
        source="model.pt",
        source_sha256=_sha256(models / "model.pt"),
        version=__version__,
    )
    write_network_file(network, card, models / "model.safetensors")
    if bundle.name.startswith("glas"):
        facts = {"protocol": "glas-official", "tests": _test_glands(bundle, data, options), "scoring": GLAND_SCORING}
    else:
        conversion = _read(data / "lightseg_conversion.json")
        protocol = conversion["protocol"]
        tests = [_test_lesions(bundle, data, options, "test", f"test images of {protocol}", protocol)]
        tests += [_test_lesions(bundle, Path(of), options, title.lower(), title) for title, of in external.items()]
        facts = {"protocol": protocol, "images": conversion["counts"], "sha256_of_ids": conversion["sha256"]}
        facts |= {"tests": tests, "scoring": LESION_SCORING}
    last = max(run.glob("checkpoint_epoch=*.pt"), key=lambda path: int(path.stem.split("=")[1]))
    losses = torch.load(last, weights_only=True, map_location="cpu")["best"]["losses"]
    command = ["python", "-m", "monai.bundle", "run", "--config_file", "configs/train.json"]
    receipt = {
        "network": network_def["name"],
        "arguments": arguments,
        "parameters": sum(value.numel() for value in network.parameters()),
        "command": shlex.join([*command, "--dataset_dir", data.name, "--epochs", str(len(losses)), *options]),
        "seed": _read(bundle / "configs" / "train.json")["seed"],
        "epochs": len(losses),
        "best_epoch": losses.index(min(losses)) + 1,
        "validation_loss": min(losses),
        "validation_losses": losses,
        "sha256_of_weights": {path.name: _sha256(path) for path in sorted(models.glob("model.*"))},
        "sha256_of_config": _sha256(bundle / "configs" / "train.json"),
        "processor": processor_name(),
        "versions": {
            "monai-lightseg": __version__,
            "python": platform.python_version(),
            **{of: version(of) for of in ("torch", "monai", "pytorch-ignite", "numpy")},
        },
        **facts,
    }
    write_text(models / "receipt.json", json.dumps(receipt, indent=2) + "\n")
    print(json.dumps([{test["title"]: test["scores"]} for test in facts["tests"]], indent=2))


@contextmanager
def _evaluated(bundle: Path, data: Path, options: Sequence[str]) -> Iterator[tuple[Path, dict[str, float]]]:
    """Folder of the masks that the bundle's evaluation saves, and MONAI's scores."""
    with TemporaryDirectory() as folder:
        configs = [str(bundle / "configs" / f"{of}.json") for of in ("train", "evaluate")]
        command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(configs)]
        places = ["--bundle_root", str(bundle), "--dataset_dir", str(data.absolute()), "--output_dir", folder]
        subprocess.run([*command, *places, *options], check=True)
        with (Path(folder) / "metrics.csv").open(encoding="utf-8") as lines:
            yield Path(folder) / "predictions", {key: float(value) for key, value in csv.reader(lines)}


def _test_lesions(
    bundle: Path, data: Path, options: Sequence[str], name: str, title: str, protocol: str | None = None
) -> dict[str, Any]:
    named = None if protocol is None else load_protocol(protocol)
    with _evaluated(bundle, data, options) as (predictions, by_monai):
        evaluation = evaluate_models([predictions], data / "labels", protocol=named, only_predicted=True)
        (model,) = evaluation.models
    write_text(bundle / "models" / f"{name}.csv", per_image_csv(evaluation.models))
    pooled, means = model.intervals.pooled, model.intervals.per_image_mean
    found = {"dice_pooled": pooled["dice"], "dice_per_image": means["dice"], "iou_pooled": pooled["iou"]}
    _check({metric: of.estimate for metric, of in found.items()}, by_monai)
    return {
        "name": name,
        "title": title,
        "images": len(model.scores.per_image),
        "missed": model.scores.missed,
        "scores": {metric: _with_ends(of) for metric, of in found.items()},
        "per_image": f"{name}.csv",
    }


def _test_glands(bundle: Path, data: Path, options: Sequence[str]) -> list[dict[str, Any]]:
    with _evaluated(bundle, data, options) as (predictions, by_monai):
        truths = {Path(item["image"]).stem: Path(item["label"]) for item in glands_in(str(data), "test")}
        cases = (
            (case_id, read_labels(predictions / f"{case_id}.png"), read_labels(truth))
            for case_id, truth in truths.items()
        )
        scores = score_glands(cases, part_of=glas_part)
    rows = [["case", *GLAND_METRICS], *([case_id, *map(repr, of.values())] for case_id, of in scores.per_image.items())]
    write_text(bundle / "models" / "test.csv", "".join(f"{','.join(row)}\n" for row in rows))
    _check(scores.total.dataset, by_monai)
    parts = {**scores.parts, "test": scores.total}
    titles = {"testA": "test A", "testB": "test B", "test": "both"}
    return [
        {
            "name": name,
            "title": titles[name],
            "images": of.images,
            "scores": {metric: {"estimate": value} for metric, value in of.dataset.items()},
            "per_image": "test.csv",
        }
        for name, of in parts.items()
    ]


def _check(ours: Mapping[str, float], by_monai: Mapping[str, float]) -> None:
    """End here unless MONAI found the same."""
    for metric, value in ours.items():
        if not math.isclose(value, by_monai[metric], rel_tol=AGREEMENT):
            sys.exit(f"error: {metric} is {value} here and {by_monai[metric]} by MONAI")


def _with_ends(interval: Interval) -> dict[str, float]:
    return {"estimate": interval.estimate, "low": interval.low, "high": interval.high}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
