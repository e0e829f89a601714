"""Check that schedules keep their shape when their length changes."""

import pytest
from mmengine.config import Config

from oil_storage.schedule import keep_epochs, stretch, stretch_epochs


def config(enable: bool = True) -> Config:
    return Config(
        {
            "train_dataloader": {"batch_size": 8},
            "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": 1001, "val_interval": 500},
            "param_scheduler": [
                {"type": "LinearLR", "by_epoch": False, "begin": 0, "end": 60},
                {"type": "MultiStepLR", "by_epoch": False, "begin": 60, "end": 1001, "milestones": [600, 900]},
                {"type": "ConstantLR", "by_epoch": True, "begin": 0, "end": 3},
            ],
            "auto_scale_lr": {"enable": enable, "base_batch_size": 8},
        }
    )


def test_more_processes_need_fewer_iterations() -> None:
    cfg = config()
    message = keep_epochs(cfg, 4)
    assert (cfg.train_cfg.max_iters, cfg.train_cfg.val_interval) == (250, 125)
    assert [scheduler.end for scheduler in cfg.param_scheduler] == [15, 250, 3]
    assert cfg.param_scheduler[1].milestones == [150, 225]
    assert message == "4 processes, batch 32: learning rate x 4, 250 iterations"


@pytest.mark.parametrize(("processes", "enable"), [(1, True), (4, False)])
def test_the_schedule_does_not_change_with_one_process_or_without_scaling(processes: int, enable: bool) -> None:
    cfg = config(enable)
    assert keep_epochs(cfg, processes) is None
    assert cfg.to_dict() == config(enable).to_dict()


def test_more_processes_do_not_change_the_number_of_epochs() -> None:
    cfg = config()
    cfg.train_cfg = {"type": "EpochBasedTrainLoop", "max_epochs": 60, "val_interval": 10}
    assert keep_epochs(cfg, 2) == "2 processes, batch 16: learning rate x 2"
    assert cfg.train_cfg == {"type": "EpochBasedTrainLoop", "max_epochs": 60, "val_interval": 10}


def test_a_very_short_schedule_keeps_all_phases() -> None:
    cfg = config()
    stretch(cfg, 2 / 1001)
    assert (cfg.train_cfg.max_iters, cfg.train_cfg.val_interval) == (2, 1)
    assert [(scheduler.begin, scheduler.end) for scheduler in cfg.param_scheduler[:2]] == [(0, 1), (1, 2)]


def test_stretch_epochs_scales_warm_up_and_hooks() -> None:
    cfg = Config.fromfile("configs/oil/yolox_s.py", import_custom_modules=False)
    stretch_epochs(cfg, 1 / 6)
    assert (cfg.train_cfg.max_epochs, cfg.train_cfg.val_interval) == (10, 2)
    assert [(scheduler.begin, scheduler.end) for scheduler in cfg.param_scheduler] == [(0, 1), (1, 8), (8, 10)]
    assert cfg.custom_hooks[0].num_last_epochs == 2
    cfg = Config.fromfile("configs/oil/rtmdet_m.py", import_custom_modules=False)
    stretch_epochs(cfg, 0.5)
    assert [(scheduler.begin, scheduler.end) for scheduler in cfg.param_scheduler] == [(0, 150), (15, 30)]
    assert cfg.custom_hooks[0].num_last_epochs == 5
