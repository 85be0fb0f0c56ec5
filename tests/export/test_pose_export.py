"""Exporting poses, with one convolution in place of the backbone."""

import json

import pytest
import torch
from torch import nn

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("mmpose")

from hrvmamba.export import pose_export  # noqa: E402
from hrvmamba.export.agreement import Tolerance  # noqa: E402
from hrvmamba.export.config_card import config_card  # noqa: E402
from hrvmamba.export.pose_export import DisagreementError, export_pose, randomise  # noqa: E402
from hrvmamba.inference import OnnxPoseInferencer, PoseInferencer  # noqa: E402
from hrvmamba.inference.pose_card import PoseCard  # noqa: E402


class Convolution(nn.Module):
    out_channels = (8,)

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 4, stride=4)

    def forward(self, images):
        return (self.convolution(images),)


@pytest.fixture
def infer(weights):
    infer = PoseInferencer(*weights)
    infer.model.backbone = Convolution().eval()
    return infer


def export(infer, path, **options):
    return export_pose(infer, path, timing_seconds=0.01, **options)


@pytest.mark.parametrize("half", [False, True])
def test_onnx_files_agree_and_hold_their_card(infer, tmp_path, half):
    path, steps = tmp_path / "new" / "model.onnx", []
    done = export(infer, path, half=half, opset=18, tell=steps.append)
    assert steps == ["exporting", "comparing with PyTorch", "timing"]
    assert done.path == path and done.size == path.stat().st_size
    assert done.agreement.within(done.tolerance)
    assert (done.agreement.relative > 1e-5) == half
    model = onnx.load(path)
    assert done.nodes == len(model.graph.node)
    assert [item.version for item in model.opset_import] == [18] == [done.opset]
    assert (model.graph.input[0].name, model.graph.output[0].name) == ("images", "heatmaps")
    assert OnnxPoseInferencer(path).card == config_card(infer)
    pytorch, runtime = done.timings
    assert pytorch.startswith("PyTorch") and runtime.startswith("onnxruntime")
    assert all(timing.median > 0 for timing in done.timings.values())


def test_programs_agree_and_hold_their_card(infer, tmp_path):
    path = tmp_path / "model.pt2"
    done = export(infer, path)
    assert done.agreement.within(done.tolerance)
    extra = {pose_export.CARD_FILE: ""}
    program = torch.export.load(path, extra_files=extra)
    assert PoseCard.of_properties(json.loads(extra[pose_export.CARD_FILE])) == config_card(infer)
    images = torch.randn(5, 3, 64, 48)
    expected = infer.model(images, None, mode="tensor")
    torch.testing.assert_close(program.module()(images), expected)


def test_a_file_that_does_not_agree_is_not_kept(infer, tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"an earlier one")
    monkeypatch.setattr(pose_export, "FLOAT", Tolerance(relative=0, rms=0, same_maxima=2))
    message = r"model\.onnx is not kept: .* largest difference .*; needed: relative"
    with pytest.raises(DisagreementError, match=message):
        export(infer, path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    assert path.read_bytes() == b"an earlier one"


def test_random_weights_make_every_operator_count(weights):
    with pytest.warns(UserWarning, match="no checkpoint"):
        infer = PoseInferencer(weights[0])
    randomise(infer)
    images = torch.randn(2, 3, 64, 48)
    sampling = [m.offset_mask for m in infer.model.modules() if hasattr(m, "offset_mask")]
    with torch.no_grad():
        single = infer.model(images, None, mode="tensor")
        double = infer.model.double()(images.double(), None, mode="tensor")
        varying = double - double.mean((2, 3), keepdim=True)
        # Rounding errors do not decide what comes out...
        assert (single - double).abs().max() < 1e-4 * varying.std()
        for layer in sampling:
            layer.weight.data[0] *= 1.5  # ...and one offset of each layer does in part
        moved = infer.model(images.double(), None, mode="tensor")
    assert (moved - double).abs().max() > 1e-2 * varying.std()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("model.engine", {}, r"must end in \.onnx or \.pt2, got .*model\.engine"),
        ("model.pt2", {"half": True}, r"16 bits are for \.onnx files alone"),
        ("model.pt2", {"opset": 17}, r"an opset is for \.onnx files alone"),
        ("model.onnx", {"opset": 11}, "the opset must be from 17 to 20, got 11"),
        ("model.onnx", {"opset": 21}, "the opset must be from 17 to 20, got 21"),
    ],
)
def test_other_files_are_refused(infer, tmp_path, name, options, message):
    with pytest.raises(ValueError, match=message):
        export(infer, tmp_path / name, **options)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "function", "message"),
    [
        ("model.onnx", torch.special.bessel_j0, "there is no exporting this network: .*bessel_j0"),
        (
            "model.pt2",
            lambda images: images if images.sum() > 0 else -images,
            "torch.export does not take this model: .* must be compiled: `hrvmamba check` says",
        ),
    ],
)
def test_models_that_cannot_be_exported_are_refused(
    infer, tmp_path, monkeypatch, name, function, message
):
    monkeypatch.setattr(pose_export, "MISSING_KERNELS", {"cpu": "they are not built"})
    convolution = infer.model.backbone.convolution
    convolve = convolution.forward
    monkeypatch.setattr(convolution, "forward", lambda images: convolve(function(images)))
    with pytest.raises(ValueError, match=message):
        export(infer, tmp_path / name)
    assert not any(tmp_path.iterdir())
