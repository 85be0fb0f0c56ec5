import numpy as np
import pytest

from hrvmamba.visualization.marks import mark_query, number_boxes


@pytest.fixture
def grey() -> np.ndarray:
    return np.full((100, 200, 3), 120, np.uint8)


def test_boxes_are_outlined_and_numbered(grey):
    boxes = np.array([[20, 10, 60, 80], [-30, -20, 90, 60]], np.float32)
    drawn = number_boxes(grey, boxes)
    assert (grey == 120).all()
    assert (drawn[90, 25:80] == 255).all() and (drawn[40:90, 80] == 255).all()
    assert (drawn[50, 100:] == 120).all()
    # The numbers are in the picture, also where the box begins outside it.
    for top, left in ((10, 20), (0, 0)):
        tag = drawn[top : top + 12, left : left + 12]
        assert (tag < 40).all(-1).any() and (tag == 255).all(-1).any()
    other = number_boxes(grey, boxes[::-1])
    assert (other[10:22, 20:32] != drawn[10:22, 20:32]).any()  # 2 and 1


def test_what_lies_outside_the_crop_is_dimmed(grey):
    marked = mark_query(grey, np.array([-10, 20, 60, 500], np.float32), (30, 60))
    assert (grey == 120).all()
    assert (marked[20:40, :50] == 120).all()
    assert (marked[:20] == 42).all() and (marked[:, 50:] == 42).all()
    ring = (marked == (255, 229, 0)).all(-1)
    rows, columns = np.nonzero(ring)
    assert rows.mean() == pytest.approx(60, abs=0.5)
    assert columns.mean() == pytest.approx(30, abs=0.5)
    assert (marked[60, 30] == 120).all()
