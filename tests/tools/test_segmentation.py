"""The tools on the real ADE20K configs, made small, and a few generated images."""

import json
import math
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hrvmamba.checkpoints import read_checkpoint

NAME = "hrvmamba_base_upernet_160k_512x512"
SMALL = [
    "model.backbone.arch=nano",
    "model.neck.in_channels=(8,16,32,64)",
    "model.decode_head.channels=8",
    "model.auxiliary_head.channels=8",
    "model.data_preprocessor.size=(64,64)",
    "train_dataloader.dataset.pipeline.2.scale=(128,64)",
    "train_dataloader.dataset.pipeline.3.crop_size=(64,64)",
    "val_dataloader.dataset.pipeline.1.scale=(128,64)",
    "train_cfg.max_iters=2",
    "train_cfg.val_interval=2",
    "default_hooks.logger.interval=1",
]


@pytest.fixture
def small(repository, ade20k):
    """The arguments of a tool: a config by its name, and its options behind other arguments."""

    def arguments(name: str, *others: object) -> list[object]:
        options = [*SMALL]
        for split in ("train", "val", "test"):
            options += [f"{split}_dataloader.dataset.data_root={ade20k}"]
            options += [f"{split}_dataloader.num_workers=0"]
        if not name.endswith("_ms"):
            options += ["test_dataloader.dataset.pipeline.1.scale=(128,64)"]
        return [repository / f"configs/ade20k/{name}.py", *others, "--cfg-options", *options]

    return arguments


def mean_iou(predictions: list[dict], ade20k: Path) -> float:
    """The mean over the classes that are there or predicted, in percent, where a label is given."""
    truth, predicted = [], []
    for prediction in predictions:
        name = Path(prediction["img_path"]).stem
        labels = cv2.imread(
            str(ade20k / f"annotations/validation/{name}.png"), cv2.IMREAD_UNCHANGED
        )
        truth.append(labels[labels > 0].astype(int) - 1)
        predicted.append(prediction["pred_sem_seg"]["data"][0].numpy()[labels > 0])
    truth, predicted = np.concatenate(truth), np.concatenate(predicted)
    ious = [
        ((truth == label) & (predicted == label)).sum()
        / ((truth == label) | (predicted == label)).sum()
        for label in np.union1d(truth, predicted)
    ]
    return 100 * np.mean(ious)


def test_trains_and_tests(run_tool, small, ade20k, capfd):
    run_tool("train", *small(NAME, "--work-dir", "run"))
    (log,) = Path("run").glob("*/vis_data/scalars.json")
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    losses = [entry["loss"] for entry in entries if "loss" in entry]
    assert len(losses) == 2 and all(map(math.isfinite, losses))
    assert 0 <= entries[-1]["mIoU"] <= 100
    assert "best_mIoU_iter_2.pth" in {path.name for path in Path("run").iterdir()}

    # Such a class for every pixel that the IoU is not zero.
    checkpoint = read_checkpoint("run/iter_2.pth")
    checkpoint["state_dict"]["decode_head.conv_seg.bias"][2] = 100
    torch.save({"state_dict": checkpoint["state_dict"]}, "third_class.pth")
    outputs = ["--out", "metrics.json", "--dump", "all.pkl", "--show-dir", "drawn"]
    run_tool("test", *small(NAME, "third_class.pth", "--work-dir", "test", *outputs))
    one_scale = json.loads(Path("metrics.json").read_text())["mIoU"]
    predictions = pickle.loads(Path("all.pkl").read_bytes())
    assert {
        int(label) for each in predictions for label in each["pred_sem_seg"]["data"].unique()
    } == {2}
    assert one_scale == pytest.approx(mean_iou(predictions, ade20k), abs=0.01)
    assert one_scale > 5
    assert len(list(Path("drawn").rglob("*.png"))) == 2

    run_tool("test", *small(f"{NAME}_ms", "run/iter_2.pth", "--work-dir", "ms", "--dump", "ms.pkl"))
    predictions = pickle.loads(Path("ms.pkl").read_bytes())
    assert f"mIoU: {mean_iou(predictions, ade20k):.4f}"[:-3] in capfd.readouterr().out


def test_refuses_what_does_not_fit(refused, small, ade20k):
    arguments = small(NAME)
    assert "set model.decode_head.in_channels=(128,256,512,2048)" in refused(
        "train", *arguments, "model.decode_head.in_channels=[8,16,32,64]"
    )
    path = ade20k / "annotations/validation/0.png"
    path.unlink()
    for tool, given in (("train", arguments), ("test", small(NAME, "none.pth"))):
        assert f"needs {path}" in refused(tool, *given)
