import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from oil_storage.errors import UserError
from oil_storage.figures import ConfigResults, RecordedRun
from oil_storage.manifest import DataIdentity
from oil_storage.reporting.results import markdown, measured, read, record, replaced

DATA = {"name": "scenes", "scenes": 6, "annotations_sha256": "0" * 64, "split_seed": 0, "sha256": "a" * 64}
OTHER_SPLIT = DATA | {"split_seed": 1, "sha256": "b" * 64}
TRAINED = {
    "config": "toy",
    "data": DATA,
    "processes": 1,
    "hardware": "2 cores",
    "commit": "abc",
    "seconds": 220.0,
    "seed": 0,
    "iterations": 80,
    "recipe_sha256": "0",
}
FIGURES = {"ap": 0.4, "ap50": 0.7, "f1": 0.75, "intervals": {"f1": [0.7, 0.8]}}


def write_run(work_dir: Path, ap: float = 0.5, seed: int = 0, **tested: Any) -> Path:
    """Write what a training run and a test leave behind; ``tested`` overrides keys of ``metrics.json``."""
    (work_dir / "val").mkdir(parents=True)
    checkpoint = work_dir / "iter_80.pth"
    checkpoint.write_bytes(b"weights")
    (work_dir / "val" / "outcomes.npz").write_bytes(b"outcomes")
    names = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m")
    content = {
        "config": "configs/oil/toy.py",
        "config_sha256": "0",
        "packages": {},
        "checkpoint": str(checkpoint),
        "checkpoint_sha256": hashlib.sha256(b"weights").hexdigest(),
        "trained": TRAINED | {"seed": seed},
        "changes": [],
        "cfg_options": [],
        "data_root": "prepared",
        "data": DATA,
        "ground_truth_sha256": "0",
        "tiles": "640_64",
        "split": "val",
        "tta": False,
        "precision": "float32",
        "metrics": {f"coco/bbox_{name}": ap for name in names} | {"coco/bbox_mAP_l": None},
        "published_protocol": {"mAP": 0.61, "mAP_50": 0.91},
        "scenes": {**FIGURES, "errors_by_size": {}},
        "tiles_ap_minus_scenes_ap": 0.1,
    }
    (work_dir / "val" / "metrics.json").write_text(json.dumps(content | tested))
    return work_dir


def test_measured_run_combines_checkpoint_and_test(tmp_path: Path) -> None:
    config, run = measured(write_run(tmp_path, 0.53849, seed=3), "val")
    assert config == "toy"
    assert (run.seed, run.iterations, run.train_minutes, run.commit) == (3, 80, 3.7, "abc")
    assert run.metrics["coco/bbox_mAP_75"] == 0.53849
    assert run.metrics["coco/bbox_mAP_l"] is None
    assert run.scenes is not None
    assert run.scenes.model_dump(exclude_unset=True) == FIGURES
    assert "| 0.610 | 0.910 | 0.400 | 0.700 | 0.750 (0.700 to 0.800) | 4 min |" in table(config, run)


def test_figures_are_rounded_only_once(tmp_path: Path) -> None:
    config, run = measured(write_run(tmp_path, 0.53849), "val")  # to four digits and then to three it would be 0.539
    assert "| 0.538 |" in table(config, run)


def test_untested_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tools/test\.py with --split test"):
        measured(write_run(tmp_path), "test")
    (tmp_path / "val" / "outcomes.npz").unlink()
    with pytest.raises(UserError, match=r"outcomes\.npz: no such file; run tools/test\.py with --split val"):
        measured(tmp_path, "val")


@pytest.mark.parametrize(
    ("tested", "words"),
    [
        ({"checkpoint": "elsewhere/iter_80.pth"}, "which is not in"),
        (
            {
                "changes": ["model.test_cfg.score_thr was 0.01, would be 0.5"],
                "cfg_options": ["model.test_cfg.score_thr=0.5"],
            },
            r"was 0\.01, would be 0\.5",
        ),
        ({"data": OTHER_SPLIT}, r"other prepared data \(split seed 1\) than the training \(split seed 0\)"),
        (
            {"trained": TRAINED | {"data": OTHER_SPLIT}},
            r"other prepared data \(split seed 0\) than the training \(split seed 1\)",
        ),
        ({"trained": None}, r"iter_80\.pth: has no record of its training data"),
        ({"trained": TRAINED | {"data": None}}, r"iter_80\.pth: has no record of its training data"),
        ({"metrics": None}, r"metrics\.json: metrics: "),
    ],
)
def test_score_of_another_checkpoint_data_or_config_is_refused(
    tmp_path: Path, tested: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words) as caught:
        measured(write_run(tmp_path, **tested), "val")
    assert len(str(caught.value).splitlines()) <= 3


@pytest.mark.parametrize("content", [b"of another training run", None])
def test_checkpoint_that_was_replaced_after_the_test_is_refused(tmp_path: Path, content: bytes | None) -> None:
    checkpoint = write_run(tmp_path) / "iter_80.pth"
    if content is None:
        checkpoint.unlink()
    else:
        checkpoint.write_bytes(content)
    with pytest.raises(
        UserError, match=r"has the score of .*iter_80\.pth, which was replaced or deleted since; run tools/test"
    ):
        measured(tmp_path, "val")


def test_results_file_of_another_config_is_refused(tmp_path: Path) -> None:
    record(tmp_path, "toy", runs=[run_on(DATA)]).rename(tmp_path / "other.json")
    with pytest.raises(UserError, match=r"other\.json: has the results of 'toy'"):
        read(tmp_path)


@pytest.mark.parametrize("text", ["", "[1]", '{"split": "val"}', '{"runs": [{}]}', '{"runs": 3}'])
def test_damaged_files_are_named(tmp_path: Path, text: str) -> None:
    write_run(tmp_path / "run")
    (tmp_path / "run" / "val" / "metrics.json").write_text(text)
    with pytest.raises(UserError, match=r"metrics\.json:"):
        measured(tmp_path / "run", "val")
    (tmp_path / "toy.json").write_text(text)
    with pytest.raises(UserError, match=r"toy\.json:"):
        read(tmp_path)


def run_on(data: dict[str, Any], seed: int = 0, ap: float = 0.5) -> RecordedRun:
    names = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m")
    return RecordedRun(
        data=DataIdentity(**data),
        seed=seed,
        split="val",
        iterations=80,
        train_minutes=4.0,
        hardware="2 cores",
        commit="abc",
        tta=False,
        changes=[],
        date="2026-01-01",
        metrics={f"coco/bbox_{name}": ap for name in names},
    )


def but(run: RecordedRun, **changes: Any) -> RecordedRun:
    return run.model_copy(update=changes)


def table(config: str, *runs: RecordedRun) -> str:
    return markdown({config: ConfigResults(config=config, runs=list(runs))})


def test_run_replaces_the_run_with_the_same_seed_data_and_split() -> None:
    first, second = run_on(DATA, 0), run_on(DATA, 1)
    again = run_on(DATA, 0, ap=0.7)
    assert replaced([first, second], again) == [again, second]
    elsewhere = run_on(OTHER_SPLIT, 0)
    assert replaced([first], elsewhere) == [first, elsewhere]
    assert replaced([first], but(again, split="test")) == [but(again, split="test"), first]


def test_runs_with_and_without_tta_are_kept_apart() -> None:
    plain, flipped = run_on(DATA), but(run_on(DATA, ap=0.6), tta=True)
    assert replaced([plain], flipped) == [plain, flipped]
    assert replaced([plain, flipped], but(flipped, date="later")) == [plain, but(flipped, date="later")]
    rows = table("toy", plain, flipped).splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == ["| `toy`", "| `toy`, two views"]


def test_changed_config_is_recorded_with_a_note(tmp_path: Path) -> None:
    change = "model.test_cfg.vote_iou was None, would be 0.6"
    config, run = measured(write_run(tmp_path, changes=[change]), "val")
    assert f"`toy` was tested with settings that differ from training: {change}." in table(config, run, run)
    assert table(config, run, run).count(change) == 1


def test_runs_without_scene_figures_have_dashes() -> None:
    assert "| 0.500 | - | - | - | - | - | 4 min | 2 cores | abc |" in table("toy", run_on(DATA))


def test_each_data_set_has_its_own_table(tmp_path: Path) -> None:
    synthetic = DATA | {"name": "another", "annotations_sha256": "1" * 64}
    record(tmp_path, "b", runs=[run_on(DATA)])
    record(tmp_path, "a", runs=[run_on(DATA), run_on(synthetic)])
    first, second = markdown(read(tmp_path)).split("\n\n")
    assert [line.split(" | ")[:3:2] for line in first.splitlines()[2:]] == [["| `a`", "another"]]
    assert [line.split(" | ")[:3:2] for line in second.splitlines()[2:]] == [["| `a`", "scenes"], ["| `b`", "scenes"]]
    assert first.splitlines()[:2] == second.splitlines()[:2]


def test_run_with_other_iterations_does_not_replace_a_run() -> None:
    whole = run_on(DATA)
    with pytest.raises(UserError, match="seed 0: is recorded with 80 iterations, but this run has 40"):
        replaced([whole], but(whole, iterations=40))
