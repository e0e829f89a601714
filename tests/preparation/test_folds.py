from collections import Counter
from pathlib import Path

import pytest

from oil_storage import manifest
from oil_storage.errors import UserError
from oil_storage.preparation.folds import fold_folder, prepare_fold
from oil_storage.preparation.prepare import Choices, prepare
from tests.raw_data import write_raw_data


def test_folds_test_every_scene_once_and_keep_the_choices(tmp_path: Path) -> None:
    raw = write_raw_data(tmp_path / "raw", scenes=6, size=128, tanks=4)
    whole = prepare(raw, tmp_path / "whole", 64, 16, seed=3, choices=Choices(min_side=13.0)).manifest
    folds = [prepare_fold(tmp_path / "whole", 3, fold, 64, 16) for fold in range(3)]
    tested = Counter(scene for fold in folds for scene in fold.manifest["split"]["test"])
    assert tested == dict.fromkeys(whole["source"]["images_sha256"], 1)
    boxes = sum(counts["boxes"] for counts in whole["counts"].values())
    for number, fold in enumerate(folds):
        source = fold.manifest["source"]
        assert source["seed"] == 3
        assert {"fold": 0, **source["choices"]} == {"min_side": 13.0, "folds": 3, "fold": number}
        assert sum(counts["boxes"] for counts in fold.manifest["counts"].values()) == boxes
        assert manifest.read(fold_folder(tmp_path / "whole", 3, number)) == fold.manifest
    assert not prepare_fold(tmp_path / "whole", 3, 0, 64, 16).is_new


def test_a_source_that_is_gone_or_another_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent: no prepared data; run: python tools/prepare_dataset.py"):
        prepare_fold(tmp_path / "absent", 3, 0, 64, 16)
    raw = write_raw_data(tmp_path / "raw", scenes=6, size=128, tanks=4)
    prepare(raw, tmp_path / "whole", 64, 16)
    table = raw / "annotations.csv"
    header, _, *rest = table.read_text().splitlines(keepends=True)
    table.write_text("".join([header, *rest]))
    with pytest.raises(UserError, match=r"raw: has changed since .*whole was prepared"):
        prepare_fold(tmp_path / "whole", 3, 0, 64, 16)
    raw.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"raw: is gone; .*whole was prepared from it"):
        prepare_fold(tmp_path / "whole", 3, 1, 64, 16)
