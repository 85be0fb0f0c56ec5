"""Decoding against MMPose's codecs."""

import cv2
import numpy as np
import pytest

import hrvmamba  # noqa: F401  (lets MMPose import)
from hrvmamba.inference.heatmap_decoding import decode_heatmaps

codecs = pytest.importorskip("mmpose.codecs")

INPUT, SIZE = (48, 64), (12, 16)

CODECS = [
    ("MSRAHeatmap", {"unbiased": False, "blur_kernel_size": 11}),
    ("MSRAHeatmap", {"unbiased": True, "blur_kernel_size": 11}),
    ("MSRAHeatmap", {"unbiased": True, "blur_kernel_size": 3}),
    ("UDPHeatmap", {"blur_kernel_size": 11}),
    ("UDPHeatmap", {"blur_kernel_size": 5}),
]


def noise(count):
    """Smooth noise: peaks everywhere, at the edges too."""
    maps = np.random.default_rng(0).normal(size=(count, SIZE[1], SIZE[0])).astype(np.float32)
    return np.stack([cv2.GaussianBlur(each, (5, 5), 1) for each in maps])


@pytest.mark.parametrize(("name", "options"), CODECS, ids=str)
def test_keypoints_are_mmposes(name, options):
    heatmaps = noise(400)
    codec = getattr(codecs, name)(input_size=INPUT, heatmap_size=SIZE, sigma=2, **options)
    (expected,), (scores,) = codec.decode(heatmaps)
    points, found = decode_heatmaps(
        heatmaps, INPUT, name, options.get("unbiased", False), options["blur_kernel_size"]
    )
    np.testing.assert_array_equal(found, scores)
    np.testing.assert_allclose(points, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("name", "options"), CODECS, ids=str)
def test_heatmaps_without_a_maximum_are_told_by_their_score(name, options):
    heatmaps = -np.abs(noise(3)) - 0.1
    points, scores = decode_heatmaps(
        heatmaps, INPUT, name, options.get("unbiased", False), options["blur_kernel_size"]
    )
    assert (scores < 0).all() and (points < 0).all()
