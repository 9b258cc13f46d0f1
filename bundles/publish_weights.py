"""Put trained weights into a skin bundle: test them once, and write weights, receipt and per-image scores.

python bundles/publish_weights.py isic_lesion_ulite --run RUN --data isic2018-random42 --external ph2=PH2_LIST
python bundles/make_bundles.py

RUN is the `--ckpt_dir` of the training: `model.pt`, the weights with the lowest validation loss, and the last
`checkpoint_epoch=N.pt`. The folders of data are datalists, as `lightseg data convert --to datalist` writes them. Each
is predicted and scored by the bundle's own `evaluate.json`; the masks it saved are scored by the code of `lightseg
evaluate`, and the two have to agree.
"""

import argparse
import csv
import hashlib
import json
import math
import platform
import subprocess
import sys
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
from monai_lightseg.metrics import Interval
from monai_lightseg.networks import create_network
from monai_lightseg.profiling import processor_name
from monai_lightseg.workflows.evaluation import evaluate_models
from monai_lightseg.workflows.evaluation_report import per_image_csv

ROOT = Path(__file__).parent
# MONAI sums float32; both Dices of 520 images differ by less.
AGREEMENT = 1e-5
SCORING = (
    "In brackets 95 % intervals over images. Pooled: one confusion matrix over all pixels of all images, as papers on "
    "light networks report; per image: the mean over images. The test images were used once, after the training."
)


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="bundle")
    parser.add_argument("--run", type=Path, required=True, help="folder of the training")
    parser.add_argument(
        "--data", type=Path, required=True, help="datalist folder of the training, named by its protocol"
    )
    parser.add_argument("--external", action="append", default=[], help="TITLE=FOLDER: a further datalist to test on")
    arguments = parser.parse_args()
    publish(
        ROOT / arguments.name, arguments.run, arguments.data, dict(item.split("=", 1) for item in arguments.external)
    )


def publish(bundle: Path, run: Path, data: Path, external: dict[str, str]) -> None:
    """Write `models/` of a bundle."""
    train = json.loads((bundle / "configs" / "train.json").read_text(encoding="utf-8"))
    arguments = dict(json.loads((bundle / "configs" / "inference.json").read_text(encoding="utf-8"))["network_def"])
    del arguments["_target_"]
    name = arguments.pop("name")
    state = torch.load(run / "model.pt", weights_only=True)
    network = create_network(name, **arguments)
    network.load_state_dict(state)
    models = bundle / "models"
    models.mkdir(exist_ok=True)
    write_bytes(models / "model.pt", (run / "model.pt").read_bytes())
    card = CheckpointCard(
        network=name,
        arguments=arguments,
        origin=f"monai-lightseg {__version__}, bundle {bundle.name}",
        licence="Apache-2.0",
        source="models/model.pt",
        source_sha256=_sha256(models / "model.pt"),
        version=__version__,
    )
    write_network_file(network, card, models / "model.safetensors")

    conversion = json.loads((data / "lightseg_conversion.json").read_text(encoding="utf-8"))
    protocol = conversion["protocol"]
    tests = [_test(bundle, data, "test", f"test images of {protocol}", protocol)]
    tests += [_test(bundle, Path(folder), title.lower(), title) for title, folder in external.items()]
    last = max(run.glob("checkpoint_epoch=*.pt"), key=lambda path: int(path.stem.split("=")[1]))
    losses = torch.load(last, weights_only=True)["best"]["losses"]
    receipt = {
        "network": name,
        "arguments": arguments,
        "parameters": sum(value.numel() for value in network.parameters()),
        "protocol": protocol,
        "command": f"python -m monai.bundle run --config_file configs/train.json --dataset_dir {data.name} "
        f"--epochs {len(losses)}",
        "epochs": len(losses),
        "seed": train["seed"],
        "best_epoch": losses.index(min(losses)) + 1,
        "validation_loss": min(losses),
        "validation_losses": losses,
        "images": conversion["counts"],
        "sha256_of_ids": conversion["sha256"],
        "sha256_of_weights": {path.name: _sha256(path) for path in sorted(models.glob("model.*"))},
        "sha256_of_config": _sha256(bundle / "configs" / "train.json"),
        "processor": processor_name(),
        "versions": {
            "monai-lightseg": __version__,
            "python": platform.python_version(),
            **{of: version(of) for of in ("torch", "monai", "pytorch-ignite", "numpy")},
        },
        "tests": tests,
        "scoring": SCORING,
    }
    write_text(models / "receipt.json", json.dumps(receipt, indent=2) + "\n")
    print(
        f"wrote {models}: " + ", ".join(f"{of['title']} {of['scores']['dice_pooled']['estimate']:.4f}" for of in tests)
    )


def _test(bundle: Path, data: Path, name: str, title: str, protocol: str | None = None) -> dict[str, Any]:
    """Predict and score the test list of `data`, and leave the scores of its images beside the weights."""
    with TemporaryDirectory() as folder:
        out = Path(folder)
        configs = [str(bundle / "configs" / f"{of}.json") for of in ("train", "evaluate")]
        command = ["-m", "monai.bundle", "run", "--config_file", str(configs), "--bundle_root", str(bundle)]
        options = ["--dataset_dir", str(data.absolute()), "--output_dir", folder]
        subprocess.run([sys.executable, *command, *options], check=True)
        with (out / "metrics.csv").open(encoding="utf-8") as lines:
            monai = {key: float(value) for key, value in csv.reader(lines)}
        named = None if protocol is None else load_protocol(protocol)
        evaluation = evaluate_models([out / "predictions"], data / "labels", protocol=named, only_predicted=True)
        write_text(bundle / "models" / f"{name}.csv", per_image_csv(evaluation.models))
    (model,) = evaluation.models
    pooled, means = model.intervals.pooled, model.intervals.per_image_mean
    found = {"dice_pooled": pooled["dice"], "dice_per_image": means["dice"], "iou_pooled": pooled["iou"]}
    for metric, interval in found.items():
        if metric in monai and not math.isclose(interval.estimate, monai[metric], abs_tol=AGREEMENT):
            sys.exit(f"error: {metric} of {data} is {interval.estimate} here and {monai[metric]} by MONAI")
    return {
        "title": title,
        "name": name,
        "protocol": protocol,
        "images": len(model.scores.per_image),
        "missed": model.scores.missed,
        "scores": {metric: _with_ends(interval) for metric, interval in found.items()},
        "per_image": f"{name}.csv",
    }


def _with_ends(interval: Interval) -> dict[str, float]:
    return {"estimate": interval.estimate, "low": interval.low, "high": interval.high}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
