"""Train the nmODE decoder on your own images with nnU-Net, predict, and score: the whole way in one file.

    python examples/train_on_your_folder.py --data FOLDER --out WORK
    python examples/train_on_your_folder.py --data FOLDER --out WORK --trainer nnUNetTrainerNmODEDecoderHeun_50epochs

FOLDER holds `images/` and `masks/` (png, jpg, bmp or tif; a mask has its image's name, or that and `_mask`), or
ISIC 2018 Task 1, ISIC 2017 or PH2 as they were unpacked. 65 % of the cases train, 15 % validate, 20 % test, by a fixed
seed. Everything is written below WORK; run the same line again after a cut-off, and what is done is not repeated.
Needs the extra `nnunet`.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from monai_lightseg.data import random_split, read_data_set, write_nnunet_raw
from monai_lightseg.workflows.evaluation import evaluate_folders

DATASET_ID = 501
PLANS = "nnUNetLightPlans"


def main() -> None:
    """Convert, plan, train, predict, score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of images and masks")
    parser.add_argument("--out", type=Path, required=True, help="folder for everything that is written")
    parser.add_argument("--trainer", default="nnUNetTrainerNmODEDecoder_5epochs", help="trainer class")
    arguments = parser.parse_args()

    # nnU-Net finds its folders through these variables; child processes inherit them.
    folders = {
        name: (arguments.out / name).resolve() for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    }
    os.environ |= {name: str(path) for name, path in folders.items()}

    name = "YourFolder"
    dataset = folders["nnUNet_raw"] / f"Dataset{DATASET_ID}_{name}"
    if not dataset.exists():
        cases = read_data_set(arguments.data).cases
        split = random_split([case.id for case in cases])
        write_nnunet_raw(cases, split, dataset_id=DATASET_ID, name=name, raw=folders["nnUNet_raw"])
    if not (folders["nnUNet_preprocessed"] / dataset.name / f"{PLANS}.json").exists():
        run("nnUNetv2_plan_and_preprocess", "-d", DATASET_ID, "-c", "2d", "-np", 1, "-npfp", 1, "--clean")
        run("lightseg", "nnunet", "plan", DATASET_ID, "--name", PLANS)

    network = ["-p", PLANS, "-tr", arguments.trainer]
    model = folders["nnUNet_results"] / dataset.name / f"{arguments.trainer}__{PLANS}__2d"
    resume = ["--c"] if list(model.glob("fold_0/checkpoint_*.pth")) else []
    run("lightseg", "nnunet", "train", DATASET_ID, "2d", 0, *network, *resume)
    predictions = arguments.out / "predictions"
    test = ["-i", dataset / "imagesTs", "-o", predictions, "-npp", 1, "-nps", 1]
    run("lightseg", "nnunet", "predict", *test, "-d", DATASET_ID, "-c", "2d", "-f", 0, *network)

    scores = evaluate_folders(predictions, dataset / "labelsTs")
    print(f"test images: {len(scores.per_image)}")
    print(f"Dice, mean over images: {scores.per_image_mean['dice']:.4f}")
    print(f"Dice, all pixels pooled: {scores.pooled['dice']:.4f}")


def run(program: str, *arguments: object) -> None:
    """Run a program of this Python environment; stop where it fails."""
    subprocess.run([Path(sys.executable).parent / program, *map(str, arguments)], check=True)


if __name__ == "__main__":
    main()
