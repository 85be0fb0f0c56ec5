from pathlib import Path

import pytest
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.fileio import LocalBackend
from mmengine.runner import Runner
from mmpose.datasets.transforms import LoadImage
from torch.utils.data import DataLoader, Dataset

from hrvmamba.integrations.runner import WholeFileBackend, build_runner, unreadable_image


@pytest.mark.parametrize(("launcher", "sync_bn"), [("none", "torch"), ("pytorch", None)])
def test_batch_norms_are_not_shared_without_a_gpu(launcher, sync_bn, monkeypatch):
    built = []
    monkeypatch.setattr(Runner, "from_cfg", built.append)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("atexit.register", lambda function: None)
    build_runner(Config({"launcher": launcher, "sync_bn": "torch"}))
    assert [config.sync_bn for config in built] == [sync_bn]


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


class Images(Dataset):
    """One image, loaded by a transform."""

    def __init__(self, load, path):
        self.load, self.path = load, path

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.load({"img_path": str(self.path)})


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("load", [LoadImage, LoadImageFromFile])
def test_unreadable_images(tmp_path, load, workers):
    (tmp_path / "text.jpg").write_bytes(b"text")
    (tmp_path / "empty.jpg").write_bytes(b"")
    for name in ("text.jpg", "missing.JPG", "empty.jpg"):
        images = Images(load(), tmp_path / name)
        with pytest.raises(Exception, match=r"\S") as raised:
            next(iter(DataLoader(images, num_workers=workers)))
        message = f"the image {tmp_path / name} cannot be read: it is missing or damaged"
        if (name, load) == ("empty.jpg", LoadImageFromFile):  # mmcv's error does not name it
            message = "an image is an empty file"
        assert unreadable_image(raised.value).startswith(message)


def test_errors_of_other_kinds(tmp_path):
    assert unreadable_image(ValueError("another")) is None
    with pytest.raises(FileNotFoundError) as raised:
        (tmp_path / "epoch_1.pth").read_bytes()
    assert unreadable_image(raised.value) is None
