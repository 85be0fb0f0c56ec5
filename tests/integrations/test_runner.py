from pathlib import Path

import pytest
from mmcv.transforms import LoadImageFromFile
from mmengine.fileio import LocalBackend
from mmpose.datasets.transforms import LoadImage

from hrvmamba.integrations.runner import WholeFileBackend, unreadable_image


def test_files_are_written_whole(tmp_path, monkeypatch):
    path = tmp_path / "epoch_1.pth"
    backend = WholeFileBackend()
    backend.put(b"first", path)
    backend.put_text("text", tmp_path / "text")
    assert (path.read_bytes(), (tmp_path / "text").read_text()) == (b"first", "text")

    def interrupted(self, content, filepath):
        Path(filepath).write_bytes(content[:2])
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalBackend, "put", interrupted)
    with pytest.raises(KeyboardInterrupt):
        backend.put(b"second", path)
    assert path.read_bytes() == b"first"


@pytest.mark.parametrize("load", [LoadImage, LoadImageFromFile])
@pytest.mark.parametrize(("name", "content"), [("text.jpg", b"text"), ("missing.JPG", None)])
def test_unreadable_image(tmp_path, load, name, content):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Exception, match=name) as raised:
        load()({"img_path": str(path)})
    assert f"image {path} cannot be read" in unreadable_image(raised.value)


def test_empty_image(tmp_path):
    path = tmp_path / "empty.jpg"
    path.write_bytes(b"")
    for load, words in ((LoadImage, f"image {path} cannot"), (LoadImageFromFile, "-empty")):
        with pytest.raises(Exception, match="imdecode") as raised:
            load()({"img_path": str(path)})
        assert words in unreadable_image(raised.value)


def test_errors_of_other_kinds(tmp_path):
    assert unreadable_image(ValueError("another")) is None
    with pytest.raises(FileNotFoundError) as raised:
        (tmp_path / "epoch_1.pth").read_bytes()
    assert unreadable_image(raised.value) is None
