"""Write the bundles, from templates of what all share, what a task has of its own, and the receipts of the trainings.

python bundles/make_bundles.py            # writes
python bundles/make_bundles.py --check    # exits 1 if something is out of date

Nothing here touches weights: `bundles/publish_weights.py` puts them into a bundle, with the receipt.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from monai_lightseg import __version__
from monai_lightseg.atomic import write_text
from monai_lightseg.networks import network_card, network_class

ROOT = Path(__file__).parent
TEMPLATES = ROOT / "templates"
PAGE = ROOT.parent / "docs" / "bundles.md"
TRAININGS = ROOT.parent / "benchmarks" / "results" / "skin_training.json"
MADE = "<!-- {name}: made by `python bundles/make_bundles.py` from {source}; a test keeps it so -->\n"
END = "<!-- {name} end -->"
SCHEMA = (
    "https://raw.githubusercontent.com/Project-MONAI/project-monai.github.io/refs/heads/main/public/schema/"
    "meta_schema_20240725.json"
)
COMPARED = """## Compared

The recipe trains other networks as well; `python benchmarks/skin_training.py --commands` prints how. Their weights lie
in `benchmarks/results/skin_training`, under the same terms as those of the bundles (`docs/data_license.txt` in each).
`python benchmarks/skin_training.py --lists LISTS` compares them again, LISTS being a folder of datalists that are named
by their protocols. Differences are paired by image, with 95 % intervals; p values are those of a permutation test,
corrected by Holm for the number of comparisons in the table. One seed each.
"""
CREATE = "monai_lightseg.networks.create_network"
BCE_AND_DICE = {"_target_": "DiceCELoss", "sigmoid": True, "smooth_nr": 1.0, "smooth_dr": 1.0}


@dataclass(frozen=True)
class Bundle:
    """What tells a bundle from the others of its task.

    Attributes:
        name: of the folder.
        title: heading of the model card.
        task: "skin" or "gland": its templates.
        network: registry name.
        arguments: of the network.
        memory_format: of training.
        description: of the network; None for that of its card.
    """

    name: str
    title: str
    task: str
    network: str
    arguments: dict[str, Any] = field(default_factory=dict)
    memory_format: str = "channels_last"
    description: str | None = None

    @property
    def of_network(self) -> str:
        """One or two sentences on the network."""
        return self.description or network_card(self.network).description


BUNDLES = (
    Bundle(
        "isic_lesion_ultralight_vm_unet",
        "Skin lesions with UltraLight VM-UNet",
        "skin",
        "ultralight_vm_unet",
    ),
    Bundle(
        "isic_lesion_nmode_unet",
        "Skin lesions with a light U-Net and an nmODE decoder",
        "skin",
        "nmode_unet",
        {"features": [8, 16, 32, 64, 64], "solver": "euler"},
        "contiguous_format",
    ),
    Bundle(
        "glas_gland_unode",
        "Colon glands with U-Node",
        "gland",
        "unode",
        {"out_channels": 2, "features": [8, 12, 16, 24, 32], "solver": "rk4", "steps": 1, "checkpoint": False},
        "contiguous_format",
        "U-shaped network whose blocks are neural ordinary differential equations, here solved in one step of RK4, not "
        "adaptively as in the paper, so that it can be exported, and narrower.",
    ),
)


def files(bundle: Bundle) -> dict[Path, str]:
    """Every made file of a bundle and what it should hold."""
    folder, templates = ROOT / bundle.name, TEMPLATES / bundle.task
    receipt = _receipt(bundle)
    configs = {name: _with_network(bundle, _of_task(bundle.task, name)) for name in ("train", "inference")}
    configs["evaluate"] = _read(templates / "evaluate.json")
    configs |= {name: _read(TEMPLATES / f"{name}.json") for name in ("multi_gpu_train", "onnx_export")}
    configs["metadata"] = _metadata(bundle, receipt)
    made = {folder / "configs" / f"{name}.json": json.dumps(of, indent=2) + "\n" for name, of in configs.items()}
    made[folder / "configs" / "logging.conf"] = _text(TEMPLATES / "logging.conf")
    made[folder / "docs" / "README.md"] = _model_card(bundle, receipt)
    made[folder / "docs" / "data_license.txt"] = _text(templates / "data_license.txt")
    made[folder / "LICENSE"] = _text(ROOT.parent / "LICENSE")
    return made


def page() -> str:
    """docs/bundles.md with the tables of the bundles and of the trainings that were compared."""
    rows = ["| bundle | network | parameters | scores |", "|---|---|---:|---|", *map(_row, BUNDLES)]
    text = _with_table(_text(PAGE), "bundles", "the receipts", rows)
    groups = _read(TRAININGS)["groups"] if TRAININGS.is_file() else {}
    lines = [line for title, group in groups.items() if group for line in _group(title, group)]
    if lines:
        lines.insert(0, COMPARED)
    return _with_table(text, "trainings", "benchmarks/results/skin_training.json", lines)


def _with_table(text: str, name: str, source: str, lines: Sequence[str]) -> str:
    start, end = MADE.format(name=name, source=source), END.format(name=name)
    before, rest = text.split(start)
    return before + start + "\n" + "".join(f"{line}\n" for line in lines) + "\n" + end + rest.split(end)[1]


def _group(title: str, group: Mapping[str, Any]) -> list[str]:
    """One table: the trainings of a group, and how the first differs from the others."""
    against = {comparison["other"]: comparison for comparison in group["first_against_others"]}
    lines = [
        f"**{title[0].upper()}{title[1:]}**, test images of `{group['protocol']}`:",
        "",
        "| training | Dice, pooled | Dice, mean over images | the first less this one, mean | p |",
        "|---|---|---|---|---:|",
    ]
    for name, of in group["models"].items():
        other = against.get(name)
        difference = _with_ends(other["permutation"]["difference"]) if other else ""
        p_value = f"{other['permutation_adjusted']:.2g}" if other else ""
        scores = f"{_with_ends(of['dice_pooled'])} | {_with_ends(of['dice_per_image'])}"
        lines.append(f"| `{name}` | {scores} | {difference} | {p_value} |")
    return [*lines, ""]


def _row(bundle: Bundle) -> str:
    receipt = _receipt(bundle)
    if receipt is None:
        return f"| `{bundle.name}` | `{bundle.network}` | | not trained yet |"
    scores = "; ".join(
        f"{test['title']} ({test['images']}): "
        + ", ".join(f"{name.replace('_', ' ')} {_with_ends(of)}" for name, of in test["scores"].items())
        for test in receipt["tests"]
    )
    return f"| `{bundle.name}` | `{bundle.network}` | {receipt['parameters']:,} | {scores} |"


def _receipt(bundle: Bundle) -> dict[str, Any] | None:
    path = ROOT / bundle.name / "models" / "receipt.json"
    return _read(path) if path.is_file() else None


def _of_task(task: str, name: str) -> dict[str, Any]:
    """The config that all bundles share, with the task's own; its ids such as "train#dataset" replace what is there."""
    own = _read(TEMPLATES / task / f"{name}.json")
    parser = ConfigParser({key: value for key, value in own.items() if "#" not in key})
    parser.update(_read(TEMPLATES / f"{name}.json"))
    parser.update({key: value for key, value in own.items() if "#" in key})
    return parser.get()


def _with_network(bundle: Bundle, config: dict[str, Any]) -> dict[str, Any]:
    """The config with the network, and the loss that it takes, filled in."""
    network = {"_target_": CREATE, "name": bundle.network, **bundle.arguments}
    auxiliary = network_class(bundle.network).auxiliary_weights
    if "loss" in config and auxiliary:
        network["deep_supervision"] = True
    filled = config | {"network_def": network}
    if "memory_format" in config:
        filled["memory_format"] = f"$torch.{bundle.memory_format}"
    if config.get("loss") == "LOSS":
        deep = {"_target_": "DeepSupervisionLoss", "loss": BCE_AND_DICE, "weights": [1.0, *auxiliary]}
        filled["loss"] = deep if auxiliary else BCE_AND_DICE
    return filled


def _metadata(bundle: Bundle, receipt: Mapping[str, Any] | None) -> dict[str, Any]:
    """`metadata.json` by the schema of 2024-07-25; without a receipt nothing is known of versions and scores."""
    of_task = _read(TEMPLATES / bundle.task / "metadata.json")
    versions = receipt["versions"] if receipt else dict.fromkeys(("monai", "torch", "numpy", "pytorch-ignite"), "")
    return {
        "schema": SCHEMA,
        "name": bundle.title,
        "version": __version__,
        "changelog": {__version__: "first release"},
        "monai_version": versions["monai"],
        "pytorch_version": versions["torch"],
        "numpy_version": versions["numpy"],
        "required_packages_version": {"monai-lightseg": __version__, "pytorch-ignite": versions["pytorch-ignite"]},
        "authors": "The monai-lightseg developers",
        "copyright": "Copyright (c) the monai-lightseg developers",
        "eval_metrics": _eval_metrics(receipt["tests"]) if receipt else {},
        **of_task,
        "description": f"{bundle.of_network} {of_task['description']}",
        "references": [_paper(bundle.network), *of_task["references"]],
    }


def _eval_metrics(tests: list[dict[str, Any]]) -> dict[str, float]:
    """Name of test and score -> value."""
    return {f"{test['name']}_{name}": of["estimate"] for test in tests for name, of in test["scores"].items()}


def _model_card(bundle: Bundle, receipt: Mapping[str, Any] | None) -> str:
    card = network_card(bundle.network)
    script = card.not_supported.get("script")
    facts = {
        "title": bundle.title,
        "name": bundle.name,
        "build": ", ".join(
            [f'create_network("{bundle.network}"', *(f"{key}={value!r}" for key, value in bundle.arguments.items())]
        )
        + ")",
        "description": bundle.of_network,
        "paper": _paper(bundle.network),
        "origin": card.origin,
        "licence": card.licence,
        "parameters": f"{receipt['parameters']:,}" if receipt else "Unknown",
        "training": _training(receipt) if receipt else "Not trained.",
        "performance": _performance(receipt) if receipt else "Not measured.",
        "torchscript": _torchscript(script),
    }
    text = _text(TEMPLATES / bundle.task / "README.md")
    for name, value in facts.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _training(receipt: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in receipt["versions"].items())
    return (
        f"These weights: {receipt['epochs']} epochs with seed {receipt['seed']}; the validation loss was lowest "
        f"({receipt['validation_loss']:.4f}) after epoch {receipt['best_epoch']}. Trained on {receipt['hardware']}.\n"
        "`models/receipt.json` holds the command, the checksums of split and weights and every validation loss, "
        f"`models/*.csv` the scores of each test image.\nVersions: {versions}."
    )


def _performance(receipt: Mapping[str, Any]) -> str:
    """One row per test, one column per score."""
    tests = receipt["tests"]
    scores = list(tests[0]["scores"])
    lines = [
        f"| images | {' | '.join(name.replace('_', ' ') for name in scores)} |",
        f"|---|{'---|' * len(scores)}",
        *(
            f"| {test['title']} ({test['images']}) | {' | '.join(map(_with_ends, test['scores'].values()))} |"
            for test in tests
        ),
        "",
        receipt["scoring"],
    ]
    return "\n".join(lines)


def _with_ends(score: Mapping[str, float]) -> str:
    ends = f" ({score['low']:.3f} to {score['high']:.3f})" if "low" in score else ""
    return f"{score['estimate']:.3f}{ends}"


def _torchscript(reason: str | None) -> str:
    excluded = f" Scripting, `ckpt_export` without `--use_trace`, is not supported: {reason}." if reason else ""
    return (
        f"TorchScript by tracing, which fixes the size.{excluded}\n\n```bash\n"
        "python -m monai.bundle ckpt_export --config_file configs/inference.json --net_id network_def \\\n"
        '  --use_trace True --input_shape "[1, 3, 256, 256]"\n```'
    )


def _paper(network: str) -> str:
    card = network_card(network)
    return f"{card.title}, {card.year}, {card.paper}"


def _read(path: Path) -> Any:
    return json.loads(_text(path))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def main() -> None:
    """Write what differs, or name it."""
    made = {path: text for bundle in BUNDLES for path, text in files(bundle).items()} | {PAGE: page()}
    stale = [path for path, text in made.items() if not path.is_file() or _text(path) != text]
    if "--check" in sys.argv[1:]:
        if stale:
            names = ", ".join(str(path.relative_to(ROOT.parent)) for path in stale)
            sys.exit(f"out of date: {names}; run python bundles/make_bundles.py")
        return
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, made[path])
        print(f"wrote {path.relative_to(ROOT.parent)}")


if __name__ == "__main__":
    main()
