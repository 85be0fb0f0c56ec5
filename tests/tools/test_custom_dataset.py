"""docs/custom_dataset.md: the template config on a data set of its seven keypoints."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from hrvmamba.cli.main import main

WIDTH, HEIGHT = 160, 128


@pytest.fixture
def config(tmp_path, repository):
    """The template, on a data set in the temporary folder, in short."""
    template = repository / "configs/custom/hrvmamba_tiny_256x192.py"
    names = [name for name, _, _ in Config.fromfile(template).keypoints]
    rng = np.random.default_rng(0)
    (tmp_path / "data/annotations").mkdir(parents=True)
    for split in ("train", "val"):
        draw(tmp_path / "data", split, names, rng)
    loaders = "\n".join(
        f"{split}_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False, "
        "dataset=dict(data_root=data_root))"
        for split in ("train", "val")
    )
    path = tmp_path / "mine.py"
    path.write_text(
        f"_base_ = ['{template}']\ndata_root = '{tmp_path}/data/'\n{loaders}\n"
        "test_dataloader = val_dataloader\n"
        "val_evaluator = dict(ann_file=data_root + 'annotations/val.json')\n"
        "test_evaluator = val_evaluator\n"
        "train_cfg = dict(max_epochs=1, val_interval=1)\n"
        "model = dict(backbone=dict(arch='nano'), head=dict(in_channels=8))\n"
    )
    return path


def draw(folder: Path, split: str, names: list[str], rng: np.random.Generator) -> None:
    """Two images of noise, with an animal in each."""
    (folder / split).mkdir()
    images, annotations = [], []
    for number in (1, 2):
        noise = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / split / f"{number}.jpg"), noise)
        size = {"width": WIDTH, "height": HEIGHT}
        images.append({"id": number, "file_name": f"{number}.jpg", **size})
        points = np.column_stack([rng.uniform(30, 90, (len(names), 2)), np.full(len(names), 2)])
        animal = {"id": number, "image_id": number, "category_id": 1, "bbox": [25, 25, 70, 70]}
        animal |= {"area": 2597.0, "iscrowd": 0, "num_keypoints": len(names)}
        annotations.append(animal | {"keypoints": points.round(1).ravel().tolist()})
    category = {"id": 1, "name": "animal", "keypoints": names, "skeleton": [[1, 2]]}
    content = {"images": images, "annotations": annotations, "categories": [category]}
    (folder / f"annotations/{split}.json").write_text(json.dumps(content))


def test_check_train_and_infer(run_tool, config, tmp_path, capsys):
    """The images' folder is the config's. Validation gives an AP, and K = 7 comes out."""
    annotations = tmp_path / "data/annotations/val.json"
    assert main(["check-dataset", str(annotations), "--config", str(config)]) == 0
    assert "no problems" in capsys.readouterr().out and Path("val_sheet.jpg").exists()
    run_tool("train", config)
    assert "Average Precision" in capsys.readouterr().out
    checkpoint = "work_dirs/mine/epoch_1.pth"
    files = ["--config", str(config), "--checkpoint", checkpoint, "--out", "results"]
    boxes = ["--annotations", str(annotations)]
    assert main(["infer", str(tmp_path / "data/val"), *files, *boxes]) == 0
    people = json.loads(Path("results/results.json").read_text())
    assert [len(person["keypoints"]) for person in people] == [21, 21]
    assert [person["image_id"] for person in people] == [1, 2]
