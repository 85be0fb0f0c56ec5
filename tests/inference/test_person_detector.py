import os
from urllib.error import URLError

import numpy as np
import pytest
import torch

from hrvmamba.inference.person_detector import PersonDetector

detection = pytest.importorskip("torchvision.models.detection")

NAME = "ssdlite320_mobilenet_v3_large"  # the smallest
LOAD = "torchvision.models._api.load_state_dict_from_url"
CPU = torch.device("cpu")


@pytest.fixture
def downloaded(monkeypatch):
    """Random weights in the place of those that torchvision downloads."""
    model = detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)
    monkeypatch.setattr(LOAD, lambda *arguments, **options: model.state_dict())


def test_a_detector_runs(downloaded, image):
    boxes, scores = PersonDetector(NAME, CPU, threshold=0.0)(image)
    assert boxes.ndim == 2 and boxes.shape[1] == 4 and len(boxes) == len(scores)


def test_people_are_kept_and_scored_enough(downloaded, image):
    found = {
        "boxes": torch.tensor([[10.0, 20, 40, 60], [0, 0, 9, 9], [5, 5, 8, 9]]),
        "labels": torch.tensor([1, 2, 1]),
        "scores": torch.tensor([0.9, 0.9, 0.4]),
    }
    seen = []
    detector = PersonDetector(NAME, CPU, threshold=0.5)
    detector._model = lambda images: seen.append(images) or [found]
    boxes, scores = detector(image)
    np.testing.assert_array_equal(boxes, [[10, 20, 30, 40]])
    np.testing.assert_allclose(scores, [0.9])
    ((given,),) = seen
    rgb = image[..., ::-1].astype(np.float32) / 255
    np.testing.assert_allclose(given.permute(1, 2, 0).numpy(), rgb, atol=1e-6)


@pytest.mark.parametrize(
    "error", [URLError("no network"), RuntimeError("invalid hash value"), TimeoutError("slow")]
)
def test_without_weights_it_says_where_to_put_them(monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(LOAD, fail)
    with pytest.raises(ConnectionError) as raised:
        PersonDetector(NAME, CPU)
    message = str(raised.value)
    assert "\n" not in message and f"the weights of the detector {NAME}" in message
    assert "https://" in message
    assert message.endswith(".pth") and os.path.join("hub", "checkpoints") in message


def test_refuses_other_names():
    with pytest.raises(ValueError, match="no detector 'yolo'; torchvision has fasterrcnn_"):
        PersonDetector("yolo", CPU)
