"""One person of a picture as a config's test pipeline shows it to the model."""

from typing import Any

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from hrvmamba.analysis.crop import Crop
from hrvmamba.integrations.config import ConfigError
from hrvmamba.integrations.dataset_configs import datasets

Box = tuple[float, float, float, float]


def read_image(path: str) -> np.ndarray:
    """Read a picture as MMPose does: ``(H, W, 3)``, BGR, uint8.

    Raises:
        ValueError: it is missing or damaged.
    """
    image = cv2.imread(path, cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"the image {path} cannot be read: it is missing, damaged or no image")
    return image


def crop_person(
    config: Config, model: nn.Module, image: np.ndarray, box: Box
) -> tuple[Crop, Tensor]:
    """Take a picture through the test pipeline and the model's preprocessor.

    Args:
        config: an MMPose config of a top-down model.
        model: its model.
        image: ``(H, W, 3)``, BGR, uint8.
        box: x, y, width and height of the person, in pixels.

    Returns:
        The crop and the model's input, ``(1, 3, h, w)``.

    Raises:
        ConfigError: the pipeline does not crop the person.
    """
    x, y, width, height = box
    # Three points go with the picture as a person's keypoints do: they tell where it is taken to.
    points = np.array([[0, 0], [image.shape[1], 0], [0, image.shape[0]]], np.float64)
    results: dict[str, Any] = {
        "img": image,
        "bbox": np.array([[x, y, x + width, y + height]], np.float32),
        "bbox_score": np.ones(1, np.float32),
        "keypoints": points[None],
        "keypoints_visible": np.ones((1, len(points)), np.float32),
    }
    transformed = None
    init_default_scope(config.get("default_scope", "mmpose"))
    pipeline = next(datasets(config.test_dataloader.dataset)).get("pipeline", [])
    for transform in Compose(pipeline).transforms:
        results = transform(results)
        transformed = results.get("transformed_keypoints", transformed)
    if transformed is None:
        raise ConfigError(
            "the test pipeline does not crop people: it needs TopdownAffine, of a top-down model"
        )
    inputs = model.data_preprocessor(pseudo_collate([results]), False)["inputs"]
    matrix = np.linalg.solve(np.insert(points, 2, 1, axis=1), transformed[0]).T
    crop = Crop(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), box, matrix, tuple(inputs.shape[2:]))
    return crop, inputs
