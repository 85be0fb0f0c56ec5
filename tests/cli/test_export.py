"""`hrvmamba export`, and what it wrote in `hrvmamba infer --onnx`, without PyTorch."""

import contextlib
import io
import json
import re

import cv2
import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("mmpose")

from hrvmamba.cli.main import main  # noqa: E402
from hrvmamba.export.pose_export import DisagreementError  # noqa: E402
from hrvmamba.inference import OnnxPoseInferencer, PoseInferencer  # noqa: E402

BOXES = np.array([[12.5, 8.0, 40.25, 90.0], [60.0, 20.0, 55.0, 30.5]], np.float32)


@pytest.fixture(scope="module")
def export(weights, tmp_path_factory):
    """A file of the small model, and what the command said."""
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    arguments = ["export", "--config", weights[0], "--checkpoint", weights[1], "--out", path]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert main([*map(str, arguments), "--threads", "1"]) == 0
    return path, said.getvalue()


@pytest.fixture
def exported(export):
    return export[0]


def test_it_says_how_large_right_and_quick_the_file_is(export):
    path, said = export
    for text in (
        path.name,
        f"PyTorch {torch.__version__}, ms",
        f"onnxruntime {onnxruntime.__version__}, ms",
        f"{path.stat().st_size / 1e6:.1f}",
        "agreement with PyTorch: largest difference",
    ):
        assert text in said
    assert "random" not in said


def test_the_file_gives_the_keypoints_of_the_config(exported, weights, image):
    (expected,), (result,) = (
        infer(image, BOXES) for infer in (PoseInferencer(*weights), OnnxPoseInferencer(exported))
    )
    np.testing.assert_allclose(result.keypoints, expected.keypoints, atol=0.02)  # pixels
    np.testing.assert_allclose(result.scores, expected.scores, atol=2e-3)


def test_it_runs_without_pytorch(exported, run_python, image, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    cv2.imwrite(str(images / "12.png"), image)
    boxes = [
        {"image_id": 12, "category_id": 1, "bbox": box.tolist(), "score": 0.9} for box in BOXES
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    arguments = ["infer", images, "--onnx", exported, "--out", tmp_path / "out"]
    arguments += ["--boxes", tmp_path / "boxes.json", "--heatmaps"]
    done = run_python(f"""
import sys, warnings
warnings.simplefilter("error")
absent = ("torch", "torchvision", "mmengine", "mmcv", "mmpose", "onnx")
sys.modules.update(dict.fromkeys(absent))  # importing any of them is an ImportError
from hrvmamba.inference import OnnxPoseInferencer
from hrvmamba.cli.main import main
status = main({[str(argument) for argument in arguments]})
print("imported:", [name for name in absent if sys.modules[name] is not None])
sys.exit(status)
""")
    assert done.returncode == 0, done.stderr
    assert "imported: []" in done.stdout
    people = json.loads((tmp_path / "out/results.json").read_text())
    points = np.array([person["keypoints"] for person in people]).reshape(2, 17, 3)
    (expected,) = OnnxPoseInferencer(exported)(image, BOXES)
    np.testing.assert_allclose(points[..., :2], expected.keypoints, atol=1e-3)
    np.testing.assert_allclose(points[..., 2], expected.scores, atol=1e-3)
    drawn = cv2.imread(str(tmp_path / "out/overlays/12.png"))
    assert drawn.shape == image.shape and (drawn != image).any()


def test_without_a_checkpoint_it_says_that_the_weights_are_random(
    command, weights, monkeypatch, capsys
):
    def export(infer, path, **options):
        raise ValueError(f"exporting {type(infer).__name__} with {options['half']}")

    monkeypatch.setattr("hrvmamba.export.pose_export.export_pose", export)
    with pytest.raises(SystemExit):
        command("export", "--config", weights[0], "--out", "model.onnx", "--fp16")
    said = capsys.readouterr()
    assert said.out == "no checkpoint: the weights are random, the file is for timing alone\n"
    assert said.err == "error: exporting PoseInferencer with True\n"


def test_a_file_that_disagrees_is_told_by_the_exit_status(command, weights, monkeypatch, capsys):
    def export(infer, path, **options):
        raise DisagreementError(f"{path} is not kept: it disagrees")

    monkeypatch.setattr("hrvmamba.export.pose_export.export_pose", export)
    files = ("--config", weights[0], "--checkpoint", weights[1], "--out", "model.onnx")
    assert command("export", *files) == 1
    assert capsys.readouterr().err == "error: model.onnx is not kept: it disagrees\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "model.trt"], "must end in .onnx or .pt2, got model.trt"),
        (["--out", "model.onnx", "--opset", "9"], "the opset must be from 17 to 20, got 9"),
        (["--out", "model.pt2", "--fp16"], "16 bits are for .onnx files alone"),
        (["--out", "model.onnx", "--config", "no.py"], "the config file no.py does not exist"),
        (["--out", "model.onnx", "--threads", "0"], "--threads: got 0, needs at least 1"),
        (["--out", "model.onnx", "--checkpoint", "no.pth"], "no.pth"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(refused, weights, arguments, message):
    assert message in refused("export", "--config", weights[0], *arguments)


def test_a_checkpoint_that_does_not_fit_is_refused(refused, weights, tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"state_dict": {"backbone.stem.0.0.weight": torch.zeros(3)}}, path)
    arguments = ("--config", weights[0], "--checkpoint", path, "--out", "model.onnx")
    assert "does not fit the model" in refused("export", *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--config and --checkpoint are needed, or --onnx: got none"),
        (["--config", "a.py"], "--config and --checkpoint are needed, or --onnx: got --config"),
        (["--onnx", "a.onnx", "--config", "a.py"], "--onnx needs no --config"),
        (["--onnx", "a.onnx"], "the model a.onnx does not exist"),
    ],
    ids=str,
)
def test_infer_takes_a_config_or_a_file(refused, image, tmp_path, arguments, message):
    cv2.imwrite(str(tmp_path / "image.png"), image)
    said = refused("infer", tmp_path / "image.png", "--out", tmp_path / "out", *arguments)
    assert message in said


def test_infer_refuses_files_that_are_no_such_models(refused, exported, image, tmp_path):
    cv2.imwrite(str(tmp_path / "image.png"), image)
    other, part = tmp_path / "other.onnx", tmp_path / "part.onnx"
    onnx.save(
        onnx.parser.parse_model(
            '<ir_version: 8, opset_import: ["": 17]> g (float[1] x) => (float[1] y) {y = Relu(x)}'
        ),
        other,
    )
    content = exported.read_bytes()
    part.write_bytes(content[: len(content) // 2])
    for path, message in (
        (other, "it is not a pose model that `hrvmamba export` wrote"),
        (part, f"{part} is no ONNX model that onnxruntime can run"),
    ):
        said = refused("infer", tmp_path / "image.png", "--out", tmp_path / "out", "--onnx", path)
        assert message in said


def test_the_program_of_the_docs_gives_pytorchs_maxima(
    exported, weights, repository, run_python, image, tmp_path
):
    page = (repository / "docs/export.md").read_text()
    (program,) = (
        block
        for block in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        if "onnxruntime" in block
    )
    (tmp_path / "model.onnx").symlink_to(exported)
    cv2.imwrite(str(tmp_path / "person.png"), image)
    program = program.replace("person.jpg", "person.png")
    done = run_python(f"import os; os.chdir({str(tmp_path)!r})\n{program}")
    names, *numbers = zip(*(line.split() for line in done.stdout.splitlines()), strict=True)
    x, y, scores = np.array(numbers, float)

    infer = PoseInferencer(*weights)
    assert names == infer.skeleton.names
    crop = torch.from_numpy(cv2.resize(image, (48, 64)).transpose(2, 0, 1).copy())
    inputs = infer.model.data_preprocessor({"inputs": [crop], "data_samples": []})["inputs"]
    with torch.no_grad():
        (heatmaps,) = infer.model(inputs, None, mode="tensor")
    maxima = heatmaps.flatten(1).max(1)
    np.testing.assert_allclose(scores, maxima.values, rtol=1e-3)
    np.testing.assert_allclose(x, maxima.indices % 12 * 170 / 12)
    np.testing.assert_allclose(y, maxima.indices // 12 * 130 / 16)
