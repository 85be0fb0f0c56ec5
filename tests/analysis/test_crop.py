import numpy as np
import pytest

from hrvmamba.analysis.crop import Crop


@pytest.fixture
def crop():
    """40x30 pixels from (100, 50) on, as an input of twice the size."""
    return Crop(
        image=np.zeros((200, 300, 3), np.uint8),
        box=(100, 50, 30, 40),
        # The pixels' outer edges, half a pixel from the centres, go to each other.
        image_to_input=np.array([[2, 0, -2 * 99.5 - 0.5], [0, 2, -2 * 49.5 - 0.5]]),
        input_size=(80, 60),
    )


def test_tokens_divide_the_crop_evenly(crop):
    """A map of 20x15 has tokens of 4x4 pixels of the input, 2x2 of the image."""
    matrix = crop.tokens_to_image((20, 15))
    np.testing.assert_allclose(matrix @ [0, 0, 1], [100.5, 50.5, 1])
    np.testing.assert_allclose(matrix @ [14, 19, 1], [128.5, 88.5, 1])
    np.testing.assert_allclose(crop.corners().min(0), [99.5, 49.5])
    np.testing.assert_allclose(crop.corners().max(0), [129.5, 89.5])


def test_points_lie_in_the_token_around_them(crop):
    assert crop.token_at((100, 50), (20, 15)) == (0, 0)
    assert crop.token_at((101, 51), (20, 15)) == (0, 0)
    assert crop.token_at((102, 51), (20, 15)) == (0, 1)
    assert crop.token_at((101, 52), (20, 15)) == (1, 0)
    assert crop.token_at((129, 89), (20, 15)) == (19, 14)
    assert crop.token_at((129, 89), (1, 1)) == (0, 0)


@pytest.mark.parametrize("point", [(99, 60), (130, 60), (110, 49), (110, 90)])
def test_points_outside_are_refused(crop, point):
    with pytest.raises(ValueError, match="outside the crop of the box"):
        crop.token_at(point, (20, 15))
