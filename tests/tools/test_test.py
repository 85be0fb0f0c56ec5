import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from hrvmamba.checkpoints import read_checkpoint

TEST_DEV_RESULTS = "person_keypoints_test-dev2017_hrvmamba_results.json"


def build_model(config: Path, **options):
    from mmengine.config import Config
    from mmpose.registry import MODELS

    content = Config.fromfile(config)
    content.merge_from_dict(options)
    torch.manual_seed(0)
    with MODELS.switch_scope_and_registry("mmpose") as models:
        return models.build(content.model)


@pytest.fixture
def checkpoint(config: Path, tmp_path: Path) -> Path:
    """Weights of the small config's model as they are before training."""
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": build_model(config).state_dict()}, path)
    return path


@pytest.fixture
def detections(people: Path) -> Path:
    """A detection file with two boxes in each validation image."""
    boxes = [
        {"image_id": image_id, "category_id": 1, "bbox": [x, 20, 90, 90], "score": 0.5}
        for image_id in range(101, 105)
        for x in (10, 40)
    ]
    path = people / "person_detection_results/boxes.json"
    path.parent.mkdir()
    path.write_text(json.dumps(boxes))
    return path


def test_writes_what_it_is_asked_for(run_tool, config, checkpoint, capfd):
    outputs = ["--out", "out/metrics.json", "--dump", "out/all.pkl", "--show-dir", "drawn"]
    run_tool("test", config, checkpoint, "--work-dir", "results", *outputs)

    out = capfd.readouterr().out
    assert "Average Precision  (AP) @[ IoU=0.50:0.95" in out
    assert "\nboxes: ground truth (NOT comparable with AP on detected boxes)\n" in out
    assert 0 <= json.loads(Path("out/metrics.json").read_text())["coco/AP"] <= 1
    assert len(pickle.loads(Path("out/all.pkl").read_bytes())) == 4
    assert {path.name for path in Path("drawn").iterdir()} == {
        f"{i}_0.jpg" for i in range(101, 105)
    }
    results = json.loads(Path("results/coco.keypoints.json").read_text())
    assert sorted(person["image_id"] for person in results) == [101, 102, 103, 104]
    assert not list(Path().rglob("*.partial"))


def test_tests_the_weights_of_the_checkpoint(run_tool, config, checkpoint):
    """A head with the same filter for every keypoint puts a person's keypoints on one spot."""
    state = torch.load(checkpoint)
    filters = state["state_dict"]["head.final_layer.weight"]
    filters[:] = filters[:1].clone()
    torch.save(state, checkpoint)
    run_tool("test", config, checkpoint, "--work-dir", "results")
    for person in json.loads(Path("results/coco.keypoints.json").read_text()):
        spots = np.reshape(person["keypoints"], (17, 3))[:, :2]
        np.testing.assert_allclose(spots, spots[:1].repeat(17, 0), atol=1e-4)


def test_detected_and_ground_truth_boxes(run_tool, config, checkpoint, detections, capfd):
    detected = ["--cfg-options", f"test_dataloader.dataset.bbox_file={detections}"]
    run_tool("test", config, checkpoint, "--work-dir", "results", *detected)
    assert f"\nboxes: detections from {detections}\n" in capfd.readouterr().out
    results = json.loads(Path("results/coco.keypoints.json").read_text())
    boxes = {tuple(person["bbox"]) for person in results}
    assert boxes <= {(10, 20, 90, 90), (40, 20, 90, 90)}

    run_tool("test", config, checkpoint, "--work-dir", "results", "--gt-boxes", *detected)
    assert "\nboxes: ground truth (NOT comparable" in capfd.readouterr().out
    results = json.loads(Path("results/coco.keypoints.json").read_text())
    assert not boxes & {tuple(person["bbox"]) for person in results}


def test_test_dev(run_tool, refused, config, checkpoint, people, detections, capfd):
    message = refused("test", config, checkpoint, "--test-dev")
    assert f"{people}/test2017 does not exist" in message

    (people / "test2017").symlink_to("val")
    content = json.loads((people / "annotations/person_keypoints_val.json").read_text())
    del content["annotations"]
    (people / "annotations/image_info_test-dev2017.json").write_text(json.dumps(content))
    message = refused("test", config, checkpoint, "--test-dev")
    assert "COCO_test-dev2017_detections_AP_H_609_person.json does not exist" in message

    detections.rename(detections.with_name("COCO_test-dev2017_detections_AP_H_609_person.json"))
    capfd.readouterr()
    run_tool("test", config, checkpoint, "--test-dev", "--work-dir", "results")
    out = capfd.readouterr().out
    assert f"results/{TEST_DEV_RESULTS}: " in out
    assert "in the format that the COCO server takes" in out
    results = json.loads(Path("results", TEST_DEV_RESULTS).read_text())
    assert {person["image_id"] for person in results} == {101, 102, 103, 104}
    for person in results:
        assert set(person) == {"image_id", "category_id", "keypoints", "score"}
        assert person["category_id"] == 1
        assert len(person["keypoints"]) == 51
        assert np.isfinite(person["keypoints"]).all()
        assert np.isfinite(person["score"])


def test_refused_checkpoints(refused, config, checkpoint, tmp_path):
    assert "none.pth" in refused("test", config, "none.pth")

    truncated = tmp_path / "truncated.pth"
    truncated.write_bytes(checkpoint.read_bytes()[:-1000])
    assert "truncated.pth" in refused("test", config, truncated)

    tiny = tmp_path / "tiny.pth"
    options = {"model.backbone.arch": "tiny", "model.head.in_channels": 16}
    torch.save({"state_dict": build_model(config, **options).state_dict()}, tiny)
    message = refused("test", config, tiny)
    assert "tiny.pth" in message
    assert "HRVMamba tiny" in message
    assert "nano" in message

    lacking = read_checkpoint(checkpoint)
    del lacking["state_dict"]["head.final_layer.bias"]
    torch.save(lacking, checkpoint)
    assert "does not fit" in refused("test", config, checkpoint)


def test_refused_data(refused, config, checkpoint, people, detections):
    missing = ["--cfg-options", "test_dataloader.dataset.bbox_file=boxes/none.json"]
    message = refused("test", config, checkpoint, *missing)
    assert "boxes/none.json does not exist" in message
    assert "mmpose.readthedocs.io" in message
    assert "--gt-boxes" in message

    content = json.loads(detections.read_text())
    detections.write_text(json.dumps([*content, content[0] | {"image_id": 7}]))
    given = ["--cfg-options", f"test_dataloader.dataset.bbox_file={detections}"]
    assert "box 8 is of image 7" in refused("test", config, checkpoint, *given)

    elsewhere = ["--cfg-options", "test_evaluator.ann_file=none.json"]
    assert "none.json does not exist" in refused("test", config, checkpoint, *elsewhere)
    assert "--dump" in refused("test", config, checkpoint, "--dump", "all.json")
    assert "--out must name a .json" in refused("test", config, checkpoint, "--out", "all.txt")

    (people / "annotations/person_keypoints_val.json").write_text("[]")
    assert "person_keypoints_val.json is not a COCO" in refused("test", config, checkpoint)


def test_unreadable_image(run_tool, config, checkpoint, people, capfd):
    (people / "val/102.jpg").unlink()
    with pytest.raises(SystemExit) as end:
        run_tool("test", config, checkpoint)
    assert end.value.code == 2
    assert f"error: the image {people}/val/102.jpg cannot be read" in capfd.readouterr().err


@pytest.mark.parametrize("ending", ["yaml", "pkl"])
def test_metrics_in_other_formats(run_tool, config, checkpoint, ending):
    few = ["--cfg-options", "test_dataloader.dataset.indices=1"]
    run_tool("test", config, checkpoint, "--out", f"metrics.{ending}", *few)
    from mmengine.fileio import load

    assert 0 <= load(f"metrics.{ending}")["coco/AP"] <= 1


def test_metrics_that_cannot_be_written(run_tool, config, checkpoint, capfd):
    Path("metrics.json").mkdir()
    with pytest.raises(SystemExit) as end:
        run_tool("test", config, checkpoint, "--out", "metrics.json")
    said = capfd.readouterr()
    assert end.value.code == 2
    assert "boxes: ground truth" in said.out
    assert "error: --out: " in said.err
