"""Matching checkpoints to models, and the log of the result."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

import oil_storage.checkpoints.download  # noqa: F401 - replaces the loaders of mmengine
from oil_storage.checkpoints.model_weights import check_matches, match_weights
from oil_storage.errors import UserError


class Net(BaseModel):
    """A backbone with BN, a neck of two convolutions and a head of ``classes``."""

    def __init__(self, classes=1, necks=2):
        super().__init__()
        self.backbone = nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 4, 1), bn=nn.BatchNorm2d(4)))
        self.neck = nn.ModuleDict({"convs": nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in range(necks))})
        self.head = nn.ModuleDict({"cls": nn.Conv2d(4, classes, 1), "box": nn.Conv2d(4, 4, 1)})
        self.scale = nn.Parameter(torch.zeros(2))

    def forward(self, inputs, mode="tensor"):
        x = self.backbone(inputs)
        for conv in self.neck["convs"]:
            x = conv(x)
        loss = (self.head["cls"](x) ** 2).mean() + (self.head["box"](x) ** 2).mean() + (self.scale**2).sum()
        return {"loss": loss} if mode == "loss" else [0]


def checkpoint_of(net, seed=7):
    generator = torch.Generator().manual_seed(seed)
    return OrderedDict(
        (k, torch.rand(v.shape, generator=generator) if v.is_floating_point() else v.clone())
        for k, v in net.state_dict().items()
    )


def names(keys):
    return {key.rpartition(".")[0] for key in keys}


def test_checkpoint_of_the_same_model_is_loaded_completely():
    net = Net()
    state = checkpoint_of(net)
    fitting, report = match_weights(state, net)
    assert fitting.keys() == net.state_dict().keys()
    assert (report.renamed, report.reinitialised, report.unused) == ([], [], [])


def test_report_lists_every_key_once():
    state = checkpoint_of(Net(classes=80, necks=3))
    net = Net()
    fitting, report = match_weights(state, net)
    counters = {k for k in net.state_dict() if k.endswith("num_batches_tracked")}
    assert not set(report.loaded) & set(report.reinitialised)
    assert set(report.loaded) | set(report.reinitialised) | counters == net.state_dict().keys()
    assert set(report.loaded) | set(report.unused) == state.keys()
    assert all(torch.equal(fitting[k], state[k]) for k in report.loaded)


def test_module_with_one_mismatch_is_not_loaded():
    state = checkpoint_of(Net())
    state["neck.convs.1.weight"] = torch.rand(4, 8, 1, 1)  # its bias still has the right shape
    _, report = match_weights(state, Net())
    assert set(report.reinitialised) == set(report.unused) == {"neck.convs.1.weight", "neck.convs.1.bias"}


def test_mismatch_of_a_root_parameter_affects_only_itself():
    state = checkpoint_of(Net())
    state["scale"] = torch.rand(3)
    _, report = match_weights(state, Net())
    assert report.reinitialised == ["scale"]


def test_missing_batch_norm_counters_are_not_reported():
    state = checkpoint_of(Net())
    del state["backbone.bn.num_batches_tracked"]
    _, report = match_weights(state, Net())
    assert report.reinitialised == []


def test_first_matching_rename_is_applied():
    state = checkpoint_of(Net(necks=2))
    renames = [(r"^neck\.convs\.0\.", "neck.convs.1."), (r"^neck\.convs\.1\.", "neck.convs.2.")]
    fitting, report = match_weights(state, Net(necks=3), renames)
    for old, new in ((0, 1), (1, 2)):
        assert torch.equal(fitting[f"neck.convs.{new}.weight"], state[f"neck.convs.{old}.weight"])
    assert names(report.renamed) == {"neck.convs.1", "neck.convs.2"}
    assert names(report.reinitialised) == {"neck.convs.0"}
    assert "re-initialised: neck.convs.0\n" in str(report)


def test_renames_to_the_same_name_are_refused():
    with pytest.raises(UserError, match=r"get the name neck\.convs\.1\.weight"):
        match_weights(checkpoint_of(Net()), Net(), [(r"convs\.0", "convs.1")])


def test_report_names_the_outermost_modules():
    _, report = match_weights(checkpoint_of(Net(classes=80, necks=3)), Net())
    text = str(report)
    assert "2 re-initialised: head.cls\n" in text
    assert "4 unused in the checkpoint: neck.convs.2, head.cls" in text
    assert "0 of them renamed" in text


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.body.", "teacher.encoder.net."])
def test_backbone_of_another_program_is_found(prefix):
    state = {f"{prefix}{k.removeprefix('backbone.')}": v for k, v in checkpoint_of(Net()).items() if "backbone" in k}
    state |= {"fc.weight": torch.rand(10, 4), "fc.bias": torch.rand(10)}
    fitting, report = match_weights(state, Net())
    assert {key for key in Net().state_dict() if key.startswith("backbone.")} == fitting.keys() == set(report.renamed)
    assert torch.equal(fitting["backbone.conv.weight"], state[f"{prefix}conv.weight"])
    assert "renamed to: backbone\n" in str(report)
    assert sorted(report.unused) == ["fc.bias", "fc.weight"]


def test_names_that_fit_are_kept():
    state = checkpoint_of(Net(classes=80))
    _, report = match_weights(state, Net())
    assert report.renamed == []


@pytest.mark.parametrize("fault", ["missing", "unexpected", "with another shape"])
def test_check_matches_refuses_each_fault(fault):
    net, state = Net(), checkpoint_of(Net())
    check_matches(net, state, "best.pth")
    if fault == "missing":
        del state["head.cls.bias"]
    elif fault == "unexpected":
        state["head.centre.bias"] = torch.zeros(1)
    else:
        state["head.cls.bias"] = torch.zeros(80)
    with pytest.raises(UserError, match=rf"best\.pth: belongs to another model: 1 {fault} \(head\b"):
        check_matches(net, state, "best.pth")


def runner(net, folder, **kwargs):
    """Return a Runner for two constant images. The experiment is named after ``folder``."""
    loader = {
        "batch_size": 2,
        "sampler": {"type": "DefaultSampler", "shuffle": False},
        "collate_fn": {"type": "default_collate"},
        "dataset": [{"inputs": torch.ones(1, 4, 4)} for _ in range(2)],
    }
    hooks = {
        "checkpoint": {"type": "CheckpointHook", "by_epoch": False, "interval": 1},
        "pretrained": {"type": "PretrainedReportHook"} | kwargs.pop("hook", {}),
    }
    return Runner(
        model=net,
        work_dir=str(folder),
        train_dataloader=loader,
        train_cfg={"by_epoch": False, "max_iters": 1},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.0}},
        test_dataloader=loader,
        test_cfg={},
        test_evaluator=[],
        experiment_name=folder.name,
        default_scope="mmengine",
        default_hooks=hooks,
        **kwargs,
    )


@pytest.mark.parametrize("ema", [False, True])
def test_training_loads_fitting_weights_and_logs_them(tmp_path, capsys, ema):
    state = checkpoint_of(Net(classes=80))
    path = tmp_path / "coco.pth"
    torch.save({"state_dict": state, "meta": {}}, path)
    run = runner(Net(), tmp_path / f"fit_{ema}", load_from=str(path), custom_hooks=[{"type": "EMAHook"}] if ema else [])
    run.train()
    after = run.model.state_dict()
    for key, value in state.items():
        if not key.startswith(("head.cls", "backbone.bn.")):
            torch.testing.assert_close(after[key], value, msg=key)
    assert after["head.cls.weight"].shape == (1, 4, 1, 1)
    output = capsys.readouterr().out
    assert "2 re-initialised: head.cls" in output
    assert "do not match" not in output, "mmengine and EMAHook get the fitting weights"
    if ema:
        averaged = next(hook for hook in run.hooks if isinstance(hook, EMAHook)).ema_model.module.state_dict()
        for key in ("backbone.conv.weight", "head.cls.weight"):
            torch.testing.assert_close(averaged[key], after[key])


def test_renames_in_the_config_are_applied(tmp_path):
    state = checkpoint_of(Net(necks=1))
    path = tmp_path / "coco.pth"
    torch.save({"state_dict": state, "meta": {}}, path)
    hook = {"renames": [[r"^neck\.convs\.0\.", "neck.convs.1."]]}
    run = runner(Net(), tmp_path / "renamed", load_from=str(path), hook=hook)
    run.train()
    torch.testing.assert_close(run.model.neck["convs"][1].weight.detach(), state["neck.convs.0.weight"])


@pytest.mark.parametrize("ema", [False, True])
def test_resumption_loads_all_weights_and_refuses_another_model(tmp_path, capsys, ema):
    hooks = [{"type": "EMAHook"}] if ema else []
    renames = {"renames": [["head", "neck"]]}  # would break the checkpoint if it were applied
    first = runner(Net(), tmp_path / f"first_{ema}", custom_hooks=hooks)
    first.train()
    path = tmp_path / f"first_{ema}" / "iter_1.pth"
    second = runner(
        Net(), tmp_path / f"second_{ema}", load_from=str(path), resume=True, custom_hooks=hooks, hook=renames
    )
    capsys.readouterr()
    second.train()
    for key, value in first.model.state_dict().items():
        torch.testing.assert_close(second.model.state_dict()[key], value, msg=key)
    assert "re-initialised" not in capsys.readouterr().out
    other = runner(Net(classes=3), tmp_path / f"other_{ema}", load_from=str(path), resume=True, custom_hooks=hooks)
    with pytest.raises(UserError, match=r"iter_1\.pth: belongs to another model: 2 with another shape \(head"):
        other.train()


def test_testing_refuses_another_model_and_ignores_renames(tmp_path):
    path = tmp_path / "own.pth"
    torch.save({"state_dict": checkpoint_of(Net()), "meta": {}}, path)
    runner(Net(), tmp_path / "own", load_from=str(path), hook={"renames": [["head", "neck"]]}).test()
    with pytest.raises(UserError, match=r"2 missing \(neck\.convs\.2\)"):
        runner(Net(necks=3), tmp_path / "more", load_from=str(path)).test()


def test_file_without_state_dict_is_refused(tmp_path):
    path = tmp_path / "bare.pth"
    torch.save({"weight": 1}, path)
    with pytest.raises(UserError, match=r"bare\.pth: not a checkpoint: it has no state_dict"):
        runner(Net(), tmp_path / "bare", load_from=str(path)).train()


def test_checkpoint_without_fitting_weights_is_refused(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"state_dict": {"encoder.weight": torch.zeros(1)}, "meta": {}}, path)
    with pytest.raises(UserError, match=r"other\.pth: belongs to another model"):
        runner(Net(), tmp_path / "other", load_from=str(path)).train()


def test_old_format_with_numpy_objects_is_loaded(tmp_path):
    path = tmp_path / "old.pth"
    meta = {"mmdet_version": "2.0.0", "seed": np.int64(3), "dataset_meta": {"classes": ("tank",)}}
    torch.save({"state_dict": checkpoint_of(Net()), "meta": meta}, path, _use_new_zipfile_serialization=False)
    run = runner(Net(), tmp_path / "old", load_from=str(path))
    run.train()
    torch.testing.assert_close(run.model.scale.detach(), checkpoint_of(Net())["scale"])


class Queries(nn.Module):
    """DETR's learnt queries, and an embedding of classes."""

    def __init__(self, queries, classes=1):
        super().__init__()
        self.query_embedding = nn.Embedding(queries, 16)
        self.label_embedding = nn.Embedding(classes, 16)


def test_additional_queries_are_noisy_copies():
    state = checkpoint_of(Queries(100, classes=80))
    fitting, report = match_weights(state, Queries(250))
    old, new = state["query_embedding.weight"], fitting["query_embedding.weight"]
    assert torch.equal(new[:100], old)
    assert len(new.unique(dim=0)) == 250
    assert (new[100:200] - old).abs().mean() < 0.2 * old.std()
    assert report.tiled == report.loaded == ["query_embedding.weight"]
    assert report.reinitialised == ["label_embedding.weight"]  # the classes differ from COCO
    assert "repeated with noise: query_embedding.weight" in str(report)


def test_queries_are_truncated_if_the_model_has_fewer():
    state = checkpoint_of(Queries(100))
    assert torch.equal(
        match_weights(state, Queries(30))[0]["query_embedding.weight"], state["query_embedding.weight"][:30]
    )
