"""Comparison of the port of TensorFlow's SSD ResNet-101 FPN with its pipeline.config."""

import copy
import math
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmdet.registry import MODELS, TRANSFORMS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope
from mmengine.structures import InstanceData
from torch import nn

from oil_storage.checkpoints.download import model_url
from oil_storage.checkpoints.model_weights import match_weights

LEAF = Path(__file__).parents[2] / "configs" / "oil" / "ssd_r101.py"
STRIDES = (8, 16, 32, 64, 128)
SIDE = 256  # side of a reduced image


@pytest.fixture(scope="module")
def cfg():
    config = Config.fromfile(LEAF)
    init_default_scope(config.default_scope)
    return config


@pytest.fixture(scope="module")
def model(cfg):
    torch.manual_seed(0)
    detector = MODELS.build(copy.deepcopy(cfg.model))
    detector.init_weights()
    return detector.train()


@pytest.fixture(scope="module")
def head(model):
    return model.bbox_head


def level_shapes(channels, batch=1, side=SIDE):
    return [(batch, channels, side // s, side // s) for s in STRIDES]


def meta(side=SIDE):
    return {"img_shape": (side, side), "pad_shape": (side, side), "ori_shape": (side, side), "scale_factor": (1.0, 1.0)}


def instances(boxes):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return InstanceData(bboxes=boxes, labels=torch.zeros(len(boxes), dtype=torch.long))


def all_anchors(head, side=SIDE):
    return torch.cat(head.prior_generator.grid_priors([(side // s, side // s) for s in STRIDES], device="cpu"))


# --- input -----------------------------------------------------------------------------------------------------------


def test_images_are_resized_to_1024_and_flipped_half_the_time(cfg, tmp_path):
    path = tmp_path / "tile.jpg"
    cv2.imwrite(str(path), np.full((1280, 1280, 3), 128, np.uint8))
    info = {
        "img_path": str(path),
        "img_id": 0,
        "height": 1280,
        "width": 1280,
        "instances": [{"bbox": [100.0, 200.0, 180.0, 260.0], "bbox_label": 0, "ignore_flag": 0}],
    }
    still = torch.tensor([[80.0, 160.0, 144.0, 208.0]])
    flipped = torch.tensor([[1024 - 144.0, 160.0, 1024 - 80.0, 208.0]])
    pipeline = Compose([TRANSFORMS.build(step) for step in cfg.train_dataloader.dataset.pipeline])
    seen = []
    np.random.seed(0)  # mmcv's transforms use this generator
    for _ in range(20):
        packed = pipeline(copy.deepcopy(info))
        assert packed["inputs"].shape == (3, 1024, 1024)
        boxes = packed["data_samples"].gt_instances.bboxes.tensor
        is_flipped = bool(torch.allclose(boxes, flipped))
        assert is_flipped or torch.allclose(boxes, still)
        seen.append(is_flipped)
    assert 4 <= sum(seen) <= 16
    assert [t.prob for t in pipeline.transforms if type(t).__name__ == "RandomFlip"] == [0.5]
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        packed = Compose([TRANSFORMS.build(step) for step in loader.dataset.pipeline])(copy.deepcopy(info))
        assert packed["inputs"].shape == (3, 1024, 1024)
        assert packed["data_samples"].scale_factor == (0.8, 0.8)
    assert (cfg.train_dataloader.dataset.tile, cfg.train_dataloader.dataset.overlap) == (1280, 0)


def test_pixels_are_normalised_for_the_backbone_of_the_checkpoint(model):
    bgr = torch.tensor([10, 20, 30], dtype=torch.uint8).reshape(3, 1, 1).expand(3, 32, 32)
    batch = model.data_preprocessor({"inputs": [bgr], "data_samples": [DetDataSample(metainfo=meta(32))]})
    wanted = (torch.tensor([30.0, 20.0, 10.0]) - torch.tensor([123.675, 116.28, 103.53])) / torch.tensor(
        [58.395, 57.12, 57.375]
    )
    torch.testing.assert_close(batch["inputs"][0, :, 0, 0], wanted)


# --- network ---------------------------------------------------------------------------------------------------------


def test_all_of_resnet_101_is_trained(model):
    assert [len(getattr(model.backbone, name)) for name in model.backbone.res_layers] == [3, 4, 23, 3]
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_batch_norms_have_the_decay_and_epsilon_of_tf(model):
    norms = {name: m for name, m in model.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}
    assert {name.split(".")[0] for name in norms} == {"backbone", "bbox_head"}
    assert {(m.momentum, m.eps, m.training, m.affine) for m in norms.values()} == {(0.003, 1e-3, True, True)}


def test_fpn_has_levels_3_to_7_and_the_input_of_p6_is_p5(model):
    neck = model.neck
    features = [torch.randn(1, c, 64 // 2**i, 64 // 2**i) for i, c in enumerate((256, 512, 1024, 2048))]
    outs = neck(features)
    assert [tuple(o.shape) for o in outs] == level_shapes(256)
    torch.testing.assert_close(outs[3], neck.fpn_convs[3](outs[2]))
    torch.testing.assert_close(outs[4], neck.fpn_convs[4](outs[3]))


@pytest.mark.parametrize("tower", ["cls_convs", "reg_convs"])
def test_predictor_shares_convolutions_but_not_norms_over_levels(head, tower):
    levels = getattr(head, tower)
    assert [len(level) for level in levels] == [4] * 5
    for depth in range(4):
        assert len({id(level[depth].conv) for level in levels}) == 1
        assert len({id(level[depth].bn) for level in levels}) == 5
    kernels = {id(level[depth].conv) for level in levels for depth in range(4)}
    assert len(kernels) == 4
    assert levels[0][0].conv.weight.shape == (256, 256, 3, 3)


def test_class_bias_equals_the_prior(head):
    torch.testing.assert_close(head.retina_cls.bias.detach(), torch.full((6,), -math.log(99)))
    assert head.retina_cls.bias.detach().mean().item() == pytest.approx(-4.6, abs=0.01)


# --- anchors, coder, matcher -----------------------------------------------------------------------------------------


def test_cell_has_six_anchors_at_its_centre(head):
    shapes = [(4, 5), (3, 2), (2, 2), (1, 2), (1, 1)]
    for stride, (rows, columns), anchors in zip(
        STRIDES, shapes, head.prior_generator.grid_priors(shapes, device="cpu"), strict=True
    ):
        cells = anchors.reshape(rows, columns, 6, 4)
        centres = (cells[..., :2] + cells[..., 2:]) / 2
        wanted = torch.stack(
            torch.meshgrid(torch.arange(columns) + 0.5, torch.arange(rows) + 0.5, indexing="xy"), dim=-1
        )
        torch.testing.assert_close(centres, (wanted * stride)[:, :, None].expand_as(centres))
        sizes = {tuple(s) for s in (cells[0, 0, :, 2:] - cells[0, 0, :, :2]).round(decimals=2).tolist()}
        areas = [4 * stride, 4 * stride * math.sqrt(2)]
        assert sizes == {
            tuple(torch.tensor([a * math.sqrt(r), a / math.sqrt(r)]).round(decimals=2).tolist())
            for a in areas
            for r in (1, 2, 0.5)
        }


def test_box_coder_has_the_scales_of_tf(head):
    anchor = torch.tensor([[0.0, 0.0, 32.0, 64.0]])
    box = torch.tensor([[6.0, 40.0, 22.0, 72.0]])
    wanted = torch.tensor([[10 * (14 - 16) / 32, 10 * (56 - 32) / 64, 5 * math.log(16 / 32), 5 * math.log(32 / 64)]])
    torch.testing.assert_close(head.bbox_coder.encode(anchor, box), wanted)
    torch.testing.assert_close(head.bbox_coder.decode(anchor, wanted), box)


def test_matcher_uses_iou_0_5_and_matches_each_box_to_its_best_anchor(head):
    anchors = all_anchors(head)
    rng = np.random.default_rng(0)
    centres = rng.uniform(40, SIDE - 40, (12, 2))
    sides = np.concatenate([rng.uniform(5, 14, (6, 2)), rng.uniform(24, 60, (6, 2))])
    boxes = instances(np.concatenate([centres - sides / 2, centres + sides / 2], 1).tolist())
    assigned = head.assigner.assign(InstanceData(priors=anchors), boxes).gt_inds
    ious = bbox_overlaps(anchors, boxes.bboxes)
    best, owner = ious.max(1)
    matched = best >= 0.5
    assert matched.any()
    assert (assigned >= 0).all(), "no anchor is left out of the loss"
    forced = (assigned > 0) & ~matched
    assert forced.sum() >= 6
    assert set(assigned[assigned > 0].tolist()) == set(range(1, 13)), "each box has an anchor"
    for anchor in forced.nonzero().flatten():
        assert ious[anchor, assigned[anchor] - 1] == ious[:, assigned[anchor] - 1].max()
    assert assigned[forced].unique().numel() == forced.sum(), "one forced anchor a box"
    free = matched & (assigned - 1 == owner)
    assert (matched & ~free).sum() <= 12, "but for forced anchors, the best box wins"


# --- losses ----------------------------------------------------------------------------------------------------------


def test_losses_equal_tf_in_a_known_case(head):
    torch.manual_seed(1)
    scores = [torch.randn(shape) for shape in level_shapes(6, batch=2)]
    deltas = [2 * torch.randn(shape) for shape in level_shapes(24, batch=2)]
    truth = [instances([[20, 20, 52, 52], [100, 90, 190, 160], [200, 30, 212, 41]]), instances([[60, 60, 120, 140]])]
    losses = head.loss_by_feat(scores, deltas, truth, [meta(), meta()])

    def flat(maps, width):
        return torch.cat([m.permute(0, 2, 3, 1).reshape(2, -1, width) for m in maps], 1).double()

    logits, offsets, anchors = flat(scores, 1)[..., 0], flat(deltas, 4), all_anchors(head)
    focal, huber, matches = 0.0, 0.0, 0
    for image, boxes in enumerate(truth):
        owner = head.assigner.assign(InstanceData(priors=anchors), boxes).gt_inds
        positive = owner > 0
        p = logits[image].sigmoid()
        focal += (-0.25 * (1 - p[positive]) ** 2 * p[positive].log()).sum()
        focal += (-0.75 * p[~positive] ** 2 * (1 - p[~positive]).log()).sum()
        a, b = anchors[positive].double(), boxes.bboxes[owner[positive] - 1].double()
        size_a, size_b = a[:, 2:] - a[:, :2], b[:, 2:] - b[:, :2]
        shift = ((b[:, 2:] + b[:, :2]) - (a[:, 2:] + a[:, :2])) / 2 / size_a
        target = torch.cat([10 * shift, 5 * (size_b / size_a).log()], 1)
        error = (offsets[image][positive] - target).abs()
        huber += torch.where(error < 1, error**2 / 2, error - 0.5).sum()
        matches += int(positive.sum())
    assert matches > 4
    assert sum(losses["loss_cls"]).item() == pytest.approx(focal.item() / matches, rel=1e-4)
    assert sum(losses["loss_bbox"]).item() == pytest.approx(huber.item() / matches / 4, rel=1e-4)


# --- schedule --------------------------------------------------------------------------------------------------------


def test_weight_decay_affects_only_kernels_and_parameters_are_updated_once(cfg, model):
    optimizer = build_optim_wrapper(model, copy.deepcopy(cfg.optim_wrapper)).optimizer
    assert type(optimizer) is torch.optim.SGD
    decays = {}
    for group in optimizer.param_groups:
        assert (group["lr"], group["momentum"], group["nesterov"]) == (0.0025, 0.9, False)
        for parameter in group["params"]:
            assert id(parameter) not in decays
            decays[id(parameter)] = group["weight_decay"]
    named = dict(model.named_parameters())
    assert decays.keys() == {id(p) for p in named.values()}
    for name, parameter in named.items():
        assert decays[id(parameter)] == (4e-4 if parameter.ndim == 4 else 0.0), name


def test_learning_rate_equals_the_cosine_decay_of_tf(cfg):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=cfg.optim_wrapper.optimizer.lr)
    schedulers = [
        PARAM_SCHEDULERS.build(item, default_args={"optimizer": optimizer})
        for item in copy.deepcopy(cfg.param_scheduler)
    ]
    rates = []
    for _ in range(15_001):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    assert rates[0] == pytest.approx(0.00083333, rel=1e-5)
    assert rates[1_500] == pytest.approx(0.0025)
    assert rates[15_000] == pytest.approx(0.0, abs=1e-9)
    for step in range(0, 15_001, 250):
        if step < 1_500:
            wanted = 0.00083333 + (0.0025 - 0.00083333) * step / 1_500
        else:
            wanted = 0.0025 / 2 * (1 + math.cos(math.pi * (step - 1_500) / 13_500))
        assert rates[step] == pytest.approx(wanted, rel=1e-3, abs=1e-9), step
    assert all(a <= b for a, b in pairwise(rates[:1_500]))
    assert all(a >= b for a, b in pairwise(rates[1_500:]))


def test_train_loop_and_batch_size_match_the_recipe_and_ema_is_off(cfg):
    assert (cfg.train_cfg.type, cfg.train_cfg.max_iters) == ("IterBasedTrainLoop", 15_000)
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == 4
    hooks = [*cfg.default_hooks.values(), *cfg.get("custom_hooks", [])]
    assert hooks
    assert "EMAHook" not in [hook["type"] for hook in hooks]


# --- detections ------------------------------------------------------------------------------------------------------


def test_detections_are_limited_as_in_the_recipe(head):
    deltas = [torch.zeros(shape) for shape in level_shapes(24)]
    torch.manual_seed(0)
    scores = [torch.randn(shape) for shape in level_shapes(6)]
    detections = head.predict_by_feat(scores, deltas, batch_img_metas=[meta()])[0]
    assert len(detections) == 100
    overlaps = bbox_overlaps(detections.bboxes, detections.bboxes).fill_diagonal_(0)
    assert 0.5 < overlaps.max() <= 0.6
    # NMS processes all anchors, so the best detection of a low-scoring level is returned
    quiet = [torch.full(shape, -30.0) for shape in level_shapes(6)]
    quiet[0][0, 0, [4, 12, 20], [4, 12, 20]] = torch.tensor([-17.0, -18.0, -18.2])
    quiet[0][0, 0, 28, 28] = -18.5  # sigmoid: 0.9e-8
    detections = head.predict_by_feat(quiet, deltas, batch_img_metas=[meta()])[0]
    # nms_pre=-1 drops the last candidate of each level; see the docstring of the config
    torch.testing.assert_close(detections.scores, torch.sigmoid(torch.tensor([-17.0, -18.0])))


# --- as a whole ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_smaller_model_trains_one_step_and_predicts_boxes_inside_the_image(cfg):
    small = copy.deepcopy(cfg.model)
    small.backbone.depth = 50
    torch.manual_seed(0)
    detector = MODELS.build(small)
    detector.init_weights()
    detector.train()
    optim_wrapper = build_optim_wrapper(detector, copy.deepcopy(cfg.optim_wrapper))
    rng = np.random.default_rng(0)
    images = [torch.from_numpy(rng.integers(0, 256, (3, SIDE, SIDE), dtype=np.uint8)) for _ in range(2)]
    samples = [DetDataSample(metainfo=meta(), gt_instances=instances(b)) for b in ([[30, 30, 62, 60]], [])]
    batch = {"inputs": images, "data_samples": samples}
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    losses = detector.train_step(copy.deepcopy(batch), optim_wrapper)
    assert {"loss_cls", "loss_bbox"} <= losses.keys()
    assert all(torch.isfinite(value).all() for value in losses.values())
    after = detector.state_dict()
    for name in ("backbone.conv1.weight", "backbone.bn1.running_mean", "neck.fpn_convs.3.conv.weight"):
        assert not torch.equal(before[name], after[name]), name
    detector.eval()
    with torch.no_grad():
        predictions = detector.val_step(copy.deepcopy(batch))
    assert len(predictions) == 2
    for prediction in predictions:
        boxes = prediction.pred_instances.bboxes
        assert boxes.shape == (100, 4)
        assert boxes.min() >= 0
        assert boxes.max() <= SIDE


def test_coco_checkpoint_fits_backbone_and_fpn(cfg, model):
    name = cfg.load_from.removeprefix("mmdet://")
    assert model_url(name).endswith(".pth")
    upstream = get_config(f"mmdet::retinanet/{name}.py").model
    upstream.backbone.init_cfg = None
    checkpoint = MODELS.build(upstream).state_dict()
    fitting, report = match_weights(checkpoint, model)
    own = model.state_dict()
    body = {key for key in own if not key.startswith(("bbox_head.", "neck.fpn_convs.3."))}
    assert fitting.keys() == set(report.loaded) == body
    assert report.renamed == []
    counters = {key for key in own if key.endswith("num_batches_tracked")}
    assert set(report.reinitialised) == own.keys() - body - counters
    assert "re-initialised: neck.fpn_convs.3, bbox_head\n" in str(report)
    assert "unused in the checkpoint: neck.fpn_convs.3, bbox_head" in str(report)


def test_no_weights_are_from_torchvision(cfg):
    assert "torchvision" not in cfg.pretty_text
    assert cfg.model.backbone.init_cfg is None
