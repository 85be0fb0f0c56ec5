from pathlib import Path

import pytest
from mmengine.config import Config

import hrvmamba  # noqa: F401  (registers the backbone and its neck)
from hrvmamba.analysis import cost
from hrvmamba.integrations.mmpretrain import check_model

CONFIGS = Path(__file__).parents[2] / "configs/imagenet"
PRESETS = {  # side of the images, drop_path_rate, parameters, GMACs (paper, Table V)
    "nano": (256, 0.1, 12_284_240, 1.9),
    "tiny": (256, 0.1, 14_066_728, 2.8),
    "small": (256, 0.2, 20_101_976, 5.8),
    "base": (224, 0.2, 60_548_520, 15.8),
}


def load(arch: str) -> Config:
    return Config.fromfile(CONFIGS / f"hrvmamba_{arch}_{PRESETS[arch][0]}.py")


def test_all_presets_have_configs():
    names = {path.name for path in CONFIGS.glob("*.py")}
    assert names == {f"hrvmamba_{arch}_{side}.py" for arch, (side, *_) in PRESETS.items()}


@pytest.mark.parametrize("arch", PRESETS)
def test_loads_and_builds(arch):
    side, drop_path_rate, parameters, gmacs = PRESETS[arch]
    config = load(arch)
    model = check_model(config)
    counted = cost(model, (side, side))
    assert counted.parameters == parameters
    assert counted.macs == pytest.approx(gmacs * 1e9, rel=0.02)
    last = model.backbone.stage4[-1].branches[0][-1]
    assert last.drop_path.rate == last.esinb_drop_path.rate == pytest.approx(drop_path_rate)


@pytest.mark.parametrize("arch", PRESETS)
def test_data(arch):
    from mmpretrain.registry import TRANSFORMS

    side = PRESETS[arch][0]
    config = load(arch)
    for loader, split in (("train", "train"), ("val", "val"), ("test", "val")):
        dataset = config[f"{loader}_dataloader"].dataset
        assert (dataset.data_root, dataset.data_prefix) == ("data/imagenet", split)
        with TRANSFORMS.switch_scope_and_registry("mmpretrain") as transforms:
            for step in dataset.pipeline:
                transforms.build(step)
    train = {step["type"]: step for step in config.train_dataloader.dataset.pipeline}
    assert list(train) == [
        "LoadImageFromFile",
        "RandomResizedCrop",
        "RandomFlip",
        "RandAugment",
        "RandomErasing",
        "PackInputs",
    ]
    assert train["RandomResizedCrop"].scale == side
    test = {step["type"]: step for step in config.test_dataloader.dataset.pipeline}
    assert (test["ResizeEdge"].scale, test["CenterCrop"].crop_size) == (side * 8 // 7, side)


@pytest.mark.parametrize("arch", PRESETS)
def test_recipe(arch):
    config = load(arch)
    assert config.optim_wrapper.optimizer == {
        "type": "AdamW",
        "lr": 2e-3,
        "betas": (0.9, 0.999),
        "weight_decay": 0.05,
    }
    assert config.train_cfg.max_epochs == 300
    warm_up, cosine = config.param_scheduler
    assert (warm_up.type, warm_up.begin, warm_up.end) == ("LinearLR", 0, 20)
    assert (cosine.type, cosine.begin, cosine.end) == ("CosineAnnealingLR", 20, 300)
    assert warm_up.by_epoch and cosine.by_epoch
    assert config.train_dataloader.batch_size * 8 == config.auto_scale_lr.base_batch_size == 2048
    assert config.model.train_cfg.augments == [
        {"type": "Mixup", "alpha": 0.8},
        {"type": "CutMix", "alpha": 1.0},
    ]
    (ema,) = config.custom_hooks
    assert ema["type"].endswith("EMAHook")
    assert 1 - ema.momentum == pytest.approx(0.9999)
    assert config.default_hooks.checkpoint.save_best == "accuracy/top1"
    assert config.custom_imports.imports == ["hrvmamba"]
