"""Put trained weights into a bundle: test them once, and write weights, receipt and the scores of each image.

python bundles/publish_weights.py isic_lesion_nmode_unet --run RUN --data isic2018-random42 --hardware WORDS
python bundles/publish_weights.py glas_gland_unode --run RUN --data GLAS --hardware WORDS --options '--reduction 0.5'
python bundles/make_bundles.py

RUN is the `--ckpt_dir` of the training: `model.pt`, the weights with the lowest validation loss, and the last
`checkpoint_epoch=N.pt` of a training that is through. The data are those of `--dataset_dir`; `--external PH2=PH2_LIST`
tests on a further list. The bundle's own `evaluate.json` predicts and scores; the masks that it saves are scored by the
code of `lightseg evaluate`, and the two have to agree.
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
from monai_lightseg.data import ids_checksum, load_protocol
from monai_lightseg.data.gland_readers import glands_in
from monai_lightseg.data.label_images import read_labels
from monai_lightseg.metrics import GLAND_METRICS, Interval, glas_part, score_glands
from monai_lightseg.networks import create_network
from monai_lightseg.workflows.bundles import evaluation_command, last_checkpoint
from monai_lightseg.workflows.evaluation import evaluate_models
from monai_lightseg.workflows.evaluation_report import per_image_csv

# The tests, and the tables to write with them, by file name.
Tested = tuple[list[dict[str, Any]], dict[str, str]]

ROOT = Path(__file__).parent
# MONAI sums in float32.
AGREEMENT = 1e-5
LESION_LICENCE = "Apache-2.0; commercial use only where the terms of ISIC 2018 allow it"
GLAND_LICENCE = "for research only, by the terms of GlaS"
LESION_SCORING = (
    "In brackets 95 % intervals over images. Pooled: one confusion matrix over all pixels of all images, as papers on "
    "light networks report; per image: the mean over images. Scored at 256x256, to which masks are resized by the "
    "nearest pixel. No test image chose weights or settings."
)
GLAND_SCORING = (
    "Over all objects of the images, as the challenge defines the scores; distances in pixels of the copy at hand. No "
    "test image chose weights or settings."
)


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="bundle")
    parser.add_argument("--run", type=Path, required=True, help="folder of the training")
    parser.add_argument("--data", type=Path, required=True, help="data of the training")
    parser.add_argument("--hardware", required=True, help="what it was trained on, in words")
    parser.add_argument("--options", default="", help="further options of the training, as one word")
    parser.add_argument("--external", action="append", default=[], help="TITLE=FOLDER: a further datalist to test on")
    arguments = parser.parse_args()
    external = dict(item.split("=", 1) for item in arguments.external)
    publish(
        ROOT / arguments.name,
        arguments.run,
        arguments.data,
        shlex.split(arguments.options),
        arguments.hardware,
        external,
    )


def publish(
    bundle: Path, run: Path, data: Path, options: Sequence[str], hardware: str, external: Mapping[str, str]
) -> None:
    """Write `models/` of a bundle, once all tests are through."""
    losses = _losses(run)
    network_def = _read(bundle / "configs" / "inference.json")["network_def"]
    arguments = {key: value for key, value in network_def.items() if key not in ("_target_", "name")}
    network = create_network(network_def["name"], **arguments)
    network.load_state_dict(torch.load(run / "model.pt", weights_only=True))
    glands = bundle.name.startswith("glas")
    tests, tables = _test_glands(bundle, run, data, options) if glands else _test_lesions(bundle, run, data, options)
    for title, folder in external.items():
        further, table = _test_list(bundle, run, Path(folder), options, title.lower(), title, None)
        tests.append(further)
        tables |= table
    models = bundle / "models"
    models.mkdir(exist_ok=True)
    write_bytes(models / "model.pt", (run / "model.pt").read_bytes())
    card = CheckpointCard(
        network=network_def["name"],
        arguments=arguments,
        origin=f"monai-lightseg {__version__}, bundle {bundle.name}",
        licence=GLAND_LICENCE if glands else LESION_LICENCE,
        source="model.pt",
        source_sha256=_sha256(models / "model.pt"),
        version=__version__,
    )
    write_network_file(network, card, models / "model.safetensors")
    for name, table in tables.items():
        write_text(models / name, table)
    command = ["python", "-m", "monai.bundle", "run", "--config_file", "configs/train.json"]
    seed = options[options.index("--seed") + 1] if "--seed" in options else _read(bundle / "configs/train.json")["seed"]
    receipt = {
        "network": network_def["name"],
        "arguments": arguments,
        "parameters": sum(value.numel() for value in network.parameters()),
        **(_gland_facts(data) if glands else _list_facts(data)),
        "command": shlex.join([*command, "--dataset_dir", data.name, "--epochs", str(len(losses)), *options]),
        "hardware": hardware,
        "seed": int(seed),
        "epochs": len(losses),
        "best_epoch": losses.index(min(losses)) + 1,
        "validation_loss": min(losses),
        "validation_losses": losses,
        "sha256_of_weights": {name: _sha256(models / name) for name in ("model.pt", "model.safetensors")},
        "versions": {
            "monai-lightseg": __version__,
            "python": platform.python_version(),
            **{of: version(of) for of in ("torch", "monai", "pytorch-ignite", "numpy")},
        },
        "tests": tests,
        "scoring": GLAND_SCORING if glands else LESION_SCORING,
    }
    write_text(models / "receipt.json", json.dumps(receipt, indent=2) + "\n")
    print(json.dumps([{test["title"]: test["scores"]} for test in tests], indent=2))


def _losses(run: Path) -> list[float]:
    """Validation loss of each epoch of a training that is through."""
    number, last = last_checkpoint(run)
    state = torch.load(last, weights_only=True, map_location="cpu")
    losses, epochs = state["best"]["losses"], state["trainer"]["max_epochs"]
    if not len(losses) == number == epochs:
        sys.exit(
            f"error: {last} is that of epoch {number} of {epochs} with {len(losses)} validations, one for each needed"
        )
    return losses


def _list_facts(data: Path) -> dict[str, Any]:
    """What the datalist's own receipt says of the images."""
    conversion = _read(data / "lightseg_conversion.json")
    return {
        "protocol": conversion["protocol"],
        "size": conversion["size"],
        "images": conversion["counts"],
        "sha256_of_ids": conversion["sha256"],
    }


def _gland_facts(data: Path) -> dict[str, Any]:
    """Counts and checksums of the images, by the names of a protocol's parts."""
    parts = {"train": "training", "val": "validation", "test": "test"}
    ids = {name: [Path(item["image"]).stem for item in glands_in(str(data), part)] for name, part in parts.items()}
    return {
        "protocol": "glas-official",
        "images": {name: len(of) for name, of in ids.items()},
        "sha256_of_ids": {name: ids_checksum(of) for name, of in ids.items()},
    }


@contextmanager
def _evaluated(bundle: Path, run: Path, data: Path, options: Sequence[str]) -> Iterator[tuple[Path, dict[str, float]]]:
    """Folder of the masks that the bundle's evaluation saves, and MONAI's scores."""
    with TemporaryDirectory() as folder:
        command = evaluation_command(bundle, data=data, weights=run, out=Path(folder))
        subprocess.run([*command, *options], check=True)
        with (Path(folder) / "metrics.csv").open(encoding="utf-8") as lines:
            yield Path(folder) / "predictions", {key: float(value) for key, value in csv.reader(lines)}


def _test_lesions(bundle: Path, run: Path, data: Path, options: Sequence[str]) -> Tested:
    protocol = _list_facts(data)["protocol"]
    test, table = _test_list(bundle, run, data, options, "test", f"test images of {protocol}", protocol)
    return [test], table


def _test_list(
    bundle: Path, run: Path, data: Path, options: Sequence[str], name: str, title: str, protocol: str | None
) -> tuple[dict[str, Any], dict[str, str]]:
    named = None if protocol is None else load_protocol(protocol)
    with _evaluated(bundle, run, data, options) as (predictions, by_monai):
        evaluation = evaluate_models([predictions], data / "labels", protocol=named, only_predicted=True)
        (model,) = evaluation.models
    pooled, means = model.intervals.pooled, model.intervals.per_image_mean
    found = {"dice_pooled": pooled["dice"], "dice_per_image": means["dice"], "iou_pooled": pooled["iou"]}
    _check({metric: of.estimate for metric, of in found.items()}, by_monai)
    test = {
        "name": name,
        "title": title,
        "images": len(model.scores.per_image),
        "missed": model.scores.missed,
        "scores": {metric: _with_ends(of) for metric, of in found.items()},
        "per_image": f"{name}.csv",
    }
    return test, {f"{name}.csv": per_image_csv(evaluation.models)}


def _test_glands(bundle: Path, run: Path, data: Path, options: Sequence[str]) -> Tested:
    with _evaluated(bundle, run, data, options) as (predictions, by_monai):
        truths = {Path(item["image"]).stem: Path(item["label"]) for item in glands_in(str(data), "test")}
        cases = (
            (case_id, read_labels(predictions / f"{case_id}.png"), read_labels(truth))
            for case_id, truth in truths.items()
        )
        scores = score_glands(cases, part_of=glas_part)
    _check(scores.total.dataset, by_monai)
    rows = [["case", *GLAND_METRICS], *([case_id, *map(repr, of.values())] for case_id, of in scores.per_image.items())]
    titles = {"testA": "test A", "testB": "test B", "test": "both"}
    tests = [
        {
            "name": name,
            "title": titles[name],
            "images": of.images,
            "scores": {metric: {"estimate": value} for metric, value in of.dataset.items()},
            "per_image": "test.csv",
        }
        for name, of in {**scores.parts, "test": scores.total}.items()
    ]
    return tests, {"test.csv": "".join(f"{','.join(row)}\n" for row in rows)}


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
