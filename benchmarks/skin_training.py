"""Test networks that the bundles' recipe trained under one protocol, and compare them on the same images.

python benchmarks/skin_training.py --runs RUNS --data isic2018-random42    # prints, writes results/skin_training.json
python benchmarks/skin_training.py --commands                              # prints how the RUNS are trained

RUNS holds a folder per training, the `--ckpt_dir` of its command. A run that is not there is left out and said so. Per
group the first network is compared with each other one: paired by image, corrected for their number.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from machine import machine_facts

from monai_lightseg.data import load_protocol
from monai_lightseg.workflows.bundles import bundle_folder
from monai_lightseg.workflows.evaluation import Evaluation, evaluate_models

RESULTS = Path(__file__).parent / "results" / "skin_training.json"
FEATURES = "[8, 16, 32, 64, 64]"
OWN_DECODER = (
    f"{{'_target_': 'monai_lightseg.networks.create_network', 'name': 'unet_bilinear', 'features': {FEATURES}}}"
)


@dataclass(frozen=True)
class Run:
    """A training: its folder, the bundle it is one of, and what differs from the bundle."""

    folder: str
    bundle: str
    epochs: int
    overrides: tuple[str, ...] = ()

    def arguments(self, data: str) -> list[str]:
        """For `python -m monai.bundle run`, but for the config files."""
        return ["--dataset_dir", data, *self.overrides]


GROUPS = {
    "UltraLight VM-UNet with 4, 2 and 1 branches": (
        Run("ultralight_x4", "isic_lesion_ultralight_vm_unet", 40),
        Run("ultralight_x2", "isic_lesion_ultralight_vm_unet", 40, ("--network_def#branches", "2")),
        Run("ultralight_x1", "isic_lesion_ultralight_vm_unet", 40, ("--network_def#branches", "1")),
    ),
    "a light U-Net with its own decoder and with nmODE decoders": (
        Run("unet_own", "isic_lesion_nmode_unet", 30, ("--network_def", OWN_DECODER)),
        Run("nmode_euler", "isic_lesion_nmode_unet", 30),
        Run("nmode_heun", "isic_lesion_nmode_unet", 30, ("--network_def#solver", "heun")),
        Run("nmode_multistep", "isic_lesion_nmode_unet", 30, ("--network_def#solver", "multistep")),
    ),
    "the other skin bundles": (
        Run("egeunet", "isic_lesion_egeunet", 30),
        Run("ulite", "isic_lesion_ulite", 30),
    ),
}


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="folder of the trainings")
    parser.add_argument("--data", type=Path, help="datalist folder, named by its protocol")
    parser.add_argument("--commands", action="store_true", help="print the commands of the trainings and exit")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.commands:
        for run in (run for group in GROUPS.values() for run in group):
            print(" ".join(map(quoted, training(run))))
        return
    if arguments.runs is None or arguments.data is None:
        parser.error("give --runs and --data, or --commands")
    protocol = json.loads((arguments.data / "lightseg_conversion.json").read_text(encoding="utf-8"))["protocol"]
    groups = {title: compared(runs, arguments.runs, arguments.data, protocol) for title, runs in GROUPS.items()}
    content = {"protocol": protocol, "machine": machine_facts(), "groups": groups}
    arguments.out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def training(run: Run) -> list[str]:
    """The command that trains a run, from the folder of its bundle."""
    command = ["python", "-m", "monai.bundle", "run", "--config_file", "configs/train.json"]
    return [
        *command,
        *run.arguments("isic2018-random42"),
        "--epochs",
        str(run.epochs),
        "--ckpt_dir",
        f"RUNS/{run.folder}",
    ]


def quoted(word: str) -> str:
    """A word as a shell takes it."""
    return f'"{word}"' if set(word) & set(" {['#") else word


def compared(runs: tuple[Run, ...], folder: Path, data: Path, protocol: str | None) -> dict[str, Any]:
    """Scores of the runs that are there, and the first of them against the others."""
    there = [run for run in runs if (folder / run.folder / "model.pt").is_file()]
    missing = [run.folder for run in runs if run not in there]
    if missing:
        print(f"not there: {', '.join(missing)}")
    if not there:
        return {}
    with TemporaryDirectory() as work:
        predictions = [predicted(run, folder / run.folder, data, Path(work) / run.folder) for run in there]
        named = None if protocol is None else load_protocol(protocol)
        evaluation = evaluate_models(predictions, data / "labels", protocol=named, only_predicted=True)
    return summary(there, evaluation)


def predicted(run: Run, weights: Path, data: Path, out: Path) -> Path:
    """Folder of the test images' masks, as the bundle's `evaluate.json` saves them."""
    configs = [str(bundle_folder(run.bundle) / "configs" / f"{of}.json") for of in ("train", "evaluate")]
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(configs)]
    options = ["--ckpt_dir", str(weights.absolute()), "--output_dir", str(out)]
    subprocess.run([*command, *run.arguments(str(data.absolute())), *options], check=True, stdout=subprocess.DEVNULL)
    predictions = out / "predictions"
    return predictions.rename(out / run.folder)


def summary(runs: list[Run], evaluation: Evaluation) -> dict[str, Any]:
    """What is written down, and printed."""
    models = {}
    for run, model in zip(runs, evaluation.models, strict=True):
        pooled, mean = model.intervals.pooled["dice"], model.intervals.per_image_mean["dice"]
        models[run.folder] = {
            "command": " ".join(map(quoted, training(run))),
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
