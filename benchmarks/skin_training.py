"""Test networks that the bundles' recipe trained, and compare them on the same images.

python benchmarks/skin_training.py --lists LISTS                # prints, writes results/skin_training.json
python benchmarks/skin_training.py --commands                   # prints how the networks are trained
python benchmarks/skin_training.py --lists LISTS --runs RUNS --train nmode_heun ultralight_x2   # trains these
python benchmarks/skin_training.py --lists LISTS --runs RUNS    # keeps their weights, and compares all

RUNS holds a folder per training, the `--ckpt_dir` of its command. The weights of one that is through are kept in
results/skin_training beside its command, so that the comparison can be repeated and added to without training again;
those that a bundle ships are taken from the bundle. A training that has no weights of its command is left out and said
so. LISTS holds the datalists, in folders named by their protocols. Per group the first network is compared with each
other one: paired by image, corrected for their number. `--train` takes a training up where it was cut.
"""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from machine import machine_facts

from monai_lightseg.atomic import write_bytes, write_text
from monai_lightseg.data import load_protocol
from monai_lightseg.workflows.bundles import bundle_folder, bundle_receipt, checkpoints, evaluation_command
from monai_lightseg.workflows.evaluation import Evaluation, evaluate_models

RESULTS = Path(__file__).parent / "results" / "skin_training.json"
OWN_DECODER = json.dumps(
    {
        "_target_": "monai_lightseg.networks.create_network",
        "name": "unet_bilinear",
        "features": [8, 16, 32, 64, 64],
    }
)


@dataclass(frozen=True)
class Run:
    """A training: its folder, the bundle it is one of, and what differs from the bundle."""

    folder: str
    bundle: str
    epochs: int
    overrides: tuple[str, ...] = ()
    protocol: str = "isic2018-random42"

    @property
    def is_of_bundle(self) -> bool:
        """Whether this training made the weights that the bundle ships."""
        return not self.overrides and bundle_receipt(self.bundle).get("protocol") == self.protocol


GROUPS = {
    "UltraLight VM-UNet with 4, 2 and 1 branches": (
        Run("ultralight_x4", "isic_lesion_ultralight_vm_unet", 40),
        Run("ultralight_x2", "isic_lesion_ultralight_vm_unet", 40, ("--network_def#branches", "2")),
        Run("ultralight_x1", "isic_lesion_ultralight_vm_unet", 40, ("--network_def#branches", "1")),
    ),
    "UltraLight VM-UNet on the sorted division": (
        Run("ultralight_sorted", "isic_lesion_ultralight_vm_unet", 40, protocol="isic2018-sorted"),
    ),
    "a light U-Net with its own decoder and with nmODE decoders": (
        Run("unet_own", "isic_lesion_nmode_unet", 30, ("--network_def", OWN_DECODER)),
        Run("nmode_euler", "isic_lesion_nmode_unet", 30),
        Run("nmode_heun", "isic_lesion_nmode_unet", 30, ("--network_def#solver", "heun")),
        Run("nmode_multistep", "isic_lesion_nmode_unet", 30, ("--network_def#solver", "multistep")),
    ),
}


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="folder of the trainings")
    parser.add_argument("--lists", type=Path, help="folder of the datalists")
    parser.add_argument("--commands", action="store_true", help="print the commands of the trainings and exit")
    parser.add_argument(
        "--train", nargs="+", default=[], metavar="RUN", help="train these, one after the other, and exit"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--weights", type=Path, default=RESULTS.with_suffix(""), help="folder of the kept weights")
    arguments = parser.parse_args()
    every = {run.folder: run for group in GROUPS.values() for run in group}
    if arguments.commands:
        for run in every.values():
            print(f"# in a copy of {run.bundle}\n{shown(run)}")
        return
    if arguments.lists is None:
        parser.error("give --lists, or --commands")
    if arguments.train:
        if arguments.runs is None:
            parser.error("give --runs, a folder to train in")
        unknown = sorted(set(arguments.train) - set(every))
        if unknown:
            parser.error(f"no training is called {', '.join(unknown)}; there are {', '.join(every)}")
        runs = [every[name] for name in arguments.train]
        lists = [arguments.lists.absolute() / run.protocol for run in runs]
        missing = [str(data) for data in lists if not (data / "datalist.json").is_file()]
        if missing:
            parser.error(f"no datalist.json in {', '.join(missing)}; make it with lightseg data convert --to datalist")
        for run, data in zip(runs, lists, strict=True):
            train(run, arguments.runs.absolute() / run.folder, data)
        return
    if arguments.runs is not None:
        if not arguments.runs.is_dir():
            parser.error(f"{arguments.runs} is no folder")
        keep_weights(every.values(), arguments.runs, arguments.weights)
    groups = {title: compared(runs, arguments.weights, arguments.lists) for title, runs in GROUPS.items()}
    if not any(groups.values()):
        parser.error(f"{arguments.weights} holds the weights of no training to compare with; give --runs")
    content = {"machine": machine_facts(), "groups": groups}
    write_text(arguments.out, json.dumps(content, indent=2) + "\n")


def training(run: Run, data: Path, out: Path) -> list[str]:
    """The command that trains a run, from the folder of its bundle."""
    command = ["python", "-m", "monai.bundle", "run", "--config_file", "configs/train.json"]
    places = ["--dataset_dir", str(data), "--epochs", str(run.epochs), "--ckpt_dir", str(out)]
    return [*command, *run.overrides, *places]


def shown(run: Run) -> str:
    """That command in words, for any machine."""
    return shlex.join(training(run, Path(run.protocol), Path("RUNS", run.folder)))


def train(run: Run, out: Path, data: Path) -> None:
    """Train a run to its last epoch, from the last checkpoint that is there."""
    found = checkpoints(out)
    if run.epochs in found:
        return
    resume = ["--resume", str(found[max(found)])] if found else []
    _, *words = training(run, data, out)
    subprocess.run([sys.executable, *words, *resume], cwd=bundle_folder(run.bundle), check=True)


def keep_weights(runs: Iterable[Run], folder: Path, kept: Path) -> None:
    """Copy the best weights of the trainings in `folder` that are through; those that bundles ship are passed over."""
    for run in runs:
        if run.is_of_bundle:
            continue
        done = max(checkpoints(folder / run.folder), default=0)
        if done == run.epochs:
            write_bytes(kept / run.folder / "model.pt", (folder / run.folder / "model.pt").read_bytes())
            write_text(kept / run.folder / "command.txt", shown(run) + "\n")
        elif done:
            print(f"{run.folder} is not taken from {folder}: {done} of {run.epochs} epochs")


def weights_of(run: Run, kept: Path) -> Path | None:
    """Folder of the weights of this very training; None where they are not at hand."""
    if run.is_of_bundle:
        return bundle_folder(run.bundle) / "models"
    command = kept / run.folder / "command.txt"
    is_kept = command.is_file() and command.read_text(encoding="utf-8") == shown(run) + "\n"
    return kept / run.folder if is_kept else None


def compared(runs: tuple[Run, ...], kept: Path, lists: Path) -> dict[str, Any]:
    """Scores of the runs that have weights, all of one protocol, and the first of them against the others.

    Empty where there is nothing beyond the bundle's own weights.
    """
    weights = {run: folder for run in runs if (folder := weights_of(run, kept)) is not None}
    for run in runs:
        if run not in weights:
            print(f"{run.folder} is left out: {kept} has no weights of its command")
    if all(run.is_of_bundle for run in weights):
        return {}
    data = lists / runs[0].protocol
    protocol = json.loads((data / "lightseg_conversion.json").read_text(encoding="utf-8"))["protocol"]
    named = None if protocol is None else load_protocol(protocol)
    with TemporaryDirectory() as work:
        predictions = [predicted(run, of, data, Path(work) / run.folder) for run, of in weights.items()]
        evaluation = evaluate_models(predictions, data / "labels", protocol=named, only_predicted=True)
    return {"protocol": protocol, **summary(list(weights), evaluation)}


def predicted(run: Run, weights: Path, data: Path, out: Path) -> Path:
    """Folder of the test images' masks, as the bundle's `evaluate.json` saves them."""
    command = evaluation_command(bundle_folder(run.bundle), data=data, weights=weights, out=out)
    subprocess.run([*command, *run.overrides], check=True, stdout=subprocess.DEVNULL)
    # The folder's name is that of the model.
    return (out / "predictions").rename(out / run.folder)


def summary(runs: list[Run], evaluation: Evaluation) -> dict[str, Any]:
    """What is written down, and printed."""
    models = {}
    for run, model in zip(runs, evaluation.models, strict=True):
        pooled, mean = model.intervals.pooled["dice"], model.intervals.per_image_mean["dice"]
        models[run.folder] = {
            "bundle": run.bundle,
            "command": shown(run),
            "dice_pooled": asdict(pooled),
            "dice_per_image": asdict(mean),
            "missed": model.scores.missed,
        }
        print(
            f"{run.folder}: pooled {pooled.estimate:.4f} ({pooled.ends}), per image {mean.estimate:.4f} ({mean.ends})"
        )
    comparisons = [] if len(runs) == 1 else [asdict(comparison) for comparison in evaluation.comparisons]
    for comparison in evaluation.comparisons if comparisons else []:
        difference, pooled = comparison.permutation.difference, comparison.pooled
        print(
            f"{runs[0].folder} against {comparison.other}: per image {difference.estimate:+.4f} ({difference.ends}), "
            f"pooled {pooled.estimate:+.4f} ({pooled.ends}), p by Holm {comparison.permutation_adjusted:.2g}"
        )
    return {"models": models, "first_against_others": comparisons}


if __name__ == "__main__":
    main()
