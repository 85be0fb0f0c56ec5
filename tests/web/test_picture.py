import cv2
import numpy as np
import pytest
from PIL import Image

from hrvmamba.web import picture
from hrvmamba.web.picture import read_picture


def test_is_read_as_infer_does(tmp_path, image):
    path = tmp_path / "picture.jpg"
    cv2.imwrite(str(path), image)
    np.testing.assert_array_equal(read_picture(str(path)), cv2.imread(str(path)))


@pytest.mark.parametrize("content", [b"", b"<svg></svg>", b"\x89PNG\r\n\x1a\n" + 40 * b"x"])
def test_what_is_no_picture_is_refused(tmp_path, content):
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^the picture is damaged, or none$"):
        read_picture(str(path))


def test_a_picture_cut_short_is_refused(tmp_path, image):
    path = tmp_path / "picture.webp"
    cv2.imwrite(str(path), image)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(ValueError, match=r"^the picture is damaged, or no"):
        read_picture(str(path))


def test_a_huge_picture_is_refused(tmp_path, monkeypatch):
    """By its header: a small file can hold a picture that fills the memory."""
    monkeypatch.setattr(picture, "MAX_PIXELS", 3_000_000)
    path = tmp_path / "large.png"
    Image.new("1", (2000, 2000)).save(path)
    with pytest.raises(ValueError, match="has 2000 x 2000 pixels: at most 3 million are taken"):
        read_picture(str(path))
