import subprocess
import sys
from itertools import islice
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from oil_storage.cli.browse_dataset import main
from oil_storage.drawing import LINE, TRUTH
from oil_storage.engine.samples import read_samples
from oil_storage.reporting.tile_pictures import Sample, contact_sheet, draw, stored_samples
from tests.tiny_training import WITH_WORKERS, write_config, write_data

TOOL = Path(__file__).parents[2] / "tools" / "browse_dataset.py"
GREEN = TRUTH[::-1]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def config(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("config"), data)


def read(config: Path, split: str, number: int, seed: int = 0) -> list[Sample]:
    return list(islice(read_samples(Config.fromfile(config), split, seed), number))


def misfits(samples: list[Sample]) -> np.ndarray:
    """Return the distance of each side of each box to its disc, ``(N, 4)`` in pixels; inf without a disc."""
    distances = []
    for sample in samples:
        grey = sample.image.astype(np.float32).mean(axis=2)
        bright = grey > (np.median(grey) + grey.max()) / 2
        for box in sample.boxes:
            left, top, right, bottom = (box.round() + np.array([-3, -3, 3, 3])).clip(0).astype(int)
            rows, columns = np.nonzero(bright[top:bottom, left:right])
            disc = np.full(4, np.inf)
            if len(rows):
                disc = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            distances.append(disc + np.array([left, top, left, top]) - box)
    return np.array(distances)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_browse_saves_tiles_and_an_overview(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str
) -> None:
    out = tmp_path / "new" / "pictures"
    assert main([str(config), "--split", split, "--number", "5", "--out", str(out)]) == 0
    samples = read(config, split, 5)
    assert f"5 tiles with {sum(len(sample.boxes) for sample in samples)} boxes" in capsys.readouterr().out
    names = [f"{number:03d}_{sample.tile}.png" for number, sample in enumerate(samples)]
    assert sorted(path.name for path in out.iterdir()) == [*names, "sheet.png"]
    for name, sample in zip(names, samples, strict=True):
        assert (cv2.imread(str(out / name)) == draw(sample)).all()
    sheet = cv2.imread(str(out / "sheet.png"))
    assert (sheet == contact_sheet(samples)).all()
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.slow
def test_browse_shows_the_tiles_that_training_workers_load(data: Path, tmp_path: Path) -> None:
    cfg = Config.fromfile(write_config(tmp_path, data, **WITH_WORKERS))
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=3)
    batches = islice(loader, 4)
    given = [pair for batch in batches for pair in zip(batch["inputs"], batch["data_samples"], strict=True)]
    drawn = list(islice(read_samples(cfg, "train", 3), 8))
    for (image, sample), ours in zip(given, drawn, strict=True):
        assert (ours.image == image.numpy().transpose(1, 2, 0).round().clip(0, 255)).all()
        assert (ours.boxes == sample.gt_instances.bboxes.tensor.numpy()).all()
        assert ours.tile == Path(sample.img_path).stem


def test_seed_determines_the_samples(config: Path) -> None:
    first, again, other = (read(config, "train", 6, seed) for seed in (0, 0, 1))
    assert all((one.image == two.image).all() for one, two in zip(first, again, strict=True))
    assert [sample.tile for sample in first] != [sample.tile for sample in other]


@pytest.mark.slow
def test_boxes_sit_on_discs_after_every_augmentation(config: Path) -> None:
    samples = read(config, "train", 60)
    distances = misfits(samples)
    assert len(distances) > 60
    assert np.abs(distances).max() <= 1
    assert np.abs(distances.mean(axis=0)).max() < 0.2, "a side is off by a pixel on average"
    transposed = [Sample(sample.tile, sample.image, sample.boxes[:, [1, 0, 3, 2]]) for sample in samples]
    assert np.abs(misfits(transposed)).max() > 1


@pytest.mark.slow
def test_boxes_of_a_test_pipeline_are_resized_with_the_image(data: Path, tmp_path: Path) -> None:
    for order in ([0, 1, 2, 3], [0, 2, 1, 3]):  # boxes are loaded before and after resizing
        path = write_config(tmp_path, data)
        cfg = Config.fromfile(path)
        steps = cfg.val_dataloader.dataset.pipeline
        steps[1] = {"type": "Resize", "scale": (128, 96), "keep_ratio": False}
        cfg.val_dataloader.dataset.pipeline = [steps[index] for index in order]
        samples = list(read_samples(cfg, "val", 0))
        assert len(samples) == 9
        assert all(sample.image.shape == (96, 128, 3) for sample in samples)
        distances = misfits(samples)
        assert len(distances) >= 5
        assert np.abs(distances).max() <= 2, "blurred edges may move by two pixels"


def test_browse_shows_a_small_split_once(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(config), "--split", "test", "--number", "500", "--out", str(tmp_path / "all")]) == 0
    assert "test split, seed 0: 9 tiles" in capsys.readouterr().out


def test_box_is_drawn_on_its_outermost_pixels() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    sample = Sample("scene_a_576_0", image, np.array([[10, 5, 30, 25], [50, 30, 60, 40]], np.float32))
    picture = draw(sample)
    assert picture.shape == (2 * LINE + 40, 60, 3)
    assert picture[: 2 * LINE].any(), "a title"
    green = (picture[2 * LINE :] == GREEN).all(axis=2)
    expected = np.zeros((40, 60), bool)
    expected[5:25, 10:30] = expected[30:40, 50:60] = True
    expected[6:24, 11:29] = expected[31:39, 51:59] = False
    assert (green == expected).all()
    assert not image.any()


def test_overview_shrinks_pictures_without_blurring_boxes() -> None:
    sample = Sample("scene_0_0", np.zeros((100, 200, 3), np.uint8), np.array([[20, 20, 80, 60]], np.float32))
    picture = draw(sample, 100)[2 * LINE :]
    assert picture.shape == (50, 100, 3)
    assert (picture[10, 10:40] == GREEN).all()
    assert (picture[10:30, 39] == GREEN).all()
    assert not picture[11:29, 11:39].any()


def test_browse_without_a_display_recommends_out(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(config)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: cannot open a window: no display or no GUI toolkit; save the pictures with --out DIR"
    ]


@pytest.mark.slow
def test_browse_with_a_display_shows_the_overview(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plt, "get_backend", lambda: "TkAgg")
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gca().get_images()[0].get_array()))
    assert main([str(config), "--number", "3"]) == 0
    plt.close("all")
    sheet = contact_sheet(read(config, "train", 3))
    assert len(shown) == 1
    assert (shown[0] == sheet[..., ::-1]).all()


def test_bad_input_is_reported_in_one_line_and_leaves_no_output(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    (tmp_path / "occupied").mkdir()
    (tmp_path / "occupied" / "mine.txt").write_text("mine")
    for argv, words in {
        ("absent.py", "--out", str(out)): "absent.py: no such config",
        (str(config), "--out", str(tmp_path / "occupied")): "occupied: is not empty",
        (str(config), "--out", str(out), "--cfg-options", "nonsense"): "must be KEY=VALUE",
        (
            str(config),
            "--out",
            str(out),
            "--cfg-options",
            "train_dataloader.dataset.data_root=nowhere",
        ): "nowhere: no prepared data",
    }.items():
        capsys.readouterr()
        assert main(argv) == 2
        error = capsys.readouterr().err
        assert words in error
        assert len(error.splitlines()) <= 3
    assert [path.name for path in tmp_path.iterdir()] == ["occupied"]


def test_truncated_image_is_named_and_leaves_no_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_data(tmp_path)
    config = write_config(tmp_path, data)
    broken = data / "tiles/64_16/train" / f"{read(config, 'train', 3)[2].tile}.jpg"
    broken.write_bytes(b"half")
    assert main([str(config), "--out", str(tmp_path / "out")]) == 2
    assert f"error: {broken}: damaged" in capsys.readouterr().err
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]


def test_help_imports_no_heavy_packages() -> None:
    # A module set to None in sys.modules cannot be imported.
    script = (
        "import runpy, sys; sys.path.insert(0, 'tools');"
        "sys.modules.update(cv2=None, matplotlib=None, mmengine=None, numpy=None, torch=None);"
        f"sys.argv = ['tool', '--help']; runpy.run_path({str(TOOL)!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--split" in done.stdout


def test_browse_shows_the_stored_tiles_of_a_prepared_folder(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(data), "--number", "7", "--seed", "3", "--out", str(tmp_path / "out")]) == 0
    assert "train split, seed 3: 7 tiles with" in capsys.readouterr().out
    samples = list(stored_samples(data, "train", 3))
    assert len(list((tmp_path / "out").iterdir())) == 8
    assert {sample.tile for sample in samples} == {path.stem for path in (data / "tiles/64_16/train").iterdir()}
    assert [sample.tile for sample in samples] != [sample.tile for sample in stored_samples(data, "train", 4)]
    distances = misfits(samples)
    assert len(distances) > 20
    assert np.abs(distances).max() <= 1


def test_browse_names_a_folder_without_prepared_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "no prepared data (manifest.json is missing); run tools/prepare_dataset.py" in capsys.readouterr().err
    assert main([str(tmp_path), "--cfg-options", "a=1"]) == 2
    assert "--cfg-options: needs a config" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
