import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from monai_lightseg.cli.app import app
from monai_lightseg.workflows import bundle_folder, bundle_receipt, bundles, list_bundles

WIDTH = 120
SKIN = {
    "network": "ultralight_vm_unet",
    "parameters": 49457,
    "protocol": "isic2018-random42",
    "tests": [
        {"name": "ph2", "scores": {"dice_pooled": {"estimate": 0.5}, "dice_per_image": {"estimate": 0.5}}},
        {
            "name": "test",
            "scores": {
                "dice_pooled": {"estimate": 0.8926, "low": 0.88, "high": 0.9},
                "dice_per_image": {"estimate": 0.881, "low": 0.87, "high": 0.89},
            },
        },
    ],
}
GLAND = {
    "network": "unode",
    "parameters": 133374,
    "protocol": "glas-official",
    "tests": [{"name": "test", "scores": {"object_f1": {"estimate": 0.8}, "object_dice": {"estimate": 0.75}}}],
}
OWN = {"network": "ulite", "parameters": 878417, "protocol": None, "tests": []}
RECEIPTS = {"glas_gland": GLAND, "isic_lesion": SKIN, "own_split": OWN, "untrained": None}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four bundles, as a wheel has them."""
    monkeypatch.setattr(bundles, "_PACKAGE", tmp_path)
    for name, receipt in RECEIPTS.items():
        for inside in ("configs", "models"):
            (tmp_path / "bundles" / name / inside).mkdir(parents=True)
        (tmp_path / "bundles" / name / "configs" / "metadata.json").write_text("{}")
        if receipt is not None:
            (tmp_path / "bundles" / name / "models" / "receipt.json").write_text(json.dumps(receipt))
    return tmp_path / "bundles"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["bundles", *arguments])


def test_table(folder: Path) -> None:
    result = run()
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "name         network             parameters  protocol           test score",
        "glas_gland   unode                  133,374  glas-official      object Dice 0.750",
        "isic_lesion  ultralight_vm_unet      49,457  isic2018-random42  pooled Dice 0.893, per image 0.881",
        "own_split    ulite                  878,417  -                  -",
        "untrained    -                            -  -                  -",
    ]


def test_json(folder: Path) -> None:
    assert json.loads(run("--json").stdout) == [
        {"name": name, "folder": str(folder / name), "receipt": receipt or {}} for name, receipt in RECEIPTS.items()
    ]


def test_path_is_one_line(folder: Path) -> None:
    assert run("path", "isic_lesion").output == f"{folder / 'isic_lesion'}\n"


def test_copy(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    assert run("copy", "isic_lesion", str(out)).output.startswith(f"wrote {out}; ")
    assert json.loads((out / "models" / "receipt.json").read_text()) == SKIN


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("path", "isic_leson"), "no bundle is called 'isic_leson'; did you mean 'isic_lesion'?"),
        (
            ("copy", "unet", "mine"),
            "no bundle is called 'unet'; there are glas_gland, isic_lesion, own_split, untrained",
        ),
        (("copy", "isic_lesion", "."), ". exists; give a new folder"),
    ],
)
def test_errors_are_one_line(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"error: {message}\n")


@pytest.mark.parametrize("arguments", [("path",), ("copy", "isic_lesion"), ("nonsense",)])
def test_usage_errors(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


def test_table_of_the_bundles_of_the_package() -> None:
    heading, *rows = run().stdout.splitlines()
    assert heading.split()[0] == "name"
    assert [row.split()[0] for row in rows] == list_bundles()
    assert max(map(len, rows)) <= WIDTH
    for row in rows:
        receipt = bundle_receipt(row.split()[0])
        assert row.split()[1:4] == [receipt["network"], f"{receipt['parameters']:,}", receipt["protocol"]]
        assert "Dice" in row


@pytest.mark.parametrize("name", list_bundles())
def test_path_of_the_bundles_of_the_package(name: str) -> None:
    assert Path(run("path", name).stdout.strip()) == bundle_folder(name)
