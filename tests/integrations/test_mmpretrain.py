from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch import nn

import hrvmamba  # noqa: F401  (registers the backbone and its neck)
from hrvmamba.integrations.config import ConfigError
from hrvmamba.integrations.mmpretrain import (
    check_data,
    check_image_folder,
    check_input_sizes,
    check_model,
    check_training,
)
from hrvmamba.layers import DSS2D
from hrvmamba.models import HRVMambaClassifier

SMALLEST = dict(bottleneck_channels=4, channels=(4, 8, 12, 16))


def config_of(folder: Path | str = "data", **options: object) -> Config:
    """A config of the smallest model, with two classes in folders train and val of a folder."""
    content = dict(
        default_scope="mmpretrain",
        data_preprocessor=dict(num_classes=2),
        model=dict(
            type="ImageClassifier",
            backbone=dict(type="HRVMamba", arch=SMALLEST, out_indices=(0, 1, 2, 3)),
            neck=dict(type="HRNetNeck", in_channels=SMALLEST["channels"]),
            head=dict(type="LinearClsHead", num_classes=2, in_channels=2048),
        ),
    )
    for split in ("train", "val"):
        dataset = dict(type="CustomDataset", data_root=str(folder), data_prefix=split, pipeline=[])
        content[f"{split}_dataloader"] = dict(dataset=dataset)
    config = Config(content)
    config.merge_from_dict(options)
    return config


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two classes of one image each, to train and to validate on."""
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "1.JPEG").touch()
    return tmp_path


def test_parameters_have_the_cores_names_and_initial_weights(repository):
    config = Config.fromfile(repository / "configs/imagenet/hrvmamba_nano_256.py")
    model = check_model(config)
    core = HRVMambaClassifier("nano")
    shapes = [{n: p.shape for n, p in each.state_dict().items()} for each in (model, core)]
    assert shapes[0] == shapes[1]

    model.init_weights()
    offsets = [module.offset_mask for module in model.modules() if isinstance(module, DSS2D)]
    assert not any(layer.weight.any() or layer.bias.any() for layer in offsets)
    for name, weight in core.named_parameters():
        # Drawn anew: equal in their spread, or where constant, in every value.
        ours, cores = model.get_parameter(name).detach(), weight.detach()
        if cores.std() == 0:
            torch.testing.assert_close(ours, cores)
        elif cores.numel() > 2000:
            assert float(ours.std()) == pytest.approx(float(cores.std()), rel=0.15), name


def test_a_good_config(images):
    assert isinstance(check_training(config_of(images)), nn.Module)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"model.neck.in_channels": (4, 8, 12, 24)},
            r"model.neck.in_channels is \(4,8,12,24\), but the backbone gives \(4,8,12,16\)",
        ),
        (
            {"model.head.in_channels": 1024},
            r"model.head.in_channels is 1024, but the neck gives 2048 .*set .*in_channels=2048$",
        ),
        (
            {"model.backbone.out_indices": (0,)},
            r"out_indices is \(0,\): set model.backbone.out_indices=\(0,1,2,3\)$",
        ),
        (
            {"model.neck": {"type": "GlobalAveragePooling", "_delete_": True}},
            r"head.in_channels is 2048, but the backbone gives 16 channels",
        ),
        (
            {"data_preprocessor.num_classes": 5},
            r"^data_preprocessor.num_classes is 5, but model.head.num_classes is 2: set data_",
        ),
        (
            {"model.data_preprocessor": {"num_classes": 5}},
            r"^model.data_preprocessor.num_classes is 5, .*: set model.data_preprocessor.num_c",
        ),
        ({"model.neck.in_channels": (4, 8)}, r"cannot be built: .*in_channels must hold 4 widths"),
    ],
)
def test_parts_that_do_not_fit(options, message):
    with pytest.raises(ConfigError, match=message):
        check_model(config_of(**options))


def test_parts_of_others_are_left_to_them():
    options = {
        "model.backbone": {"type": "ResNet", "depth": 18, "_delete_": True},
        "model.neck": {"type": "GlobalAveragePooling", "_delete_": True},
    }
    assert check_model(config_of(**options)).head.in_channels == 2048
    assert check_model(config_of(**{"model.neck": None})).head.in_channels == 2048


def test_input_size():
    config = config_of()
    crop = {"type": "RandomResizedCrop", "scale": 32}
    config.train_dataloader.dataset.pipeline = [crop, {"type": "ResizeEdge", "scale": 16}]
    check_input_sizes(config)
    config.val_dataloader.dataset.pipeline = [{"type": "CenterCrop", "crop_size": (64, 31)}]
    with pytest.raises(ConfigError, match="crop_size of CenterCrop of val_dataloader is 64 x 31"):
        check_input_sizes(config)


def test_image_folders(images):
    assert check_data(config_of(images), "train", 2) == {images / "train": ["cat", "dog"]}
    annotated = config_of(images, **{"val_dataloader.dataset.ann_file": "val.txt"})
    assert check_data(annotated, "val", 2) == {}
    config = config_of(images, val_evaluator={"type": "Accuracy", "topk": (1, 5)})
    with pytest.raises(ConfigError, match=r"topk is \(1, 5\), but .* 2 classes: set val_eval"):
        check_data(config, "val", 2)


def test_refused_image_folders(images, tmp_path):
    with pytest.raises(ConfigError, match="the data folder data/none does not exist"):
        check_data(config_of("data/none"), "train", 2)
    with pytest.raises(ConfigError, match=f"the image folder {images}/test does not exist"):
        check_image_folder(images / "test")
    with pytest.raises(ConfigError, match=r"no images in 2 class folders: .*CLASS/NAME.* \.png$"):
        check_image_folder(images / "val", [".png"])
    with pytest.raises(ConfigError, match=f"{images}/val/cat has no images in 0 class folders"):
        check_image_folder(images / "val/cat")
    with pytest.raises(
        ConfigError,
        match=r"num_classes is 5, but .*/train has 2 class folders: "
        r"set model.head.num_classes=2 data_preprocessor.num_classes=2$",
    ):
        check_data(config_of(images), "train", 5)
    (images / "val/dog").rename(images / "val/fox")
    with pytest.raises(ConfigError, match=r"must have the same class folders, .*: dog, fox$"):
        check_training(config_of(images))
