"""A small data set of drawn people, a small config on it, and the tools as functions."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch

SIZE = (160, 128)

CONFIG = """
_base_ = ["{repository}/configs/coco/hrvmamba_nano_256x192.py"]

codec = dict(type="MSRAHeatmap", input_size=(64, 64), heatmap_size=(16, 16), sigma=1.5)
model = dict(
    backbone=dict(drop_path_rate=0.0), head=dict(decoder=codec), test_cfg=dict(flip_test=False)
)
val_pipeline = [
    dict(type="LoadImage"),
    dict(type="GetBBoxCenterScale"),
    dict(type="TopdownAffine", input_size=codec["input_size"]),
    dict(type="PackPoseInputs"),
]
train_pipeline = [*val_pipeline[:3], dict(type="GenerateTarget", encoder=codec), val_pipeline[3]]

data_root = "{people}/"
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/person_keypoints_train.json",
        data_prefix=dict(img="train/"),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/person_keypoints_val.json",
        bbox_file=None,
        data_prefix=dict(img="val/"),
        pipeline=val_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "annotations/person_keypoints_val.json")
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=2, val_interval=1)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
auto_scale_lr = dict(base_batch_size=32)
param_scheduler = [dict(type="MultiStepLR", begin=0, end=3, milestones=[1], by_epoch=True)]
default_hooks = dict(logger=dict(interval=1))
randomness = dict(seed=0)
"""


def draw_people(folder: Path, split: str, image_ids: range) -> None:
    """Draw one person in each image, as dots of 17 colours, with its COCO annotation."""
    rng = np.random.default_rng(image_ids.start)
    width, height = SIZE
    (folder / split).mkdir(parents=True)
    images, annotations = [], []
    for image_id in image_ids:
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        keypoints = rng.uniform(20, 108, (17, 2)).round(1)
        for index, (x, y) in enumerate(keypoints):
            color = (15 * index, 255 - 15 * index, 120)
            cv2.circle(image, (round(x), round(y)), 4, color, -1)
        cv2.imwrite(str(folder / split / f"{image_id}.jpg"), image)
        images.append(
            {"id": image_id, "file_name": f"{image_id}.jpg", "width": width, "height": height}
        )
        (x, y), (w, h) = keypoints.min(0), np.ptp(keypoints, axis=0)
        visible = np.full((17, 1), 2.0)
        annotations.append(
            {
                "id": image_id,
                "image_id": image_id,
                "category_id": 1,
                "bbox": [x, y, w, h],
                "area": w * h,
                "iscrowd": 0,
                "num_keypoints": 17,
                "keypoints": np.hstack([keypoints, visible]).ravel().tolist(),
            }
        )
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }
    (folder / "annotations").mkdir(exist_ok=True)
    (folder / f"annotations/person_keypoints_{split}.json").write_text(json.dumps(content))


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A data set of 8 images to train on and 4 to validate on."""
    folder = tmp_path / "people"
    draw_people(folder, "train", range(1, 9))
    draw_people(folder, "val", range(101, 105))
    return folder


@pytest.fixture
def config(tmp_path: Path, people: Path, repository: Path) -> Path:
    """A config of Nano on that data set: no workers, no random augmentation, no dropout."""
    path = tmp_path / "small.py"
    path.write_text(CONFIG.format(repository=repository, people=people))
    return path


@pytest.fixture
def load_tool(repository: Path) -> Callable[[str], ModuleType]:
    """Load a tool as a module of its own."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(
            f"tool_{name}", repository / f"tools/{name}.py"
        )
        tool = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tool)
        return tool

    return load


def with_subclasses(cls: type) -> Iterator[type]:
    """A class and all that inherit from it."""
    yield cls
    for subclass in cls.__subclasses__():
        yield from with_subclasses(subclass)


@pytest.fixture
def run_tool(
    load_tool: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Call the main function of a tool, with a new folder as the current one."""
    folder = tmp_path / "current"
    folder.mkdir()
    monkeypatch.chdir(folder)
    torch.set_num_threads(1)
    # Laying out the config that a run keeps takes longer than much of the rest of a small run.
    monkeypatch.setattr("mmengine.config.config.FormatCode", lambda text, **options: (text, True))
    from mmengine.visualization import Visualizer

    def run(name: str, *arguments: object) -> None:
        # MMEngine keeps one visualizer a process, and with it the first run's folder.
        for visualizer in with_subclasses(Visualizer):
            visualizer._instance_dict.clear()
        load_tool(name).main([str(argument) for argument in arguments])

    return run


@pytest.fixture
def refused(run_tool: Callable[..., None], capfd: pytest.CaptureFixture) -> Callable[..., str]:
    """Call a tool that must refuse its arguments, in one line and leaving nothing behind."""

    def run(name: str, *arguments: object) -> str:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            run_tool(name, *arguments)
        assert end.value.code == 2
        lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1
        assert not any(Path.cwd().iterdir())
        return lines[0]

    return run


@pytest.fixture
def run_process(repository: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Run a program of the tools folder in its own process, in the current folder."""

    def run(name: str, *arguments: object) -> subprocess.CompletedProcess:
        command = [str(repository / "tools" / name), *map(str, arguments)]
        if name.endswith(".py"):
            command.insert(0, sys.executable)
        environment = os.environ | {
            "PYTHON": sys.executable,
            "PYTHONPATH": os.pathsep.join([str(repository), str(tmp_path)]),
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.run(command, env=environment, text=True, capture_output=True)

    return run
