import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from oil_storage import config
from oil_storage.config import TOP_LEVEL, dataset_of, load
from oil_storage.errors import UserError

CONFIG: dict[str, Any] = {
    "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": 8},
    "model": {
        "type": "RetinaNet",
        "backbone": {"type": "ResNet", "depth": 18, "norm_eval": False, "init_cfg": None},
        "neck": {"type": "FPN", "in_channels": [64, 128]},
        "test_cfg": {"score_thr": 0.1, "nms": {"type": "nms", "iou_threshold": 0.6}},
    },
    "train_dataloader": {"batch_size": 2},
    "optim_wrapper": {"type": "OptimWrapper", "optimizer": {"type": "SGD", "lr": 0.1}},
    "param_scheduler": [{"type": "LinearLR", "end": 3}],
    "default_hooks": {"logger": {"type": "LoggerHook"}},
}


def parse(*options: str) -> dict[str, Any]:
    return config.parse_options(options, Config(CONFIG))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("optim_wrapper.optimizer.lr=1e-3", 1e-3),
        ("param_scheduler.0.end=7", 7),
        ("model.neck.in_channels=[8,16]", [8, 16]),
        ("model.neck=None", None),
        ("model.backbone.norm_eval=True", True),
        ("work_dir=out", "out"),
        ("compile.backend=inductor", "inductor"),
        ("randomness.deterministic=True", True),
        ("+optim_wrapper.accumulative_counts=2", 2),  # a new key
        ("+model.test_cfg.min_bbox_size=4", 4),
        ("+default_hooks.profiler.type=ProfilerHook", "ProfilerHook"),
    ],
)
def test_a_valid_option_overrides_the_config(option: str, value: Any) -> None:
    key = option.removeprefix("+").partition("=")[0]
    assert parse(option) == {key: value}
    config = Config(CONFIG)
    config.merge_from_dict(parse(option))
    node: Any = config
    for part in key.split("."):
        node = node[int(part)] if isinstance(node, list) else node[part]
    assert node == value


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("optim_wraper.optimizer.lr=1", "unknown key 'optim_wraper'; did you mean 'optim_wrapper'?"),
        ("model.test_cfg.score_th=0.5", "unknown key 'score_th' in model.test_cfg; did you mean 'score_thr'?"),
        ("default_hooks.loger.interval=1", "unknown key 'loger' in default_hooks; did you mean 'logger'?"),
        ("train_cfg.maxiters=3", "unknown key 'maxiters' in train_cfg; did you mean 'max_iters'?"),
        ("model.test_cfg.foo=1", "unknown key 'foo' in model.test_cfg; +KEY=VALUE adds a key"),
        ("launcher=slurm", "unknown key 'launcher'"),
        ("data_root=elsewhere", "unknown key 'data_root'"),
        ("model=3", "would replace a whole dict"),
        ("train_dataloader.batch_size=abc", "must be a number, like 2"),
        ("train_dataloader.batch_size=[1,2]", "must be a number, like 2"),
        ("train_dataloader.batch_size=nan", "must be a number, like 2"),
        ("model.backbone.norm_eval=perhaps", "must be True or False"),
        ("param_scheduler.1.end=3", "unknown key '1' in param_scheduler"),
        ("model.backbone.depth.x=3", "unknown key 'x' in model.backbone.depth"),
        ("model.neck.in_channels=[1,2", "unbalanced brackets"),
        ("model..x=1", "must be KEY=VALUE"),
        ("max_iters", "must be KEY=VALUE"),
    ],
)
def test_an_option_with_an_unknown_key_or_a_wrong_type_is_refused(option: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(option)
    assert str(caught.value).startswith(f"--cfg-options {option}: {words}")


def test_contradictory_options_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    Config({**CONFIG, "test_dataloader": {}}).dump(path)
    with pytest.raises(UserError, match="contradict each other"):
        load(path, ["model.neck=None", "model.neck.in_channels=[1]"])


def test_an_option_cannot_remove_a_required_key(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    Config({**CONFIG, "test_dataloader": {}}).dump(path)
    assert load(path).model.type == "RetinaNet"
    with pytest.raises(UserError, match=r"a\.py: no 'model'; use a config"):
        load(path, ["model=None"])


def test_a_misspelt_top_level_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    Config({**CONFIG, "test_dataloader": {}, "train_pipeline": [], "modle": {"neck": None}}).dump(path)
    with pytest.raises(UserError, match=r"a\.py: unknown key 'modle' in .* bases; did you mean 'model'\?"):
        load(path)


def test_a_missing_base_config_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("_base_ = ['absent.py']\n")
    with pytest.raises(UserError, match=r"a\.py: .* cannot be read \(FileNotFoundError: .*absent\.py"):
        load(tmp_path / "a.py")


def test_top_level_keys_include_all_runner_arguments() -> None:
    arguments = set(inspect.signature(Runner.__init__).parameters) - {"self", "cfg", "launcher"}
    assert arguments <= TOP_LEVEL


def test_a_shorter_schedule_keeps_its_shape() -> None:
    path = Path("configs/oil/ssd_r101.py")
    cfg = load(path, ["train_cfg.max_iters=60"])
    assert (cfg.train_cfg.max_iters, cfg.train_cfg.val_interval) == (60, 4)
    assert [(scheduler.begin, scheduler.end) for scheduler in cfg.param_scheduler] == [(0, 6), (6, 60)]
    epochs = load(Path("configs/oil/rtmdet_m.py"), ["train_cfg.max_epochs=12"])
    assert (epochs.train_cfg.max_epochs, epochs.train_cfg.val_interval) == (12, 2)
    assert epochs.custom_hooks[0].num_last_epochs == 2
    assert (epochs.param_scheduler[1].begin, epochs.param_scheduler[1].end) == (6, 12)
    explicit = load(path, ["train_cfg.max_iters=3000", "param_scheduler.1.end=3000"])
    assert [(scheduler.begin, scheduler.end) for scheduler in explicit.param_scheduler] == [(0, 1500), (1500, 3000)]


WITHOUT_TORCH = """
import sys
sys.modules.update(dict.fromkeys(("torch", "mmcv", "mmdet", "cv2", "rasterio"), None))
from importlib import import_module
sys.exit(import_module(f"oil_storage.cli.{sys.argv[1]}").main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train configs/oil/none.py", "configs/oil/none.py: no such config"),
        ("train configs/oil/ssd_lite0.py --load-from none.pth", "none.pth: no such checkpoint"),
        ("train configs/oil/ssd_lite0.py --resume none.pth", "none.pth: no such checkpoint"),
        ("crossval configs/oil/none.py --folds 3", "configs/oil/none.py: no such config"),
        ("test configs/oil/none.py none.pth", "configs/oil/none.py: no such config"),
        ("test configs/oil/ssd_lite0.py none.pth", "none.pth: no such checkpoint"),
        ("export configs/oil/ssd_lite0.py none.pth", "none.pth: no such checkpoint"),
        ("overfit configs/oil/none.py", "configs/oil/none.py: no such config"),
        ("browse_dataset configs/oil/none.py --out none", "configs/oil/none.py: no such config"),
        ("detect configs/oil/none.py none.pth none.jpg --out none", "configs/oil/none.py: no such config"),
        ("detect configs/oil/ssd_lite0.py none.pth none.jpg --out none", "none.pth: no such checkpoint"),
    ],
)
def test_a_missing_file_is_reported_before_torch_is_imported(command: str, message: str) -> None:
    script = [sys.executable, "-c", WITHOUT_TORCH, *command.split()]
    run = subprocess.run(script, capture_output=True, text=True, check=False)
    assert run.returncode == 2, run.stderr
    assert message in run.stderr


def test_dataset_of_unwraps_mosaic_data_sets() -> None:
    cfg = load(Path("configs/oil/yolox_s.py"))
    assert cfg.train_dataloader.dataset.type == "MultiImageMixDataset"
    datasets = [dataset_of(cfg, f"{name}_dataloader") for name in ("train", "val")]
    assert [dataset.type for dataset in datasets] == ["OilStorageDataset"] * 2
    datasets[0].data_root = "elsewhere"
    assert cfg.train_dataloader.dataset.dataset.data_root == "elsewhere"
