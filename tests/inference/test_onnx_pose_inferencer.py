"""Exported models by onnxruntime and NumPy, against MMPose with the same heatmaps."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch import nn

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("mmpose")

from hrvmamba.export.config_card import config_card  # noqa: E402
from hrvmamba.inference import OnnxPoseInferencer, PoseInferencer  # noqa: E402

BOXES = np.array(
    [[12.5, 8.0, 40.25, 90.0], [60.0, 20.0, 55.0, 30.5], [-10.0, 50.0, 80.0, 90.0]], np.float32
)


def write(path, card, seed=0):
    """An ONNX file with a card whose heatmaps are one convolution of the crops."""
    rng = np.random.default_rng(seed)
    keypoints, (width, height) = len(card.keypoint_names), card.input_size
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["": 17]>
        network (float[batch, 3, {height}, {width}] images)
        => (float[batch, {keypoints}, {height // 4}, {width // 4}] heatmaps)
        {{ heatmaps = Conv <kernel_shape = [4, 4], strides = [4, 4]> (images, weight) }}""")
    weight = rng.normal(size=(keypoints, 3, 4, 4)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "weight"))
    if card is not None:
        onnx.helper.set_model_props(model, card.properties())
    onnx.save(model, path)
    return path


class Runtime(nn.Module):
    """An ONNX file in the place of a model's backbone and the layers of its head."""

    def __init__(self, path):
        super().__init__()
        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def forward(self, crops):
        (heatmaps,) = self.session.run(None, {"images": crops.numpy()})
        return (torch.from_numpy(heatmaps),)


def pair(weights, path, options, **asked):
    """The same heatmaps by MMPose's pipeline and by ours."""
    config = Config.fromfile(weights[0])
    config.merge_from_dict(options)
    theirs = PoseInferencer(config, weights[1], **asked)
    write(path, config_card(theirs))
    theirs.model.backbone = Runtime(path)
    for layers in ("deconv_layers", "conv_layers", "final_layer"):
        setattr(theirs.model.head, layers, nn.Identity())
    return theirs, OnnxPoseInferencer(path, **asked)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"model.test_cfg.flip_test": False},
        {"model.test_cfg.shift_heatmap": False},
        {"model.head.decoder.unbiased": True},
        {"model.head.decoder.type": "UDPHeatmap"},
        {"model.data_preprocessor.bgr_to_rgb": False},
        {"test_dataloader.dataset.pipeline.1.padding": 1.6},
        {"test_dataloader.dataset.pipeline.2.use_udp": True},
    ],
    ids=str,
)
def test_results_are_those_of_the_config(weights, image, path, options):
    theirs, ours = pair(weights, path, options, heatmaps=True)
    (expected,), (result,) = (infer(image, BOXES) for infer in (theirs, ours))
    assert len(np.unique(expected.keypoints[0], axis=0)) > 5
    np.testing.assert_allclose(result.heatmaps, expected.heatmaps, atol=1e-4)
    np.testing.assert_allclose(result.scores, expected.scores, atol=1e-4)
    np.testing.assert_allclose(result.keypoints, expected.keypoints, atol=0.02)  # pixels
    np.testing.assert_array_equal(result.crops, expected.crops)
    np.testing.assert_array_equal(result.boxes, BOXES)


def test_images_come_in_batches_from_files_and_arrays(weights, image, path, tmp_path):
    theirs, ours = pair(weights, path, {}, batch_size=2)
    cv2.imwrite(str(tmp_path / "image.png"), image)
    images = [tmp_path / "image.png", image[:90], str(tmp_path / "image.png")]
    boxes = [BOXES, np.zeros((0, 4)), None]
    for result, expected in zip(ours(images, boxes), theirs(images, boxes), strict=True):
        np.testing.assert_allclose(result.keypoints, expected.keypoints, atol=0.02)
        assert result.heatmaps is None
    assert not ours.returns_heatmaps
    assert ours.skeleton.names == theirs.skeleton.names
    np.testing.assert_array_equal(ours.skeleton.link_colours, theirs.skeleton.link_colours)


def test_bad_images_are_named(weights, path, tmp_path):
    _, ours = pair(weights, path, {})
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    for name in ("bad.jpg", "missing.jpg"):
        with pytest.raises(ValueError, match=rf"the image .*{name} (is damaged|cannot be read)"):
            ours(tmp_path / name)
    with pytest.raises(ValueError, match="an image must be"):
        ours(np.zeros((4, 4, 3), np.float32))


def test_files_that_are_no_such_models_are_refused(weights, path, tmp_path):
    card = config_card(PoseInferencer(*weights))
    with pytest.raises(FileNotFoundError, match=r"the model .*missing\.onnx does not exist"):
        OnnxPoseInferencer(tmp_path / "missing.onnx")
    path.write_bytes(b"no model")
    with pytest.raises(ValueError, match="is no ONNX model that onnxruntime can run"):
        OnnxPoseInferencer(path)
    write(path, card)
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)
    with pytest.raises(ValueError, match="not a pose model that `hrvmamba export` wrote"):
        OnnxPoseInferencer(path)


def test_a_device_that_onnxruntime_lacks_is_refused(weights, path):
    write(path, config_card(PoseInferencer(*weights)))
    with pytest.raises(ValueError, match="onnxruntime has no device 'tpu'"):
        OnnxPoseInferencer(path, "tpu")
