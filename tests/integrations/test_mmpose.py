import json
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.fileio import LocalBackend

from hrvmamba.integrations.mmpose import (
    ConfigError,
    WholeFileBackend,
    boxes_used,
    build_model,
    check_coco_keypoints,
    check_detections,
    check_image_info,
    check_input_size,
    check_results,
    datasets,
    load_config,
    unreadable_image,
    use_ground_truth_boxes,
    use_test_dev,
)

IMAGE = {"id": 1, "file_name": "1.jpg", "width": 64, "height": 64}
PERSON = {"id": 5, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "keypoints": [1] * 51}
BOX = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.5}
RESULT = {"image_id": 1, "category_id": 1, "keypoints": [1.0] * 51, "score": 0.5}


@pytest.fixture
def write(tmp_path):
    def write(content) -> Path:
        path = tmp_path / "file.json"
        path.write_text(json.dumps(content))
        return path

    return write


def annotations(**changes) -> dict:
    return {"images": [IMAGE], "annotations": [PERSON], "categories": [{"id": 1}]} | changes


def without(content: dict, key: str) -> dict:
    return {name: value for name, value in content.items() if name != key}


def test_coco_keypoints(write):
    assert check_coco_keypoints(write(annotations())) == {1}
    # COCO's crowds and an instance file's other objects have no keypoints of their own.
    mixed = annotations(annotations=[PERSON, without(PERSON, "keypoints")])
    assert check_coco_keypoints(write(mixed)) == {1}
    hand = annotations(annotations=[PERSON | {"keypoints": [1] * 63}])
    assert check_coco_keypoints(write(hand), num_keypoints=None) == {1}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "holds a list"),
        (annotations(images="1.jpg"), "no list 'images'"),
        (annotations(images=[]), "lists no images"),
        (annotations(images=[without(IMAGE, "height")]), "image 1 has no height"),
        (annotations(annotations=[]), "none of its 0 annotations has 'keypoints'"),
        (annotations(annotations=[without(PERSON, "keypoints")]), "none of its 1"),
        (annotations(annotations=[without(PERSON, "bbox")]), "annotation 5 has no bbox"),
        (annotations(annotations=[PERSON | {"keypoints": [1] * 42}]), "need 51"),
        (annotations(annotations=[PERSON | {"image_id": 2}]), "image 2, which 'images' lacks"),
        (without(annotations(), "categories"), "no list 'categories'"),
    ],
)
def test_not_coco_keypoints(write, content, words):
    with pytest.raises(ConfigError, match=words) as error:
        check_coco_keypoints(write(content))
    assert "file.json" in str(error.value)


def test_image_info(write):
    content = without(annotations(), "annotations")
    assert check_image_info(write(content)) == {1}
    with pytest.raises(ConfigError, match="no list 'annotations'"):
        check_coco_keypoints(write(content))


def test_detections(write):
    check_detections(write([BOX]), {1}, "")
    for content, words in (
        ({}, "list of boxes"),
        ([], "list of boxes"),
        ([BOX, without(BOX, "score")], "box 1 has no score"),
        ([BOX | {"image_id": 2}], "box 0 is of image 2"),
    ):
        with pytest.raises(ConfigError, match=words):
            check_detections(write(content), {1}, "")
    with pytest.raises(ConfigError, match=r"none\.json does not exist.*https://.*or go without"):
        check_detections(Path("none.json"), {1}, "or go without")


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ({}, "list of objects"),
        ([RESULT, RESULT | {"bbox": [0, 0, 1, 1]}], "result 1 has"),
        ([without(RESULT, "score")], "result 0 has"),
        ([RESULT | {"image_id": 2}], "image_id 2"),
        ([RESULT | {"image_id": 1.0}], "image_id 1.0"),
        ([RESULT | {"category_id": 2}], "category_id is 2"),
        ([RESULT | {"keypoints": [1.0] * 50}], "51 numbers"),
        ([RESULT | {"keypoints": [float("nan")] * 51}], "finite"),
        ([RESULT | {"score": float("inf")}], "finite"),
        ([RESULT | {"score": "high"}], "finite"),
    ],
)
def test_results_of_another_form(results, words):
    check_results([RESULT], {1})
    with pytest.raises(ValueError, match=words):
        check_results(results, {1})


def loader(**dataset) -> dict:
    return {"dataset": {"type": "CocoDataset", "data_root": "data/coco/"} | dataset}


def test_boxes():
    config = Config({"test_dataloader": loader(bbox_file="boxes.json")})
    assert boxes_used(config) == "boxes: detections from boxes.json"
    use_ground_truth_boxes(config)
    assert boxes_used(config) == "boxes: ground truth (NOT comparable with AP on detected boxes)"
    use_test_dev(config)
    assert boxes_used(config) == (
        "boxes: detections from data/coco/person_detection_results/"
        "COCO_test-dev2017_detections_AP_H_609_person.json"
    )
    assert config.test_evaluator.ann_file == "data/coco/annotations/image_info_test-dev2017.json"
    assert config.test_evaluator.format_only


def test_wrapped_datasets():
    one, two = {"ann_file": "one"}, {"ann_file": "two"}
    combined = {"type": "CombinedDataset", "datasets": [one, {"dataset": two, "times": 3}]}
    assert list(datasets(combined)) == [one, two]
    assert list(datasets(one)) == [one]


def test_input_size():
    affine = {"type": "TopdownAffine", "input_size": (32, 32)}
    config = Config({"train_dataloader": loader(pipeline=[{"type": "LoadImage"}, affine])})
    check_input_size(config)
    config.train_dataloader.dataset.pipeline[1].input_size = (192, 31)
    with pytest.raises(ConfigError, match="TopdownAffine of train_dataloader is 192 x 31"):
        check_input_size(config)


def test_head_of_another_backbone(repository):
    """A head is checked against HRVMamba alone: other backbones do not tell their channels."""
    config = Config.fromfile(repository / "configs/coco/hrvmamba_nano_256x192.py")
    config.model.head.in_channels = 32
    with pytest.raises(ConfigError, match=r"is 32, but the backbone gives 8 .*in_channels=8$"):
        build_model(config)
    config.model.backbone = {"type": "ResNet", "depth": 18}
    assert build_model(config).head.in_channels == 32


def test_config_with_a_missing_part(tmp_path):
    path = tmp_path / "config.py"
    path.write_text("model = dict(type='TopdownPoseEstimator')\n")
    assert load_config(path, {"model.type": "Other"}, ["model"]).model.type == "Other"
    with pytest.raises(ConfigError, match=r"config\.py has no train_dataloader, optim_wrapper"):
        load_config(path, None, ["model", "train_dataloader", "optim_wrapper"])


def test_files_are_written_whole(tmp_path, monkeypatch):
    path = tmp_path / "epoch_1.pth"
    backend = WholeFileBackend()
    backend.put(b"first", path)
    backend.put_text("text", tmp_path / "text")
    assert (path.read_bytes(), (tmp_path / "text").read_text()) == (b"first", "text")

    def interrupted(self, content, filepath):
        Path(filepath).write_bytes(content[:2])
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalBackend, "put", interrupted)
    with pytest.raises(KeyboardInterrupt):
        backend.put(b"second", path)
    assert path.read_bytes() == b"first"


def test_unreadable_image(tmp_path):
    from mmpose.datasets.transforms import LoadImage

    for name, content in (("empty.jpg", b""), ("text.jpg", b"text"), ("missing.jpg", None)):
        path = str(tmp_path / name)
        if content is not None:
            Path(path).write_bytes(content)
        with pytest.raises(Exception, match=name) as raised:
            LoadImage()({"img_path": path})
        assert unreadable_image(raised.value) == path
    assert unreadable_image(ValueError("another")) is None


def test_import_is_cheap(run_python):
    """The package imports this module wherever MMPose is installed: MMPose's models stay out."""
    run = run_python(
        "import hrvmamba.integrations.mmpose, sys; print('mmpose.models' in sys.modules)"
    )
    assert run.stdout.strip() == "False", run.stderr
