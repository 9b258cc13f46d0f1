"""Train, predict and score the decoders on one encoder inside nnU-Net: parameters, MACs, time, Dice.

    export nnUNet_raw=... nnUNet_preprocessed=... nnUNet_results=...
    lightseg data convert ISIC2018_FOLDER --to nnunet --id 18 --name ISIC2018 --val 259 --test 520
    nnUNetv2_plan_and_preprocess -d 18 -c 2d && lightseg nnunet plan 18
    python benchmarks/decoders_in_nnunet.py --dataset Dataset018_ISIC2018 --protocol isic2018-random42

Resumable: a finished training or prediction is not repeated, a training that was cut off goes on from its last
checkpoint. Epoch times are wall clock beside whatever else the machine did; the step column is the CPU time of one
training step (forward, loss, backward), side by side in this process, over that of the last trainer.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from machine import machine_facts
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from monai_lightseg.atomic import write_text
from monai_lightseg.profiling import count_macs, count_parameters, interleaved_cpu_seconds
from monai_lightseg.workflows.evaluation import evaluate_folders
from nnunet_trainers.base import HISTORY_FILE
from nnunet_trainers.trainers import trainer_classes

TRAINERS = (
    "nnUNetTrainerNmODEDecoder_5epochs",
    "nnUNetTrainerNmODEDecoderHeun_5epochs",
    "nnUNetTrainerNmODEDecoderMultistep_5epochs",
    "nnUNetTrainerLightseg_5epochs",
)


def main() -> None:
    """Run what is missing, then print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, help="DatasetXXX_Name, preprocessed")
    parser.add_argument("--protocol", required=True, help="name of the split, written into the results")
    parser.add_argument("--plans", default="nnUNetLightPlans")
    parser.add_argument("--trainers", nargs="+", default=TRAINERS)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "decoders_in_nnunet.json")
    arguments = parser.parse_args()

    rows = {name: row(arguments.dataset, arguments.plans, name) for name in arguments.trainers}
    steps = training_step_seconds(arguments.dataset, arguments.plans, arguments.trainers)
    print(
        f"{'trainer':44}{'parameters':>12}{'MACs, G':>9}{'step':>7}{'s/epoch':>9}{'Dice/image':>12}{'Dice pooled':>13}"
    )
    for name, facts in rows.items():
        facts["step_ratio"] = steps[name] / steps[arguments.trainers[-1]]
        print(
            f"{name:44}{facts['parameters']:12,}{facts['macs'] / 1e9:9.3f}{facts['step_ratio']:7.2f}"
            f"{facts['median_epoch_seconds']:9.0f}{facts['per_image_mean']['dice']:12.4f}{facts['pooled']['dice']:13.4f}"
        )
    record = {
        "dataset": arguments.dataset,
        "protocol": arguments.protocol,
        "machine": machine_facts(),
        "trainers": rows,
    }
    write_text(arguments.out, json.dumps(record, indent=1) + "\n")


def row(dataset: str, plans: str, trainer: str) -> dict[str, object]:
    """Train and predict where that is missing; what it cost and scored."""
    folder = Path(os.environ["nnUNet_results"]) / dataset / f"{trainer}__{plans}__2d"
    fold, predictions = folder / "fold_0", folder / "test_predictions"
    test = Path(os.environ["nnUNet_raw"]) / dataset
    if not (fold / "validation" / "summary.json").exists():
        resume = ["--c"] if list(fold.glob("checkpoint_*.pth")) else []
        lightseg("train", dataset, "2d", "0", "-p", plans, "-tr", trainer, *resume)
    if len(list(predictions.glob("*.png"))) < len(list((test / "labelsTs").glob("*.png"))):
        images = ["-i", str(test / "imagesTs"), "-o", str(predictions), "-npp", "1", "-nps", "1"]
        lightseg("predict", *images, "-d", dataset, "-c", "2d", "-f", "0", "-p", plans, "-tr", trainer)
    scores = evaluate_folders(predictions, test / "labelsTs")
    history = json.loads((fold / HISTORY_FILE).read_text(encoding="utf-8"))
    network, patch, batch = planned_network(folder / "plans.json", trainer)
    return {
        "parameters": count_parameters(network),
        "macs": count_macs(network, (1, 3, *patch)),
        "patch": patch,
        "batch": batch,
        "epochs": len(history["train_losses"]),
        "median_epoch_seconds": statistics.median(history["epoch_seconds"]),
        "training_seconds": sum(history["epoch_seconds"]),
        "test_images": len(scores.per_image),
        "per_image_mean": scores.per_image_mean,
        "pooled": scores.pooled,
    }


def training_step_seconds(dataset: str, plans: str, trainers: Sequence[str]) -> dict[str, float]:
    """Median CPU seconds of one training step of each trainer's network on random images, one thread."""
    calls = {}
    for trainer in trainers:
        plans_file = Path(os.environ["nnUNet_preprocessed"]) / dataset / f"{plans}.json"
        network, patch, batch = planned_network(plans_file, trainer)
        images, truth = torch.rand(batch, 3, *patch), torch.randint(0, 2, (batch, *patch))

        def step(
            network: torch.nn.Module = network, images: torch.Tensor = images, truth: torch.Tensor = truth
        ) -> None:
            torch.nn.functional.cross_entropy(network(images), truth).backward()

        calls[trainer] = step
    seconds = interleaved_cpu_seconds(calls, repeats=5, warm_up=1)
    return {name: statistics.median(samples) for name, samples in seconds.items()}


def planned_network(plans_file: Path, trainer: str) -> tuple[torch.nn.Module, list[int], int]:
    """The network the trainer built, its patch and its batch."""
    plans = PlansManager(json.loads(plans_file.read_text(encoding="utf-8")))
    configuration = plans.get_configuration("2d")
    network = trainer_classes()[trainer].build_network_architecture(plans, configuration, 3, 2, False)
    return network, list(configuration.patch_size), configuration.batch_size


def lightseg(*arguments: str) -> None:
    """Run `lightseg nnunet ...`; stop where it fails."""
    subprocess.run([sys.executable, "-m", "monai_lightseg", "nnunet", *arguments], check=True)


if __name__ == "__main__":
    main()
