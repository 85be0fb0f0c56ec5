from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

import hrvmamba  # noqa: F401  (registers the backbone and lets MMPose import)
from hrvmamba.integrations.model_configs import build_model

CONFIGS = Path(__file__).parents[2] / "configs"
PRESETS = {  # backbone parameters, width of the finest branch
    "nano": (676_664, 8),
    "tiny": (2_322_656, 16),
    "small": (8_033_840, 32),
    "base": (47_099_616, 80),
}
RATES = {  # drop_path_rate, drop_rate; (0.1, 0) for the others
    ("small", "256x192"): (0.1, 0.1),
    ("small", "384x288"): (0.1, 0.1),
    ("base", "256x192"): (0.2, 0.0),
    ("base", "384x288"): (0.6, 0.2),
}
FOLDERS = ("coco", "synthetic", "custom")
LEAVES = sorted(path for folder in FOLDERS for path in CONFIGS.glob(f"{folder}/*.py"))
COCO = [(arch, size) for arch in PRESETS for size in ("256x192", "384x288")]


def load(arch: str, size: str) -> Config:
    return Config.fromfile(CONFIGS / f"coco/hrvmamba_{arch}_{size}.py")


def build_pipeline(pipeline: list[dict]) -> None:
    from mmpose.registry import TRANSFORMS

    with TRANSFORMS.switch_scope_and_registry("mmpose") as transforms:
        for step in pipeline:
            transforms.build(step)


def test_all_presets_have_configs():
    names = {path.name for path in (CONFIGS / "coco").iterdir() if path.suffix == ".py"}
    assert names == {f"hrvmamba_{arch}_{size}.py" for arch, size in COCO}


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: path.stem)
def test_loads_and_builds(path):
    config = Config.fromfile(path)
    model = build_model(config)

    parameters, width = PRESETS[config.model.backbone.arch]
    assert sum(value.numel() for value in model.backbone.parameters()) == parameters
    assert model.backbone.out_channels == (width,)
    assert model.head.in_channels == width
    codec = config.model.head.decoder
    input_width, input_height = codec.input_size
    stride = 4 // 2 ** len(config.model.head.deconv_out_channels or ())
    assert codec.heatmap_size == (input_width // stride, input_height // stride)
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        (affine,) = [
            step for step in config[name].dataset.pipeline if step["type"] == "TopdownAffine"
        ]
        assert affine.input_size == codec.input_size
        build_pipeline(config[name].dataset.pipeline)
    assert config.train_dataloader.dataset.pipeline[-2].encoder == codec
    assert config.custom_imports.imports == ["hrvmamba"]


@pytest.mark.parametrize(("arch", "size"), COCO)
def test_coco_recipe(arch, size):
    config = load(arch, size)
    height, width = map(int, size.split("x"))
    assert config.model.head.decoder == {
        "type": "MSRAHeatmap",
        "input_size": (width, height),
        "heatmap_size": (width // 4, height // 4),
        "sigma": 2 if size == "256x192" else 3,
    }
    rates = (config.model.backbone.drop_path_rate, config.model.backbone.drop_rate)
    assert rates == RATES.get((arch, size), (0.1, 0.0))
    assert config.optim_wrapper.optimizer == {
        "type": "AdamW",
        "lr": 5e-4,
        "betas": (0.9, 0.999),
        "weight_decay": 0.01,
    }
    assert config.train_cfg.max_epochs == 210
    warm_up, steps = config.param_scheduler
    assert (warm_up.type, warm_up.start_factor, warm_up.end) == ("LinearLR", 0.001, 500)
    assert not warm_up.by_epoch
    assert (steps.type, steps.milestones, steps.gamma) == ("MultiStepLR", [170, 200], 0.1)
    assert steps.by_epoch
    assert config.auto_scale_lr.base_batch_size == 256
    assert config.train_dataloader.batch_size * 8 == 256
    assert [step["type"] for step in config.train_dataloader.dataset.pipeline] == [
        "LoadImage",
        "GetBBoxCenterScale",
        "RandomFlip",
        "RandomHalfBody",
        "RandomBBoxTransform",
        "TopdownAffine",
        "GenerateTarget",
        "PackPoseInputs",
    ]
    assert config.model.test_cfg == {
        "flip_test": True,
        "flip_mode": "heatmap",
        "shift_heatmap": True,
    }
    assert config.default_hooks.checkpoint.save_best == "coco/AP"
    for name in ("val_dataloader", "test_dataloader"):
        assert config[name].dataset.bbox_file.startswith("data/coco/person_detection_results/")


@pytest.mark.parametrize(
    ("path", "rate"),
    [("coco/hrvmamba_nano_256x192.py", 0.01), ("imagenet/hrvmamba_nano_256.py", 0.05)],
)
def test_weight_decay(path, rate):
    """None on norms, biases, A_log, Dskip and dt_bias; the recipe's on every other parameter."""
    config = Config.fromfile(CONFIGS / path)
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
    seen = set()
    for name, value in model.named_parameters():
        last = name.split(".")[-1]
        free = id(value) in norms or last in ("bias", "A_log", "Dskip", "dt_bias")
        assert decay[id(value)] == (0.0 if free else rate), name
        seen.add(last)
    assert {"weight", "bias", "A_log", "Dskip", "dt_bias", "dt_weight"} <= seen


def test_backbone_of_an_mmpose_config(run_python, tmp_path):
    """Another MMPose config takes the backbone with custom_imports alone."""
    (tmp_path / "config.py").write_text(
        "_base_ = ['mmpose::body_2d_keypoint/topdown_heatmap/coco/"
        "td-hm_hrnet-w32_8xb64-210e_coco-256x192.py']\n"
        "custom_imports = dict(imports=['hrvmamba'])\n"
        "model = dict(backbone=dict(_delete_=True, type='HRVMamba', arch='small'))\n"
    )
    run = run_python(
        f"""
import torch
from mmengine.config import Config
config = Config.fromfile({str(tmp_path / "config.py")!r})
from mmpose.registry import MODELS
with MODELS.switch_scope_and_registry("mmpose") as models:
    model = models.build(config.model).eval()
assert config.model.head.in_channels == 32
with torch.no_grad():
    heatmaps = model(torch.rand(1, 3, 64, 64), None, mode="tensor")
print(type(model).__name__, type(model.backbone).__module__, tuple(heatmaps.shape))
"""
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split("\n")[-2] == (
        "TopdownPoseEstimator hrvmamba.integrations.mmengine (1, 17, 16, 16)"
    )
