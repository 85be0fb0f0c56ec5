"""docs/inference.md: its lines of NumPy do what they say."""

import re

import cv2
import numpy as np
import pytest
import torch

import hrvmamba  # noqa: F401  (lets MMPose import)

pytest.importorskip("mmpose")

from hrvmamba.integrations.config import load_config
from hrvmamba.integrations.model_configs import build_model


def test_the_lines_of_numpy(repository, tmp_path, monkeypatch, image):
    page = (repository / "docs/inference.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    (block,) = (block for block in blocks if "supervision" not in block)
    monkeypatch.chdir(tmp_path)
    model = build_model(load_config("hrvmamba-tiny", None, ("model",)))
    torch.save({"state_dict": model.state_dict()}, "hrvmamba_tiny.pth")
    height, width = image.shape[:2]
    cv2.imwrite("picture.jpg", image)

    found: dict = {}
    exec(block, found)
    result = found["result"]
    for array, shape in re.findall(r"^result\.(\w+)  # \((.+)\)", block, re.M):
        assert getattr(result, array).shape == tuple(map(int, shape.split(","))), array
    assert found["coco"].shape == (2, 51)
    np.testing.assert_array_equal(found["coco"][:, 3:5], result.keypoints[:, 1])
    np.testing.assert_array_equal(found["coco"][:, 5], result.scores[:, 1])
    assert found["corners"].tolist() == [[20, 10, 130, 190], [60, 5, 150, 175]]
    np.testing.assert_allclose(found["shares"] * (width, height), result.keypoints, rtol=1e-6)
    np.testing.assert_array_equal(found["wrists"], result.keypoints[:, 9])
    with np.load("people.npz") as people:
        np.testing.assert_array_equal(people["scores"], result.scores)
    assert cv2.imread("drawn.jpg").shape == image.shape
