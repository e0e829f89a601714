import json
from pathlib import Path

import pytest

from oil_storage.annotations import formats
from oil_storage.errors import UserError
from tests.annotations.exports import label_studio_min, make_scenes, written


def test_a_region_id_that_is_a_list_is_refused(tmp_path: Path) -> None:
    written("label-studio")(make_scenes(tmp_path / "in")[:1], tmp_path / "source")
    file = tmp_path / "source" / "tasks.json"
    tasks = json.loads(file.read_text())
    tasks[0]["annotations"][0]["result"][0]["id"] = []
    file.write_text(json.dumps(tasks))
    with pytest.raises(UserError, match=r"tasks\.json.*id"):
        formats.read(tmp_path / "source")


def test_regions_of_json_min_are_read_without_original_width(tmp_path: Path) -> None:
    label_studio_min(make_scenes(tmp_path / "in")[:1], tmp_path / "source")
    file = tmp_path / "source" / "project-1.json"
    tasks = json.loads(file.read_text())
    del tasks[0]["label"][3]["original_width"]
    file.write_text(json.dumps(tasks))
    assert len(formats.read(tmp_path / "source").records) == 10
