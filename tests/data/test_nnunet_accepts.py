from pathlib import Path

import pytest

from monai_lightseg.data import random_split, synthetic_cases, write_nnunet_raw

pytest.importorskip("nnunetv2")


def test_nnunet_finds_the_dataset_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity

    cases = synthetic_cases(5, size=(32, 40))
    folder = write_nnunet_raw(
        cases, random_split(case.id for case in cases), dataset_id=18, name="Drawn", raw=tmp_path, progress=False
    ).folder
    verify_dataset_integrity(str(folder), 1)
    assert "verify_dataset_integrity Done" in capsys.readouterr().out
