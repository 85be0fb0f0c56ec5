import cv2
import numpy as np
import pytest

from hrvmamba.inference.inputs import ImageFile, Video, find_inputs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Files of many kinds, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("a/2.jpg", "a/1.PNG", "a/clip.mp4", "a/note.txt", "a/deep/3.jpg", "b/2.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(*texts):
    return [entry.name for entry in find_inputs(texts)]


def test_files_folders_patterns(folder):
    assert names("a/2.jpg") == ["2.jpg"]
    assert names("a") == ["1.PNG", "2.jpg", "clip.mp4"]
    assert names("a", "b/2.jpg") == ["a/1.PNG", "a/2.jpg", "a/clip.mp4", "b/2.jpg"]
    assert names("a/*.jpg", "a/2.jpg") == ["2.jpg"]
    assert names("**/*.jpg") == ["a/2.jpg", "a/deep/3.jpg", "b/2.jpg"]
    assert names("a/missing.jpg") == ["missing.jpg"]  # told when it is read
    kinds = [type(entry) for entry in find_inputs(["a"])]
    assert kinds == [ImageFile, ImageFile, Video]


def test_a_number_is_a_camera_unless_it_is_a_file(folder):
    (camera,) = find_inputs(["0"])
    assert camera == Video(0, "camera-0") and camera.live
    (folder / "0").touch()
    assert names("0") == ["0"]
    with pytest.raises(ValueError, match="must be the only input"):
        find_inputs(["a", "1"])


@pytest.mark.parametrize(
    ("text", "expected"), [("c", "the folder c holds no"), ("*.bmp", "no image or video matches")]
)
def test_nothing_is_refused(folder, text, expected):
    (folder / "c").mkdir()
    with pytest.raises(ValueError, match=expected):
        find_inputs([text])


def test_images_are_read_as_opencv_does(tmp_path, image):
    path = tmp_path / "ä.png"
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    np.testing.assert_array_equal(ImageFile(path, "ä.png").read(), image)
    for content, expected in ((b"", "no image"), (b"no image", "no image")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=expected):
            ImageFile(path, "ä.png").read()
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        ImageFile(tmp_path / "none.png", "none.png").read()


def test_videos(tmp_path, image):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (170, 130))
    for number in range(3):
        writer.write(np.full_like(image, 60 * number))
    writer.release()
    with Video(path, "clip.avi").open() as video:
        assert (video.frame_rate, video.count) == (10, 3)
        values = [frame.mean() for frame in video.frames]
    np.testing.assert_allclose(values, [0, 60, 120], atol=3)
    (tmp_path / "bad.mp4").write_bytes(bytes(range(100)))
    for name, expected in (("none.mp4", "no such file"), ("bad.mp4", "no video")):
        with pytest.raises(ValueError, match=expected), Video(tmp_path / name, name).open():
            pass
