from pathlib import Path

import pytest
from mmengine.fileio import LocalBackend

from hrvmamba.integrations.runner import WholeFileBackend


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
