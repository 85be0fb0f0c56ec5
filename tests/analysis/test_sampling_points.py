"""The points drawn against the sampling itself."""

import math

import pytest
import torch

from hrvmamba.analysis.sampling_points import sampling_points
from hrvmamba.ops import deform_sample


def bilinear(value, x, y):
    """A map (H, W, C) at a point, by the definition."""
    height, width, channels = value.shape
    total = torch.zeros(channels, dtype=value.dtype)
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < height and 0 <= column < width:
                weight = (1 - abs(y - row)) * (1 - abs(x - column))
                total += weight * value[row, column]
    return total


@pytest.mark.parametrize("query", [(0, 0), (2, 4), (3, 1)])
def test_weighted_samples_at_the_points_are_the_op(query):
    value = torch.randn(4, 6, 10).double()
    offset_mask = 2 * torch.randn(4, 6, 56).double()  # 2 groups and padding
    points = sampling_points(offset_mask, 2, query)
    assert points.positions.shape == (2, 9, 2) and points.masks.shape == (2, 9)
    sampled = [
        sum(
            mask * bilinear(part, *position.tolist())
            for position, mask in zip(positions, masks, strict=True)
        )
        for part, positions, masks in zip(value.split(5, -1), *points, strict=True)
    ]
    expected = deform_sample(value[None], offset_mask[None], 2)[0][query]
    torch.testing.assert_close(torch.cat(sampled), expected)


def test_without_offsets_the_points_are_the_neighbourhood():
    points = sampling_points(torch.zeros(5, 7, 27), 1, (3, 2))
    neighbours = {(x, y) for x in (1, 2, 3) for y in (2, 3, 4)}
    assert {tuple(point) for point in points.positions[0].tolist()} == neighbours
