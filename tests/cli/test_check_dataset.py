import json

import cv2
import numpy as np
import pytest


@pytest.fixture
def annotations(tmp_path):
    """A file of 13 people with two keypoints in one image."""
    cv2.imwrite(str(tmp_path / "a.png"), np.full((60, 80, 3), 90, np.uint8))
    image = {"id": 1, "file_name": "a.png", "width": 80, "height": 60}
    person = {"image_id": 1, "category_id": 1, "bbox": [10, 5, 40, 50], "area": 1060, "iscrowd": 0}
    person |= {"keypoints": [20, 10, 2, 30, 40, 1], "num_keypoints": 2}
    category = {"id": 1, "name": "dog", "keypoints": ["nose", "tail"], "skeleton": [[1, 2]]}
    people = [person | {"id": number} for number in range(1, 14)]
    path = tmp_path / "mine.json"
    path.write_text(
        json.dumps({"images": [image], "annotations": people, "categories": [category]})
    )
    return path


def change(path, **values):
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:
        annotation.update(values)
    path.write_text(json.dumps(content))


def test_a_sound_file(command, annotations, tmp_path, capsys):
    assert command("check-dataset", annotations, "--images", tmp_path, "--people", 5) == 0
    said = capsys.readouterr().out
    assert "1 images, 13 annotations, 13 with keypoints" in said and "no problems" in said
    assert said.splitlines()[3].split() == ["nose", "13", "13"]
    assert said.splitlines()[4].split() == ["tail", "13", "0"]
    assert "mine_sheet.jpg: 5 people" in said
    picture = cv2.imread(str(tmp_path / "current/mine_sheet.jpg"))
    assert picture.shape[1] == 6 + 6 * 246


def test_problems_are_listed_by_kind(command, annotations, tmp_path, capsys):
    change(annotations, category_id=2, keypoints=[20, 10, 5, 30, 40, 1])
    (tmp_path / "a.png").unlink()
    sheet = tmp_path / "sheet.png"
    status = command("check-dataset", annotations, "--images", tmp_path, "--out", sheet)
    assert status == 1 and not sheet.exists()
    said = capsys.readouterr().out
    assert "27 problems" in said
    assert "\nids: 13\n  annotation 1: category_id 2 is no category's\n" in said
    assert "\nvisibility: 13\n" in said and said.count("... and 3 more") == 2
    assert "a.png: cannot be read" in said and "no annotated person can be drawn" in said


def test_without_images_they_are_not_looked_at(command, annotations, tmp_path, capsys):
    assert command("check-dataset", annotations) == 0
    assert "name their folder with --images" in capsys.readouterr().out
    assert not any((tmp_path / "current").iterdir())


def test_a_config_tells_the_keypoints(command, annotations, repository, capsys):
    pytest.importorskip("mmpose")
    config = repository / "configs/coco/hrvmamba_nano_256x192.py"
    assert command("check-dataset", annotations, "--config", config) == 1
    said = capsys.readouterr().out
    assert "its 2 keypoints are not the config's 17: number 1 is tail here" in said
    assert "keypoints: 13" in said and "51 numbers; got 6 numbers" in said


def test_refuses(refused, annotations, tmp_path, repository):
    assert "does not exist" in refused("check-dataset", "none.json")
    assert "no folder none" in refused("check-dataset", annotations, "--images", "none")
    assert "must end in .jpg" in refused("check-dataset", annotations, "--out", "a.txt")
    assert "--people: got 0" in refused("check-dataset", annotations, "--people", 0)
    (tmp_path / "bad.json").write_text("{")
    assert "not a readable JSON" in refused("check-dataset", tmp_path / "bad.json")
    pytest.importorskip("mmpose")
    config = tmp_path / "config.py"
    config.write_text(
        f"_base_ = ['{repository}/configs/custom/hrvmamba_tiny_256x192.py']\n"
        "model = dict(head=dict(out_channels=17))\n"
    )
    said = refused("check-dataset", annotations, "--config", config)
    assert "out_channels is 17, but the data set has 7 keypoints" in said
