"""`lightseg nnunet`: our trainers inside stock nnU-Net."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_lightseg.cli.values import read_numbers, read_size
from nnunet_trainers import activation

if TYPE_CHECKING:
    from nnunet_trainers.seed_results import SeedTable

__all__ = ["nnunet_app"]

PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True}

HELP = "Train our networks inside stock nnU-Net.\n\nExample: lightseg nnunet doctor"

nnunet_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=HELP)


@nnunet_app.command()
def path() -> None:
    """Print the folder for nnUNet_extTrainer.

    Example: export nnUNet_extTrainer="$(lightseg nnunet path)"
    """
    typer.echo(str(activation.shim_directory()))


@nnunet_app.command()
def enable() -> None:
    """Let stock nnU-Net find the trainers.

    Every Python of this environment then sets nnUNet_extTrainer when it starts, by a file in site-packages.

    Example: lightseg nnunet enable && nnUNetv2_train 18 2d 0 -tr nnUNetTrainerNmODEDecoder
    """
    typer.echo(f"wrote {activation.enable()}; undo with: lightseg nnunet disable")


@nnunet_app.command()
def disable() -> None:
    """Remove what enable wrote.

    Example: lightseg nnunet disable
    """
    removed = activation.disable()
    typer.echo(f"nothing to remove at {activation.startup_file()}" if removed is None else f"removed {removed}")


@nnunet_app.command()
def doctor(
    dataset: Annotated[str | None, typer.Argument(help="Also check this dataset: id or DatasetXXX_Name.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that training can start.

    Looks at versions, nnU-Net's variables, every trainer and, when named, a dataset; exits with 1 if a check fails.

    Example: lightseg nnunet doctor 18
    """
    from nnunet_trainers.doctor import examine

    checks = examine(dataset)
    ok = all(check.ok for check in checks)
    if as_json:
        typer.echo(json.dumps({"ok": ok, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        for check in checks:
            typer.echo(f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.detail}")
            if check.remedy:
                typer.echo(f"     remedy: {check.remedy}")
    if not ok:
        raise typer.Exit(1)


@nnunet_app.command()
def plan(
    dataset: Annotated[str, typer.Argument(help="Planned and preprocessed dataset: id or DatasetXXX_Name.")],
    patch: Annotated[str, typer.Option(help="Largest patch, HEIGHTxWIDTH.")] = "256x256",
    batch: Annotated[int, typer.Option(help="Images per batch.")] = 8,
    features: Annotated[str, typer.Option(help="Channels per stage.")] = "8,16,32,64,128",
    source_plans: Annotated[str, typer.Option(help="Plans to start from.")] = "nnUNetPlans",
    name: Annotated[str, typer.Option(help="Name of the new plans.")] = "nnUNetLightPlans",
) -> None:
    """Write plans with a light encoder.

    They are derived from plans that nnU-Net made; nothing is preprocessed again.

    Example: lightseg nnunet plan 18 --patch 256x256 --batch 8
    """
    sides, channels = read_size(patch, "--patch"), read_numbers(features, "--features")
    from nnunet_trainers.commands import require_nnunet

    require_nnunet("nnUNet_preprocessed")
    from nnunet_trainers.plans import write_light_plans

    written = write_light_plans(dataset, source=source_plans, name=name, patch=sides, batch=batch, features=channels)
    typer.echo(f"wrote {written}; train with: lightseg nnunet train {dataset} 2d 0 -p {name} -tr TRAINER")


@nnunet_app.command(context_settings=PASS_THROUGH)
def train(
    context: typer.Context,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Train the seeds 0, 1, ... below this number, one after the other.")
    ] = None,
) -> None:
    """Run nnUNetv2_train with our trainers.

    All other arguments and options are nnU-Net's own. Without CUDA it runs on the CPU or on MPS, and it refuses to
    start where nnU-Net would not use the split that lies with the raw dataset. One seed: -tr TRAINER_seed1.

    Example: lightseg nnunet train 18 2d 0 -tr nnUNetTrainerNmODEDecoder_5epochs -p nnUNetLightPlans --seeds 3
    """
    from nnunet_trainers import commands

    if seeds is None:
        commands.train(context.args)
    else:
        _show_seeds(*commands.train_seeds(context.args, seeds))


@nnunet_app.command(context_settings=PASS_THROUGH)
def predict(context: typer.Context) -> None:
    """Run nnUNetv2_predict with our trainers.

    All arguments and options are nnU-Net's own. Without CUDA it runs on the CPU or on MPS.

    Example: lightseg nnunet predict -i in -o out -d 18 -c 2d -f 0 -tr nnUNetTrainerNmODEDecoder -p nnUNetLightPlans
    """
    from nnunet_trainers import commands

    commands.predict(context.args)


def _show_seeds(table: "SeedTable", written: Path) -> None:
    typer.echo(f"{table.dataset} {table.configuration}, fold {table.fold}, {table.trainer}, {table.plans}")
    typer.echo(f"{'validation Dice':<16} {'per-image mean':>15} {'pooled':>8}")
    for result in table.seeds:
        typer.echo(f"{f'seed {result.seed}':<16} {result.mean_dice:>15.4f} {result.pooled_dice:>8.4f}")
    mean, pooled = table.over_seeds["mean_dice"], table.over_seeds["pooled_dice"]
    for name in ("mean", "std", "min", "max"):
        columns = [getattr(spread, name) for spread in (mean, pooled)]
        per_image, together = ("-" if value is None else f"{value:.4f}" for value in columns)
        typer.echo(f"{name:<16} {per_image:>15} {together:>8}")
    typer.echo(f"wrote {written}")
