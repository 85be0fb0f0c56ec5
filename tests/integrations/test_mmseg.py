"""Checks ahead of a run on ADE20K, on the real config."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner.checkpoint import load_checkpoint
from torch import nn

from hrvmamba.integrations.config import ConfigError
from hrvmamba.integrations.mmseg import (
    SegTTAHook,
    check_classes,
    check_crop_sizes,
    check_data,
    check_model,
    check_testing,
    check_training,
    draw_predictions,
)
from hrvmamba.models import HRVMambaClassifier

WIDTHS = (8, 16, 32, 64)  # of Nano's branches
NANO = {"model.backbone.arch": "nano", "model.neck.in_channels": WIDTHS}


@pytest.fixture
def config(repository, ade20k) -> Config:
    """The real config, of Nano on a few images."""
    path = repository / "configs/ade20k/hrvmamba_base_upernet_160k_512x512.py"
    config = Config.fromfile(path)
    config.merge_from_dict(NANO | {"model.decode_head.channels": 16})
    for split in ("train", "val", "test"):
        config[f"{split}_dataloader"].dataset.data_root = str(ade20k)
    return config


def refusal(check, *arguments) -> str:
    """The one line that a check refuses its arguments with."""
    with pytest.raises(ConfigError) as raised:
        check(*arguments)
    assert "\n" not in str(raised.value)
    return str(raised.value)


# Data


def test_data_that_fits(config):
    for split, folder in (("train", "training"), ("test", "validation")):
        (dataset,) = check_data(config, split)
        assert dataset.data_prefix["img_path"].endswith(f"images/{folder}")


def without_folder(data: Path, kind: str) -> None:
    shutil.rmtree(data / kind / "training")


def of_another_suffix(data: Path) -> None:
    for path in (data / "images/training").iterdir():
        path.rename(path.with_suffix(".jpeg"))


def write_labels(data: Path, labels: np.ndarray) -> None:
    cv2.imwrite(str(data / "annotations/training/2.png"), labels)


def label(value: int) -> np.ndarray:
    labels = np.ones((80, 96), dtype=np.uint8)
    labels[5, 7] = value
    return labels


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (shutil.rmtree, "the data folder {data} does not exist. Link it to yours: ln -s"),
        (
            lambda data: without_folder(data, "images"),
            "the image folder {data}/images/training does not exist",
        ),
        (
            lambda data: without_folder(data, "annotations"),
            "the annotation folder {data}/annotations/training does not exist",
        ),
        (
            of_another_suffix,
            "the image folder {data}/images/training has no images: it needs some that end in .jpg",
        ),
        (
            lambda data: (data / "annotations/training/1.png").unlink(),
            "1 of 4 images have no annotation: {data}/images/training/1.jpg needs "
            "{data}/annotations/training/1.png",
        ),
        (
            lambda data: write_labels(data, label(151)),
            "the annotation {data}/annotations/training/2.png has the label 151: ADE20KDataset has "
            "150 classes, whose labels are 1 to 150, and 0 for pixels to ignore",
        ),
        (
            lambda data: write_labels(data, np.zeros((80, 96, 3), dtype=np.uint8)),
            "2.png has 3 channels: it needs one, the label of each pixel",
        ),
        (
            lambda data: (data / "annotations/training/2.png").write_bytes(b"no image"),
            "the annotation {data}/annotations/training/2.png cannot be read: ",
        ),
    ],
)
def test_data_that_does_not_fit(config, ade20k, spoil, words):
    spoil(ade20k)
    assert words.format(data=ade20k) in refusal(check_data, config, "train")


def test_255_is_ignored_too(config, ade20k):
    write_labels(ade20k, label(255))
    assert check_data(config, "train")


def test_labels_of_other_datasets(config, ade20k):
    """Without a label for nothing, and with some classes of a dataset."""
    dataset = config.train_dataloader.dataset
    dataset.reduce_zero_label = False
    write_labels(ade20k, label(150))
    assert "whose labels are 0 to 149, and 255 for" in refusal(check_data, config, "train")
    write_labels(ade20k, label(2))
    for path in (ade20k / "annotations/training").iterdir():
        shutil.copy(ade20k / "annotations/training/2.png", path.with_suffix(".copy"))
        path.with_suffix(".copy").rename(path)
    dataset.metainfo = dict(classes=("building", "sky"))
    assert check_data(config, "train")


def test_a_list_of_images(config, ade20k):
    dataset = config.train_dataloader.dataset
    dataset.ann_file = "few.txt"
    assert "few.txt does not exist" in refusal(check_data, config, "train")
    (ade20k / "few.txt").write_text("")
    assert "few.txt has no images" in refusal(check_data, config, "train")
    (ade20k / "few.txt").write_text("0\n")
    (ade20k / "annotations/training/1.png").unlink()
    assert check_data(config, "train")


def test_a_dataset_that_cannot_be_built(config):
    config.train_dataloader.dataset.type = "ADE21KDataset"
    words = "the dataset of train_dataloader cannot be built: "
    assert words in refusal(check_data, config, "train")
    config.train_dataloader.dataset.merge(dict(type="ADE20KDataset", metainfo=dict(classes=["a"])))
    assert words in refusal(check_data, config, "train")


# Model


def test_a_model_that_fits(config):
    with torch.device("meta"):
        model = check_model(config)
        maps = model.eval().extract_feat(torch.empty(1, 3, 64, 96))
    assert [tuple(x.shape) for x in maps] == [
        (1, 128, 16, 24),
        (1, 256, 8, 12),
        (1, 512, 4, 6),
        (1, 2048, 2, 3),
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"backbone.out_indices": (0, 4)},
            "out_indices must hold branches from 0 to 3, got (0, 4)",
        ),
        (
            {"backbone.out_indices": (0, 1)},
            "model.backbone.out_indices is (0, 1): set model.backbone.out_indices=(0,1,2,3)",
        ),
        (
            {"neck.in_channels": (80, 160, 320, 640)},
            "model.neck.in_channels is (80,160,320,640), but the backbone gives (8,16,32,64) "
            "channels: set model.neck.in_channels=(8,16,32,64)",
        ),
        (
            {"decode_head.in_channels": [8, 16, 32, 64]},
            "model.decode_head.in_channels is (8,16,32,64), but the neck gives (128,256,512,2048) "
            "channels: set model.decode_head.in_channels=(128,256,512,2048)",
        ),
        (
            {"decode_head.in_channels": (8, 16)},
            "model.decode_head.in_channels is (8, 16), but its in_index is [0, 1, 2, 3]: "
            "it needs a width for each map",
        ),
        (
            {"decode_head.in_index": [0, 1, 2, 4]},
            "in_index is [0, 1, 2, 4], but the neck gives 4 maps, whose indices are 0 to 3",
        ),
        (
            {"auxiliary_head.in_channels": 32},
            "model.auxiliary_head.in_channels is 32, but the neck gives 512 channels",
        ),
        ({"auxiliary_head.in_index": 5}, "model.auxiliary_head.in_index is 5, but the neck gives"),
        ({"decode_head.type": "UPerHeads"}, "the model cannot be built: "),
    ],
)
def test_a_model_that_does_not_fit(config, options, words):
    config.merge_from_dict({f"model.{name}": value for name, value in options.items()})
    with torch.device("meta"):
        assert words in refusal(check_model, config)


def test_a_model_without_a_neck(config):
    """The branches' own maps, and several auxiliary heads."""
    config.model.neck = None
    config.model.auxiliary_head = [config.model.auxiliary_head]
    config.model.decode_head.in_channels = WIDTHS
    with torch.device("meta"):
        message = refusal(check_model, config)
        config.model.auxiliary_head[0].in_channels = 32
        check_model(config)
    assert "auxiliary_head.0.in_channels is 512, but the backbone gives 32" in message


def test_classes(config):
    (dataset,) = check_data(config, "val")
    check_classes(config, dataset)
    config.model.auxiliary_head.num_classes = 19
    assert refusal(check_classes, config, dataset) == (
        "model.auxiliary_head.num_classes is 19, but ADE20KDataset has 150 classes: "
        "set model.auxiliary_head.num_classes=150"
    )


def test_crop_sizes(config):
    check_crop_sizes(config)
    config.train_dataloader.dataset.pipeline[3].crop_size = (16, 64)
    assert refusal(check_crop_sizes, config).startswith(
        "the crop_size of RandomCrop of train_dataloader is 64 x 16 pixels (width x height)"
    )
    config.train_dataloader.dataset.pipeline[3].crop_size = 31
    assert "is 31 x 31 pixels" in refusal(check_crop_sizes, config)


# Runs


def test_training_is_checked(config, ade20k, tmp_path):
    with torch.device("meta"):
        assert check_training(config).decode_head.num_classes == 150
    config.model.backbone.init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "none.pth"))
    with pytest.raises(FileNotFoundError, match=r"none\.pth not found"):
        check_training(config)
    shutil.rmtree(ade20k / "images/validation")
    assert "images/validation does not exist" in refusal(check_training, config)
    config.val_dataloader = None
    config.train_dataloader.dataset.pipeline[3].crop_size = (16, 16)
    assert "16 x 16" in refusal(check_training, config)


def test_testing_is_checked(config, ade20k):
    shutil.rmtree(ade20k / "images/training")
    with torch.device("meta"):
        assert check_testing(config).decode_head.num_classes == 150
    config.model.decode_head.num_classes = 2
    assert "num_classes=150" in refusal(check_testing, config)


def test_starts_from_an_imagenet_classifier(config, tmp_path):
    """All of backbone and neck but for the norms behind it."""
    torch.manual_seed(1)
    classifier = HRVMambaClassifier("nano")
    torch.save({"state_dict": classifier.state_dict()}, tmp_path / "imagenet.pth")
    model = check_model(config)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    load_checkpoint(model, str(tmp_path / "imagenet.pth"))  # as the runner does by load_from
    expected = {
        name: tensor
        for name, tensor in classifier.state_dict().items()
        if not name.startswith("head.")
    }
    kept = {name for name in before if name not in expected}
    assert all(name.startswith(("neck.norms.", "decode_head.", "auxiliary_head.")) for name in kept)
    torch.testing.assert_close(dict(model.state_dict()), before | expected, rtol=0, atol=0)


def test_draw_predictions():
    config = Config(dict(visualizer=dict(type="SegLocalVisualizer")))
    draw_predictions(config, "drawn")
    hook = config.default_hooks.visualization
    assert (hook.type, hook.draw, hook.interval) == ("SegVisualizationHook", True, 1)
    assert config.visualizer == dict(type="SegLocalVisualizer", save_dir="drawn")


@pytest.mark.parametrize("wrap", [lambda model: model, nn.DataParallel])
def test_several_scales_in_one_process_or_more(wrap):
    class Model(nn.Module):
        out_channels = 150

        def test_step(self, data):
            return data

    class Runner:
        model = wrap(Model())

    runner = Runner()
    SegTTAHook(dict(type="mmseg.SegTTAModel")).before_test(runner)
    assert runner.model.module.out_channels == 150
