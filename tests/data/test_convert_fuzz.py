"""Mutated folders: each ends in one readable error that names a file, or in a right conversion."""

import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from typer.testing import CliRunner, Result

from monai_lightseg.cli.app import app

SHAPE = (24, 32)
COUNT = 6
LAYOUTS = {
    "isic2018": ("ISIC2018_Task1-2_Training_Input/{}.jpg", "ISIC2018_Task1_Training_GroundTruth/{}_segmentation.png"),
    "isic2017": ("ISIC-2017_Training_Data/{}.jpg", "ISIC-2017_Training_Part1_GroundTruth/{}_segmentation.png"),
    "ph2": (
        "PH2Dataset/PH2 Dataset images/{0}/{0}_Dermoscopic_Image/{0}.bmp",
        "PH2Dataset/PH2 Dataset images/{0}/{0}_lesion/{0}_lesion.bmp",
    ),
    "folder": ("images/{}.png", "masks/{}.png"),
}
Rng = np.random.Generator


def build(root: Path, layout: str, rng: Rng) -> None:
    for number in range(COUNT):
        case_id = f"IMD{number:03d}" if layout == "ph2" else f"ISIC_{number:07d}"
        image, mask = (root / place.format(case_id) for place in LAYOUTS[layout])
        for path in (image, mask):
            path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*SHAPE, 3), np.uint8)).save(image)
        Image.fromarray(random_mask(rng) * np.uint8(255)).save(mask)
    if layout == "ph2":
        names = "\n".join(f"IMD{number:03d}\t0" for number in range(COUNT))
        (root / "PH2Dataset" / "PH2_dataset.txt").write_text(f"Name\tDiagnosis\n{names}\n")


def random_mask(rng: Rng) -> np.ndarray:
    top, left = rng.integers(1, 10, 2)
    mask = np.zeros(SHAPE, np.uint8)
    mask[top : top + 9, left : left + 12] = 1
    return mask


def files(root: Path) -> tuple[list[Path], list[Path]]:
    found = sorted(path for path in root.rglob("*") if path.suffix in (".png", ".jpg", ".bmp") and path.is_file())
    pictures = [path for path in found if not path.name.startswith(".")]
    masks = [
        path for path in pictures if "GroundTruth" in str(path) or "_lesion" in path.name or path.parent.name == "masks"
    ]
    return [path for path in pictures if path not in masks], masks


def one_of(root: Path, rng: Rng) -> Path:
    images, masks = files(root)
    return rng.choice(np.array(images + masks, dtype=object))


def one_image(root: Path, rng: Rng) -> Path:
    return rng.choice(np.array(files(root)[0], dtype=object))


def one_mask(root: Path, rng: Rng) -> Path:
    return rng.choice(np.array(files(root)[1], dtype=object))


def truncated(root: Path, rng: Rng) -> None:
    path = one_of(root, rng)
    content = path.read_bytes()
    path.write_bytes(content[: rng.integers(0, len(content))])


def flipped_bytes(root: Path, rng: Rng) -> None:
    path = one_of(root, rng)
    content = bytearray(path.read_bytes())
    for place in rng.integers(0, len(content), 8):
        content[place] ^= int(rng.integers(1, 256))
    path.write_bytes(bytes(content))


def other_bytes(root: Path, rng: Rng) -> None:
    one_of(root, rng).write_bytes(rng.bytes(200))


def swapped_masks(root: Path, rng: Rng) -> None:
    masks = files(root)[1]
    first, second = rng.choice(np.array(masks, dtype=object), 2, replace=False)
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def swapped_image_and_mask(root: Path, rng: Rng) -> None:
    image, mask = one_image(root, rng), one_mask(root, rng)
    content = image.read_bytes()
    image.write_bytes(mask.read_bytes())
    mask.write_bytes(content)


def renamed(root: Path, rng: Rng) -> None:
    path = one_of(root, rng)
    path.rename(path.with_name(f"other_{path.name}"))


def removed(root: Path, rng: Rng) -> None:
    one_of(root, rng).unlink()


def image_mode(root: Path, rng: Rng) -> None:
    path = one_image(root, rng)
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    kind = rng.choice(["L", "P", "1", "RGBA", "transparent", "CMYK", "I;16", "LA", "F"])
    if kind == "transparent":
        alpha = rng.integers(0, 256, (*SHAPE, 1), np.uint8)
        Image.fromarray(np.concatenate([pixels, alpha], axis=2)).save(path, "PNG")
    elif kind == "I;16":
        Image.fromarray(pixels[..., 0].astype(np.uint16) * 200).save(path, "PNG")
    elif kind == "F":
        Image.fromarray(pixels[..., 0].astype(np.float32)).save(path, "TIFF")
    else:
        picture = Image.fromarray(pixels).convert(str(kind))
        picture.save(path, "TIFF" if kind == "CMYK" else "PNG")


def mask_mode(root: Path, rng: Rng) -> None:
    path, mask = one_mask(root, rng), random_mask(rng)
    kind = rng.choice(["0/1", "bits", "rgb", "coloured", "palette", "16", "three values", "jpeg", "alpha", "float"])
    made = {
        "0/1": lambda: Image.fromarray(mask),
        "bits": lambda: Image.fromarray(mask * np.uint8(255)).convert("1"),
        "rgb": lambda: Image.fromarray(np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)),
        "coloured": lambda: Image.fromarray(np.stack([mask * 255, mask * 0, mask * 0], axis=2).astype(np.uint8)),
        "palette": lambda: Image.fromarray(mask * np.uint8(255)).convert("P"),
        "16": lambda: Image.fromarray(mask.astype(np.uint16) * np.uint16(65535)),
        "three values": lambda: Image.fromarray(mask * rng.integers(0, 256, SHAPE, np.uint8)),
        "jpeg": lambda: Image.fromarray(mask * np.uint8(255)),
        "alpha": lambda: Image.fromarray(mask * np.uint8(255)).convert("LA"),
        "float": lambda: Image.fromarray(mask.astype(np.float32)),
    }[str(kind)]()
    made.save(path, {"jpeg": "JPEG", "float": "TIFF"}.get(str(kind), "PNG"))


def other_size(root: Path, rng: Rng) -> None:
    path = one_of(root, rng)
    with Image.open(path) as picture:
        resized = picture.resize((int(rng.integers(1, 60)), int(rng.integers(1, 60))), Image.Resampling.NEAREST)
    resized.save(path)


def turned_by_exif(root: Path, rng: Rng) -> None:
    path = one_image(root, rng)
    exif = Image.Exif()
    exif[0x0112] = int(rng.integers(1, 9))
    with Image.open(path) as picture:
        picture.load()
    picture.save(path, "PNG" if path.suffix == ".bmp" else None, exif=exif)


def dangling_link(root: Path, rng: Rng) -> None:
    path = one_of(root, rng)
    if rng.random() < 0.5:
        path.unlink()
    else:
        path = path.with_name(f"link{path.suffix}")
    path.symlink_to(path.with_name("nowhere"))


def folder_as_file(root: Path, rng: Rng) -> None:
    path = one_of(root, rng)
    if rng.random() < 0.5:
        path.unlink()
        path.mkdir()
    else:
        path.with_name(f"x{path.suffix}").mkdir()


def odd_names(root: Path, rng: Rng) -> None:
    """A name with a space, letters of other scripts, or characters that shells read, in a pair of folders."""
    if not (root / "images").is_dir():
        renamed(root, rng)
        return
    name = str(rng.choice(["läsion 1", "病变", "a b", "x$y", "-rf", "case_seg", "a.b", "é", "l\u0301", "A" * 200]))
    for kind in ("images", "masks"):
        sorted((root / kind).iterdir())[0].rename(root / kind / f"{name}.png")


def odd_folder(root: Path, rng: Rng) -> None:
    """Files that belong to no pair: hidden ones, tables, system files."""
    for path in (one_image(root, rng), one_mask(root, rng)):
        for name in (".DS_Store", "Thumbs.db", "._hidden.png", "notes.txt"):
            path.with_name(name).write_bytes(b"?")


def second_file_of_a_case(root: Path, rng: Rng) -> None:
    path = one_of(root, rng)
    shutil.copy(path, path.with_suffix(".tif"))


def huge_header(root: Path, rng: Rng) -> None:
    """A PNG that claims 60,000 x 60,000 pixels."""
    path = one_of(root, rng)
    Image.new("L", (1, 1)).save(path, "PNG")
    content = bytearray(path.read_bytes())
    content[16:24] = (60000).to_bytes(4, "big") * 2
    path.write_bytes(bytes(content))


MUTATIONS: list[Callable[[Path, Rng], None]] = [
    truncated,
    flipped_bytes,
    other_bytes,
    swapped_masks,
    swapped_image_and_mask,
    renamed,
    removed,
    image_mode,
    mask_mode,
    other_size,
    turned_by_exif,
    dangling_link,
    folder_as_file,
    odd_names,
    odd_folder,
    second_file_of_a_case,
    huge_header,
]


def convert(root: Path, out: Path, to: str, size: bool, limit: int | None) -> Result:
    options = ["--to", to, "--out", str(out if to == "nnunet" else out / "datalist")]
    options += ["--id", "18", "--name", "X"] if to == "nnunet" else []
    options += ["--size", "16x20"] if size else []
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        return CliRunner().invoke(app, ["data", "convert", str(root), *options])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def check_error(result: Result, root: Path, out: Path) -> None:
    assert result.exit_code == 1, (result.exception, result.output)
    assert isinstance(result.exception, SystemExit)
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert lines and "Traceback" not in result.output
    # A path in either folder, or the id of a case.
    cases = {path.stem for path in root.rglob("*") if path.suffix}
    assert any(name in lines[0] for name in (str(root), str(out), *cases)), lines
    assert not out.exists() or list(out.iterdir()) == []


def check_conversion(root: Path, out: Path, to: str, size: bool) -> None:
    folder = out / ("Dataset018_X" if to == "nnunet" else "datalist")
    assert list(out.iterdir()) == [folder]
    images, masks = files(root)
    assert not [path for path in folder.rglob("*") if path.name.startswith(".")]
    pictures = {path.name.removesuffix(".png").removesuffix("_0000"): path for path in folder.glob("images*/*")}
    labels = {path.name.removesuffix(".png"): path for path in folder.glob("labels*/*")}
    assert pictures.keys() == labels.keys() and len(pictures) == len(images)
    for image in images:
        np.testing.assert_array_equal(np.asarray(Image.open(pictures[image.stem])), plain_image(image, size))
    for mask in masks:
        stem = mask.stem.removesuffix("_segmentation").removesuffix("_lesion")
        with Image.open(labels[stem]) as written:
            assert written.mode == "L"
            np.testing.assert_array_equal(np.asarray(written), plain_mask(mask, size))


def plain_image(path: Path, size: bool) -> np.ndarray:
    with Image.open(path) as picture:
        upright = ImageOps.exif_transpose(picture)
    if upright.mode in ("I;16", "I"):
        values = np.asarray(upright).astype(float)
        upright = Image.fromarray(np.rint((values - values.min()) / np.ptp(values) * 255).astype(np.uint8))
    colour = upright.convert("RGB")
    return np.asarray(colour.resize((20, 16), Image.Resampling.BILINEAR) if size else colour)


def plain_mask(path: Path, size: bool) -> np.ndarray:
    with Image.open(path) as picture:
        values = np.asarray(picture if picture.mode in ("I;16", "I", "F") else picture.convert("L"))
        mask = Image.fromarray((values >= 128 if picture.format == "JPEG" else values > 0).astype(np.uint8))
    return np.asarray(mask.resize((20, 16), Image.Resampling.NEAREST) if size else mask)


def fuzz(seed: int, tmp_path: Path) -> bool:
    """Convert one mutated folder; return whether it was converted."""
    rng = np.random.default_rng(seed)
    root, out = tmp_path / "data", tmp_path / "out"
    build(root, str(rng.choice(list(LAYOUTS))), rng)
    for place in rng.choice(len(MUTATIONS), rng.integers(1, 3), replace=False):
        # A second mutation may find nothing left to change.
        try:
            MUTATIONS[place](root, rng)
        except (OSError, ValueError):
            continue
    to, size = str(rng.choice(["nnunet", "datalist"])), bool(rng.random() < 0.5)
    limit = int(rng.integers(0, 400)) if rng.random() < 0.1 else None
    result = convert(root, out, to, size, limit)
    if result.exit_code == 0:
        check_conversion(root, out, to, size)
    else:
        check_error(result, root, out)
    return result.exit_code == 0


@pytest.mark.parametrize("seed", range(40))
def test_mutated_folders(seed: int, tmp_path: Path) -> None:
    fuzz(seed, tmp_path)


@pytest.mark.slow
def test_a_thousand_mutated_folders(tmp_path: Path) -> None:
    converted = 0
    for seed in range(1000, 2000):
        folder = tmp_path / str(seed)
        try:
            converted += fuzz(seed, folder)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        shutil.rmtree(folder)
    print(f"{converted} converted, {1000 - converted} refused")
    # Both ends have to be reached, or the mutations are too tame or too wild.
    assert 100 < converted < 900
