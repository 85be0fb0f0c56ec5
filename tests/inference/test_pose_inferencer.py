"""The inferencer against MMPose's own inference with the same model."""

import json
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

import hrvmamba  # noqa: F401  (lets MMPose import)
from hrvmamba.datasets.keypoints import KEYPOINTS
from hrvmamba.inference import PoseInferencer
from hrvmamba.integrations.config import ConfigError

mmpose = pytest.importorskip("mmpose.apis.inference")

BOXES = np.array(
    [[12.5, 8.0, 40.25, 90.0], [60.0, 20.0, 55.0, 30.5], [-10.0, 50.0, 80.0, 90.0]], np.float32
)


def with_options(weights, **options) -> Config:
    config = Config.fromfile(weights[0])
    config.merge_from_dict(options)
    return config


def expected(config, checkpoint, image, boxes):
    """MMPose's results, one person at a time."""
    model = mmpose.init_model(config, None, device="cpu")
    model.load_state_dict(torch.load(checkpoint, weights_only=True)["state_dict"])
    samples = mmpose.inference_topdown(model, image, boxes, bbox_format="xywh")
    return [sample.pred_instances for sample in samples]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"model.test_cfg.flip_test": False},
        {"model.test_cfg.shift_heatmap": False},
        {"model.head.decoder.type": "UDPHeatmap"},
    ],
    ids=str,
)
def test_results_are_mmposes(weights, image, options):
    config = with_options(weights, **options)
    people = expected(config, weights[1], image, BOXES.copy())
    (result,) = PoseInferencer(config, weights[1])(image, BOXES)
    assert result.keypoints.shape == (3, 17, 2) and result.scores.shape == (3, 17)
    assert len(np.unique(result.keypoints[0], axis=0)) > 5  # not all in one place
    for index, person in enumerate(people):
        np.testing.assert_array_equal(result.keypoints[index], person.keypoints[0].astype("f4"))
        np.testing.assert_array_equal(result.scores[index], person.keypoint_scores[0])
        np.testing.assert_array_equal(result.box_scores[index], person.bbox_scores[0])
    np.testing.assert_array_equal(result.boxes, BOXES)
    assert result.heatmaps is None


def test_the_whole_image_is_the_box_where_there_is_none(weights, image, tmp_path):
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), image)
    infer = PoseInferencer(*weights)
    (person,) = expected(weights[0], weights[1], str(path), None)
    for given in (image, path, str(path)):
        (result,) = infer(given)
        np.testing.assert_array_equal(result.keypoints[0], person.keypoints[0].astype("f4"))
        np.testing.assert_array_equal(result.boxes, [[0, 0, 170, 130]])


def test_batches_run_across_images(weights, image):
    images = [image, image[:90], image[:, :100], image[20:]]
    boxes = [BOXES, np.zeros((0, 4)), None, BOXES[:2]]
    sizes = []
    infer = PoseInferencer(*weights, batch_size=4)
    infer.model.backbone.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    results = infer(images, boxes)
    assert [len(result) for result in results] == [3, 0, 1, 2]
    assert sizes == [4, 4, 2, 2]  # each batch twice, for the flip test
    assert results[1].keypoints.shape == (0, 17, 2) and results[1].crops.shape == (0, 4)
    alone = PoseInferencer(*weights, batch_size=1)
    for one, its_boxes, result in zip(images, boxes, results, strict=True):
        (single,) = alone(one, its_boxes)
        np.testing.assert_allclose(result.keypoints, single.keypoints, atol=1e-3)
        np.testing.assert_allclose(result.scores, single.scores, atol=1e-4)


def test_a_stream_takes_no_more_ahead_than_a_batch(weights, image):
    taken = []

    def images():
        for number in range(12):
            taken.append(number)
            yield image, BOXES[:1] if number == 0 else [], [0.5] if number == 0 else []

    results = PoseInferencer(*weights, batch_size=3).stream(images())
    first = next(results)
    assert len(first) == 1 and first.box_scores == [0.5]
    assert taken == [0, 1, 2, 3]
    assert [len(result) for result in results] == [0] * 11


def test_heatmaps_lie_over_their_crops(weights, image):
    config = with_options(weights, **{"model.test_cfg.flip_test": False})
    infer = PoseInferencer(config, weights[1], heatmaps=True)
    result, nobody = infer([image, image], [BOXES, []])
    assert result.heatmaps.shape == (3, 17, 16, 12) and nobody.heatmaps.shape == (0, 17, 16, 12)
    np.testing.assert_allclose(result.heatmaps.max((2, 3)), result.scores)
    width = np.maximum(BOXES[:, 2], BOXES[:, 3] * 48 / 64) * 1.25  # padded, of the crop's shape
    np.testing.assert_allclose(result.crops[:, 2], width, rtol=1e-5)
    np.testing.assert_allclose(result.crops[:, 3], width * 64 / 48, rtol=1e-5)
    centres = result.crops[:, :2] + result.crops[:, 2:] / 2
    np.testing.assert_allclose(centres, BOXES[:, :2] + BOXES[:, 2:] / 2, rtol=1e-5)
    # A keypoint is where its heatmap is highest, but for a quarter of a heatmap's pixel.
    flat = result.heatmaps.reshape(3, 17, -1).argmax(-1)
    peaks = np.stack([flat % 12, flat // 12], -1)
    pixel = (result.crops[:, 2:] / [12, 16])[:, None]
    distance = np.abs(result.crops[:, None, :2] + peaks * pixel - result.keypoints)
    found = result.scores > 0  # MMPose gives others no place
    assert found.sum() > 17 and (distance <= 0.26 * pixel)[found].all()


def test_scores_of_people_are_those_of_mmposes_metric(weights, image, tmp_path):
    from mmpose.evaluation.metrics import CocoMetric

    (result,) = PoseInferencer(*weights).stream([(image, BOXES, [0.9, 0.5, 0.7])])
    images = [{"id": 1, "file_name": "a.png", "width": 170, "height": 130}]
    person = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 900.0}
    person |= {"bbox": [0, 0, 9, 9], "keypoints": [1, 1, 2] * 17, "num_keypoints": 17}
    category = {"id": 1, "name": "person", "keypoints": list(KEYPOINTS), "skeleton": []}
    truth = {"images": images, "annotations": [person], "categories": [category]}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    prefix = str(tmp_path / "results")
    metric = CocoMetric(
        str(tmp_path / "truth.json"), format_only=True, outfile_prefix=prefix, nms_mode="none"
    )
    metric.dataset_meta = PoseInferencer(*weights).metainfo
    preds = {
        "id": np.arange(3),
        "img_id": 1,
        "category_id": 1,
        "keypoints": result.keypoints,
        "keypoint_scores": result.scores,
        "bbox_scores": result.box_scores,
    }
    metric.compute_metrics([(preds | {"id": i, **one(preds, i)}, {}) for i in range(3)])
    written = json.loads(Path(f"{prefix}.keypoints.json").read_text())
    np.testing.assert_allclose(
        [entry["score"] for entry in written], result.person_scores, rtol=1e-5
    )


def one(preds, index):
    return {key: preds[key][[index]] for key in ("keypoints", "keypoint_scores", "bbox_scores")}


def test_the_skeleton_is_the_data_sets(weights):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        skeleton = PoseInferencer(*weights).skeleton
    assert skeleton.names == KEYPOINTS
    assert (15, 13) in skeleton.links and len(skeleton.links) == len(skeleton.link_colours) == 19
    assert skeleton.keypoint_colours[0].tolist() == [51, 153, 255]


def test_random_weights_are_told(weights, image):
    with pytest.warns(UserWarning, match="random"):
        infer = PoseInferencer(weights[0])
    assert len(infer(image)) == 1


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([[1, 2, 3]], r"boxes must be \(N, 4\)"),
        ([1, 2, 3, 4], r"boxes must be \(N, 4\)"),
        ([[1, 2, 0, 4]], "above 0"),
        ([[1, 2, float("nan"), 4]], "above 0"),
    ],
)
def test_bad_boxes(weights, image, boxes, expected):
    with pytest.raises(ValueError, match=expected):
        PoseInferencer(*weights)(image, boxes)


def test_bad_images(weights, image, tmp_path):
    infer = PoseInferencer(*weights)
    (tmp_path / "no.jpg").write_bytes(b"no image")
    for path in (tmp_path / "no.jpg", tmp_path / "none.jpg"):
        with pytest.raises(ValueError, match=f"the image {path} cannot be read"):
            infer(path)
    with pytest.raises(ValueError, match=r"an image must be \(H, W, 3\), uint8"):
        infer(image.astype(np.float32))
    with pytest.raises(ValueError, match="boxes of 1 images, needs those of 2"):
        infer([image, image], [None])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"default_scope": "mmseg"}, "one of mmseg"),
        ({"model.head.out_channels": 21}, "out_channels is 21, but the data set has 17"),
        ({"test_dataloader.dataset.pipeline": [{"type": "LoadImage"}]}, "not one of a top-down"),
        ({"test_dataloader.dataset.metainfo": {"dataset_name": "x"}}, "metainfo must have"),
        ({"test_dataloader.dataset.type": "NoDataset"}, "NoDataset is none of MMPose's"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_other_configs_are_refused(weights, options, expected):
    with pytest.raises(ConfigError, match=expected):
        PoseInferencer(with_options(weights, **options), weights[1])


def test_other_arguments_are_refused(weights, tmp_path):
    with pytest.raises(ValueError, match="does not fit the model"):
        torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "a.pth")
        PoseInferencer(weights[0], tmp_path / "a.pth")
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        PoseInferencer(*weights, batch_size=0)
    with pytest.raises(ValueError, match="cpu or cuda"):
        PoseInferencer(*weights, "tpu")
    with pytest.raises(FileNotFoundError):
        PoseInferencer(weights[0], "none.pth")
