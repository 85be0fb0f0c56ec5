"""Where a picture's pixels go in the model's input."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from mmengine.config import Config

import hrvmamba  # noqa: F401  (lets MMPose import)
from hrvmamba.integrations.config import ConfigError
from hrvmamba.integrations.person_crop import crop_person, read_image

POINT = (70, 45)


@pytest.fixture
def config(repository):
    return Config.fromfile(repository / "configs/coco/hrvmamba_nano_256x192.py")


@pytest.fixture
def model(config):
    from mmpose.models.data_preprocessors import PoseDataPreprocessor

    options = {name: config.model.data_preprocessor[name] for name in ("mean", "std")}
    return SimpleNamespace(data_preprocessor=PoseDataPreprocessor(bgr_to_rgb=True, **options))


@pytest.fixture
def image():
    """A blurred red dot on black."""
    image = np.zeros((100, 140, 3), np.uint8)
    cv2.circle(image, POINT, 3, (0, 0, 255), -1)
    return cv2.GaussianBlur(image, (0, 0), 2)


@pytest.mark.parametrize("use_udp", [False, True])
@pytest.mark.parametrize("box", [(0, 0, 140, 100), (50, 20, 41, 63)])
def test_the_crop_tells_where_a_point_goes(config, model, image, use_udp, box):
    pipeline = config.test_dataloader.dataset.pipeline
    pipeline[2].use_udp = use_udp
    crop, inputs = crop_person(config, model, image, box)

    assert inputs.shape == (1, 3, 256, 192) and crop.input_size == (256, 192)
    red = inputs[0, 0].double()
    red = (red - red.min()) ** 2
    rows, columns = np.mgrid[:256, :192]
    centre = [float((red * axis).sum() / red.sum()) for axis in (columns, rows)]
    np.testing.assert_allclose(crop.image_to_input @ [*POINT, 1], centre, atol=0.1)
    assert crop.image[POINT[1], POINT[0]].argmax() == 0  # RGB
    assert crop.box == box


def test_pipelines_that_do_not_crop_are_refused(config, model, image):
    del config.test_dataloader.dataset.pipeline[2]
    with pytest.raises(ConfigError, match="needs TopdownAffine"):
        crop_person(config, model, image, (0, 0, 140, 100))


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_unreadable_pictures_are_named(tmp_path, content):
    path = tmp_path / "picture.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"picture\.png cannot be read"):
        read_image(str(path))
