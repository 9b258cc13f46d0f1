"""The wheel, built by the project's own back end, holds the bundles where the installed package looks for them."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from monai_lightseg.workflows import copy_bundle, list_bundles
from tests.folders import content

ROOT = Path(__file__).parents[1]
LOAD_ALL = (
    "from monai_lightseg.workflows import bundles_folder, list_bundles, load_bundle\n"
    "print(bundles_folder(), *list_bundles(), sep='\\n')\n"
    "for name in list_bundles():\n"
    "    load_bundle(name)\n"
)


def built(folder: Path, target: str, source: Path = ROOT) -> Path:
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder], cwd=source, check=True)
    (archive,) = folder.iterdir()
    return archive


@pytest.fixture(scope="module", params=["checkout", "sdist"])
def unpacked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a wheel puts into site-packages; one of the checkout, and one of the source distribution."""
    source = ROOT
    if request.param == "sdist":
        folder = tmp_path_factory.mktemp("source")
        with tarfile.open(built(tmp_path_factory.mktemp("sdist"), "sdist")) as archive:
            archive.extractall(folder, filter="data")
        (source,) = folder.iterdir()
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(built(tmp_path_factory.mktemp("wheel"), "wheel", source)) as wheel:
        wheel.extractall(folder)
    return folder


def test_bundles_load_from_the_wheel(unpacked: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(unpacked)!r})\n{LOAD_ALL}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(unpacked / "monai_lightseg" / "bundles"), *list_bundles()]


def test_the_wheel_has_the_bundles_and_not_what_makes_them(unpacked: Path, tmp_path: Path) -> None:
    for name in list_bundles():
        copy_bundle(name, tmp_path / name)
    inside = unpacked / "monai_lightseg" / "bundles"
    assert content(inside) == content(tmp_path)
    assert not (unpacked / "bundles").exists()
