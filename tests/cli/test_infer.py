import json
import os
import signal
import subprocess
import sys
import time
from urllib.error import URLError

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip("mmpose")
from mmengine import hub

from hrvmamba.inference import PoseInferencer


@pytest.fixture
def folder(image, tmp_path):
    """Two images whose names are numbers."""
    path = tmp_path / "images"
    path.mkdir()
    for number, picture in ((12, image), (34, image[:90])):
        cv2.imwrite(str(path / f"{number:012}.png"), picture)
    return path


@pytest.fixture
def infer(command, weights, tmp_path):
    """Run it on inputs, with the small model."""

    def run(*arguments):
        files = ("--config", weights[0], "--checkpoint", weights[1], "--out", tmp_path / "out")
        return command("infer", *arguments, *files)

    return run


def results(tmp_path):
    return json.loads((tmp_path / "out/results.json").read_text())


def test_whole_images(infer, weights, folder, image, tmp_path, capsys):
    assert infer(folder, "--keypoint-threshold=-1e9") == 0
    (expected,) = PoseInferencer(*weights)(image)
    first, second = results(tmp_path)
    points = np.array(first["keypoints"]).reshape(17, 3)
    np.testing.assert_allclose(points[:, :2], expected.keypoints[0], atol=1e-3)
    np.testing.assert_allclose(points[:, 2], expected.scores[0], atol=1e-3)
    assert first["bbox"] == [0, 0, 170, 130] and second["bbox"] == [0, 0, 170, 90]
    said = capsys.readouterr()
    assert "2 images, 2 people" in said.out and "images/s" in said.out and "image/s" in said.err
    drawn = cv2.imread(str(tmp_path / "out/overlays/000000000012.png"))
    assert (drawn != image).any() and drawn.shape == image.shape


def test_a_config_by_name(command, image, tmp_path):
    cv2.imwrite(str(tmp_path / "picture.png"), image)
    model = hub.get_model("hrvmamba::coco/hrvmamba_nano_256x192.py")
    torch.save(model.state_dict(), tmp_path / "nano.pth")
    arguments = ("--config", "hrvmamba-nano", "--checkpoint", tmp_path / "nano.pth")
    picture, out = tmp_path / "picture.png", tmp_path / "out"
    assert command("infer", picture, *arguments, "--no-overlays", "--out", out) == 0
    assert len(results(tmp_path)) == 1


def test_a_bad_file_is_named_and_the_status_tells(infer, folder, tmp_path, capsys):
    (folder / "bad.jpg").write_bytes(b"no image")
    assert infer(folder, folder / "missing.jpg", "--no-overlays") == 1
    said = capsys.readouterr()
    assert "bad.jpg: is damaged" in said.err and "missing.jpg: cannot be read" in said.err
    assert "2 of 4 inputs skipped" in said.out
    assert len(results(tmp_path)) == 2 and not (tmp_path / "out/overlays").exists()


def test_boxes_from_files(infer, folder, tmp_path):
    """Detected ones by the files' numbers, and annotated ones; ids are the files' in both."""
    box = {"category_id": 1, "image_id": 34, "bbox": [10, 10, 50, 60], "score": 0.8}
    low = {**box, "score": 0.1}
    (tmp_path / "boxes.json").write_text(json.dumps([box, low]))
    assert infer(folder, "--boxes", tmp_path / "boxes.json", "--heatmaps") == 0
    (person,) = results(tmp_path)
    assert person["image_id"] == 34 and person["bbox"] == box["bbox"]
    everybody = ("--boxes", tmp_path / "boxes.json", "--box-threshold", "0")
    assert infer(folder, *everybody) == 0
    assert len(results(tmp_path)) == 2
    images = [{"id": 5, "file_name": "000000000012.png", "width": 170, "height": 130}]
    annotation = {"id": 1, "image_id": 5, "category_id": 1, "bbox": [1, 2, 30, 40]}
    content = {"images": images, "annotations": [annotation], "categories": []}
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    assert infer(folder, "--annotations", tmp_path / "annotations.json") == 1  # one is not in it
    (person,) = results(tmp_path)
    assert person["image_id"] == 5 and person["bbox"] == [1, 2, 30, 40]
    # The results are detections too, which name their files.
    (tmp_path / "again.json").write_text(json.dumps(results(tmp_path)))
    box = ("--boxes", tmp_path / "again.json", "--box-threshold", 0)
    assert infer(folder / "000000000012.png", *box) == 0
    assert results(tmp_path)[0]["image_id"] == 5


def test_a_detector(infer, folder, tmp_path, monkeypatch, refused, weights):
    class Detector:
        def __init__(self, name, device, threshold):
            assert (name, device.type, threshold) == ("fasterrcnn_resnet50_fpn", "cpu", 0.7)

        def __call__(self, image):
            return np.array([[5, 5, 40, 50], [20, 9, 60, 70]], np.float32), np.array([0.9, 0.8])

    module = "hrvmamba.inference.person_detector"
    options = ("--detector", "fasterrcnn_resnet50_fpn", "--box-threshold", "0.7")
    with monkeypatch.context() as patch:
        patch.setattr(f"{module}.PersonDetector", Detector)
        assert infer(folder, *options) == 0
    assert [person["bbox"][:2] for person in results(tmp_path)] == [[5, 5], [20, 9]] * 2

    def offline(*arguments, **options):
        raise URLError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    files = ("--config", weights[0], "--checkpoint", weights[1], "--out", "out")
    said = refused("infer", folder, *files, *options)
    assert "fasterrcnn_resnet50_fpn cannot be downloaded" in said and "no network" in said


def test_refuses(refused, weights, folder, tmp_path):
    def message(*arguments, config=weights[0], checkpoint=weights[1]):
        files = ("--config", config, "--checkpoint", checkpoint, "--out", "out")
        return refused("infer", *arguments, *files)

    assert "no image or video matches" in message("*.jpg")
    assert "must be the only input" in message(folder, "0")
    assert "none.py does not exist" in message(folder, config="none.py")
    assert "none.pth not found" in message(folder, checkpoint="none.pth")
    assert "no cuda:77" in message(folder, "--device", "cuda:77")
    assert "batch_size must be at least 1" in message(folder, "--batch-size", 0)
    assert "no detector 'yolo'" in message(folder, "--detector", "yolo")
    assert "does not exist" in message(folder, "--annotations", "none.json")
    (tmp_path / "boxes.json").write_text("{}")
    assert "must be a list of boxes" in message(folder, "--boxes", tmp_path / "boxes.json")


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
def test_ended_from_outside_it_says_how_to_go_on(weights, image, tmp_path, repository):
    (tmp_path / "images").mkdir()
    for number in range(300):
        cv2.imwrite(str(tmp_path / f"images/{number}.png"), image)
    arguments = ["infer", tmp_path / "images", "--config", weights[0], "--checkpoint", weights[1]]
    arguments += ["--out", tmp_path / "out", "--batch-size", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "hrvmamba", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("out/overlays/*.png")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "the same command goes on" in out and "Traceback" not in err
    assert (tmp_path / "out/.unfinished.jsonl").exists()
    assert not (tmp_path / "out/results.json").exists()
