"""The command line of tools/draw_predictions.py."""

import json

import cv2
import numpy as np
import pytest

from hrvmamba.datasets import make_synthetic_coco


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A data set, and predictions that are the truth."""
    folder = make_synthetic_coco(
        tmp_path_factory.mktemp("people") / "people", 1, 3, image_size=(96, 80), workers=1
    )
    truth = json.loads((folder / "annotations/person_keypoints_val.json").read_text())
    predictions = []
    for person in truth["annotations"]:
        keypoints = np.reshape(person["keypoints"], (17, 3)).astype(float)
        keypoints[:, 2] = np.where(keypoints[:, 2] > 0, 0.9, 0.0)
        predictions.append(
            {
                "image_id": person["image_id"],
                "category_id": 1,
                "keypoints": keypoints.ravel().tolist(),
                "score": 0.8,
            }
        )
    (folder.parent / "results.json").write_text(json.dumps(predictions))
    return folder


@pytest.fixture
def files(people, tmp_path):
    """The tool's arguments by name."""
    return {
        "annotations": people / "annotations/person_keypoints_val.json",
        "images": people / "val",
        "results": people.parent / "results.json",
        "out": tmp_path / "out.png",
    }


def test_true_predictions_look_like_the_truth_and_low_scores_are_left_out(run_tool, files):
    """One pair: its halves are equal, but not where no prediction is scored enough."""
    differences = []
    for threshold in (0.3, 0.95):
        options = ("--count", 1, "--score-threshold", threshold)
        run_tool("draw_predictions", *files.values(), *options)
        picture = cv2.imread(str(files["out"])).astype(int)
        height, width = picture.shape[:2]
        body = picture[height // 3 : -4]  # below the titles
        half = width // 2
        left, right = body[:, 8 : half - 8], body[:, half + 8 : width - 8]
        shifts = [
            np.abs(left - np.roll(right, shift, axis=1))[:, 8:-8].mean() for shift in range(-9, 10)
        ]
        differences.append(min(shifts))
    assert differences[0] < 2 < differences[1]
    assert not list(files["out"].parent.glob(".*"))  # no temporary file


def test_grid_grows_with_count_up_to_the_images_there_are(run_tool, files, capfd):
    heights = {}
    for count in (1, 3, 50):
        run_tool("draw_predictions", *files.values(), "--count", count)
        assert f"{min(count, 3)} images" in capfd.readouterr().out
        heights[count] = cv2.imread(str(files["out"])).shape[0]
    assert heights[1] < heights[3] == heights[50]


@pytest.mark.parametrize("broken", ["annotations", "results"])
@pytest.mark.parametrize("content", [None, "{ no json", "3", '[{"image_id": 1}]', "{}"])
def test_missing_and_ill_formed_files_are_named(refused, files, tmp_path, broken, content):
    files[broken] = tmp_path / "given.json"
    if content is not None:
        files[broken].write_text(content)
    assert str(files[broken]) in refused("draw_predictions", *files.values())
    assert not files["out"].exists()


def test_missing_images_are_named(refused, files, tmp_path):
    files["images"] = tmp_path
    expected = str(tmp_path / "000000000001.jpg")
    assert expected in refused("draw_predictions", *files.values())
    assert not files["out"].exists()


def test_results_of_another_set_are_refused(refused, files, tmp_path):
    predictions = json.loads(files["results"].read_text())
    predictions[0]["image_id"] = 777
    files["results"] = tmp_path / "other.json"
    files["results"].write_text(json.dumps(predictions))
    assert "777" in refused("draw_predictions", *files.values())


def test_count_is_checked(refused, files):
    assert "--count: got 0" in refused("draw_predictions", *files.values(), "--count", 0)
