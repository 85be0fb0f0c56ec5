"""Crops against MMPose's transforms."""

import numpy as np
import pytest

import hrvmamba  # noqa: F401  (lets MMPose import)
from hrvmamba.inference.topdown_crop import crop_around, cut

transforms = pytest.importorskip("mmpose.datasets.transforms")


@pytest.mark.parametrize("udp", [False, True])
@pytest.mark.parametrize("input_size", [(48, 64), (64, 48)])
def test_crops_are_mmposes(image, input_size, udp):
    rng = np.random.default_rng(1)
    corners = rng.uniform(-20, 100, (20, 2))
    sizes = np.exp(rng.uniform(1, 5, (20, 2)))  # from far taller than the input to far wider
    for box in np.concatenate([corners, sizes], 1).astype(np.float32):
        results = {"img": image, "bbox": np.concatenate([box[:2], box[:2] + box[2:]])[None]}
        results = transforms.GetBBoxCenterScale(padding=1.3)(results)
        results = transforms.TopdownAffine(input_size, use_udp=udp)(results)
        crop = crop_around(box, 1.3, input_size)
        np.testing.assert_array_equal(crop.center, results["input_center"])
        np.testing.assert_array_equal(crop.size, results["input_scale"])
        np.testing.assert_array_equal(cut(image, crop, input_size, udp), results["img"])


def test_the_box_of_a_crop_is_the_part_of_the_image():
    crop = crop_around(np.array([10, 20, 30, 60], np.float32), 1.5, (48, 64))
    # 60 high times 1.5, and 3/4 as wide, around (25, 50)
    np.testing.assert_allclose(crop.box, [-8.75, 5, 67.5, 90])
