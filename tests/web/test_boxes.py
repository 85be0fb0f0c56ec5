import numpy as np
import pytest

from hrvmamba.web.boxes import parse_boxes

SIZE = (640, 480)


def test_one_box_a_line():
    boxes = parse_boxes("10 20 30 40\n\n[1.5, -2, 3, 4.25]\n", SIZE)
    assert boxes.dtype == np.float32
    assert boxes.tolist() == [[10, 20, 30, 40], [1.5, -2, 3, 4.25]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"boxes: got 0, needs 1 to 50"),
        ("0 0 9 9\n" * 51, r"boxes: got 51, needs 1 to 50"),
        ("0 0 9 9\n1 2 3", r"box in line 2: got '1 2 3', needs four numbers"),
        ("0 0 a 9", r"box in line 1: got '0 0 a 9', needs four numbers"),
        ("0 0 0 9", r"needs a width and a height above 0"),
        ("0 0 nan 9", r"needs a width and a height above 0"),
        ("0 0 inf 9", r"needs a width and a height above 0"),
        ("640 0 9 9", r"needs a part of the picture, which is 640 x 480 pixels"),
        ("0 -9 9 9", r"needs a part of the picture"),
    ],
)
def test_what_is_no_box_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_boxes(text, SIZE)
