"""The segmentation configs, and the network of Table VI."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

import hrvmamba  # noqa: F401  (registers the backbone and lets MMSegmentation import)
from hrvmamba.analysis import cost
from hrvmamba.integrations.model_configs import build_model

CONFIGS = Path(__file__).parents[2] / "configs/ade20k"
NAME = "hrvmamba_base_upernet_160k_512x512"


def load(name: str = NAME) -> Config:
    return Config.fromfile(CONFIGS / f"{name}.py")


def run_pipeline(pipeline: list[dict], folder: Path, split: str) -> dict:
    """Put an image of a data set through a pipeline."""
    from mmseg.registry import DATASETS

    with DATASETS.switch_scope_and_registry("mmseg") as datasets:
        prefix = dict(img_path=f"images/{split}", seg_map_path=f"annotations/{split}")
        options = dict(type="ADE20KDataset", data_root=str(folder), data_prefix=prefix)
        return datasets.build(dict(**options, pipeline=pipeline))[0]


@pytest.fixture(scope="module")
def segmentor():
    """The config's network, without data."""
    with torch.device("meta"):
        return build_model(load())


def test_parameters_are_the_papers(segmentor):
    """99 M, which are those of testing: without the auxiliary head."""
    count = {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in segmentor.named_children()
        if name != "data_preprocessor"
    }
    assert count == {
        "backbone": 47_972_416,
        "neck": 10_532_992,
        "decode_head": 40_131_734,
        "auxiliary_head": 1_218_710,
    }
    tested = sum(count.values()) - count["auxiliary_head"]
    assert tested == 98_637_142
    assert round(tested / 1e6) == 99


def test_cost_is_the_papers(segmentor, monkeypatch):
    """1184 G at 512x2048, among them bilinear upsampling at 4 for each element, as MMEngine has it.

    We count none for upsampling, in the backbones that the paper's other tables are of either.
    """
    upsampled, interpolate = [], F.interpolate

    def counting(*arguments, **options):
        upsampled.append(interpolate(*arguments, **options))
        return upsampled[-1]

    monkeypatch.setattr(F, "interpolate", counting)
    counted = cost(segmentor, (512, 2048))
    assert counted.macs / 1e9 == pytest.approx(1182.842, abs=5e-4)
    assert round((counted.macs + 4 * sum(x.numel() for x in upsampled)) / 1e9) == 1184


@pytest.mark.parametrize("name", [NAME, f"{NAME}_ms"])
def test_recipe(name):
    config = load(name)
    assert config.optim_wrapper.optimizer == {
        "type": "AdamW",
        "lr": 6e-5,
        "betas": (0.9, 0.999),
        "weight_decay": 5e-4,
    }
    assert config.train_cfg.max_iters == 160_000
    warm_up, poly = config.param_scheduler
    assert (warm_up.type, warm_up.begin, warm_up.end, warm_up.by_epoch) == ("LinearLR", 0, 1500, 0)
    assert (poly.type, poly.begin, poly.end, poly.by_epoch) == ("PolyLR", 1500, 160_000, 0)
    assert (poly.power, poly.eta_min) == (1.0, 0.0)
    assert config.train_dataloader.batch_size * 8 == config.auto_scale_lr.base_batch_size == 16
    assert [step["type"] for step in config.train_dataloader.dataset.pipeline] == [
        "LoadImageFromFile",
        "LoadAnnotations",
        "RandomResize",
        "RandomCrop",
        "RandomFlip",
        "PhotoMetricDistortion",
        "PackSegInputs",
    ]
    resize, crop = config.train_dataloader.dataset.pipeline[2:4]
    assert (resize.scale, resize.ratio_range) == ((2048, 512), (0.5, 2.0))
    assert crop.crop_size == config.model.data_preprocessor.size == (512, 512)
    backbone = config.model.backbone
    assert (backbone.arch, backbone.drop_path_rate, backbone.esinb_drop_path) == (
        "base",
        0.15,
        True,
    )
    assert config.model.decode_head.num_classes == config.model.auxiliary_head.num_classes == 150
    assert config.test_evaluator.type == "IoUMetric"
    assert config.test_evaluator.iou_metrics == ["mIoU"]
    assert config.default_hooks.checkpoint.save_best == "mIoU"
    assert config.custom_imports.imports == ["hrvmamba"]


def test_batch_norms_are_shared_by_several_processes():
    assert load().sync_bn == "torch"
    assert load().model.decode_head.norm_cfg == dict(type="BN")


def test_weight_decay():
    """None on norms, biases, A_log, Dskip and dt_bias; 5e-4 on every other parameter."""
    config = load()
    config.merge_from_dict(
        {"model.backbone.arch": "nano", "model.neck.in_channels": (8, 16, 32, 64)}
    )
    with torch.device("meta"):
        model = build_model(config)
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    decay = {
        id(value): group["weight_decay"]
        for group in wrapper.optimizer.param_groups
        for value in group["params"]
    }
    norms = {
        id(value)
        for module in model.modules()
        if isinstance(module, (torch.nn.BatchNorm2d, torch.nn.LayerNorm))
        for value in module.parameters()
    }
    assert {id(value) for value in model.neck.norms.parameters()} < norms
    for name, value in model.named_parameters():
        last = name.split(".")[-1]
        free = id(value) in norms or last in ("bias", "A_log", "Dskip", "dt_bias")
        assert decay[id(value)] == (0.0 if free else 5e-4), name


def test_training_crops(ade20k):
    """Of 512x512, padded where the scaled image is smaller; the padding is ignored."""
    from mmseg.models import SegDataPreProcessor

    packed = run_pipeline(load().train_dataloader.dataset.pipeline, ade20k, "training")
    batch = {"inputs": [packed["inputs"]], "data_samples": [packed["data_samples"]]}
    options = {k: v for k, v in load().model.data_preprocessor.items() if k != "type"}
    batch = SegDataPreProcessor(**options)(batch, training=True)
    assert batch["inputs"].shape == (1, 3, 512, 512)
    labels = batch["data_samples"][0].gt_sem_seg.data
    assert labels.shape == (1, 512, 512)
    assert {255} < set(labels.unique().tolist()) <= {0, 2, 149, 255}


def test_testing_at_one_scale(ade20k):
    """The shorter side is 512 pixels, and the truth stays as large as the image."""
    packed = run_pipeline(load().test_dataloader.dataset.pipeline, ade20k, "validation")
    assert packed["inputs"].shape == (3, 512, 614)
    assert packed["data_samples"].gt_sem_seg.shape == (80, 96)


def test_testing_at_several_scales(ade20k):
    """The image at 0.5 to 1.75 of its size, as it is and flipped."""
    packed = run_pipeline(load(f"{NAME}_ms").test_dataloader.dataset.pipeline, ade20k, "validation")
    scales = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
    assert [tuple(x.shape[1:]) for x in packed["inputs"]] == [
        (round(80 * scale), round(96 * scale)) for scale in scales for _ in range(2)
    ]
    for upright, flipped in zip(packed["inputs"][::2], packed["inputs"][1::2], strict=True):
        np.testing.assert_array_equal(flipped.flip(-1), upright)
    assert [sample.flip for sample in packed["data_samples"]] == [False, True] * 6
    (hook,) = load(f"{NAME}_ms").custom_hooks
    assert (hook.type, hook.tta_cfg.type) == ("SegTTAHook", "SegTTAModel")
