import os
import sys
import types

import pytest
import torch
from mmengine.logging import HistoryBuffer

from hrvmamba.checkpoints import read_checkpoint


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "model.pth"


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.95])
def test_truncated(file, share, zipped):
    torch.save({"w": torch.randn(50)}, file, _use_new_zipfile_serialization=zipped)
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(ValueError, match=rf"checkpoint {file} is (truncated|damaged)"):
        read_checkpoint(file)


def test_not_a_checkpoint(file):
    file.write_text("<html>404</html>")
    with pytest.raises(ValueError, match=f"checkpoint {file} is"):
        read_checkpoint(file)
    torch.save([1, 2], file)
    with pytest.raises(ValueError, match="holds a list, not a dict"):
        read_checkpoint(file)


def test_missing(file):
    with pytest.raises(FileNotFoundError, match=f"checkpoint {file} not found"):
        read_checkpoint(file)


def test_runs_nothing(file, tmp_path):
    torch.save({"state_dict": {}, "meta": Malicious(tmp_path / "made")}, file)
    with pytest.raises(ValueError, match=r"more than tensors and plain data: .*mkdir") as raised:
        read_checkpoint(file)
    assert "pip install mmengine" not in str(raised.value)
    assert not (tmp_path / "made").exists()


def test_a_runners_checkpoint_needs_mmengine(file, run_python):
    """MMEngine's runner keeps values that are refused where the package is not installed."""
    torch.save({"state_dict": {}, "loss": HistoryBuffer([1.0], [1])}, file)
    assert read_checkpoint(file)["loss"].mean() == 1
    code = f"""
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "mmengine" else find(name, *rest)
from hrvmamba.checkpoints import read_checkpoint
try:
    read_checkpoint({str(file)!r})
except ValueError as error:
    print(error)
"""
    assert "pip install mmengine" in run_python(code).stdout


@pytest.mark.parametrize("key", ["state_dict", "model_ema", "model", None])
def test_the_authors_files_come_in_our_names(file, key, authors_nano, nano):
    torch.save(authors_nano if key is None else {key: authors_nano, "epoch": 3}, file)
    checkpoint = read_checkpoint(file)
    assert list(checkpoint) == ["state_dict"]
    nano.load_state_dict(checkpoint["state_dict"], strict=True)
    for name, tensor in nano.state_dict().items():
        assert torch.equal(checkpoint["state_dict"][name], tensor)


def test_the_average_is_taken_before_the_model(file, authors_nano):
    other = {name: torch.zeros_like(tensor) for name, tensor in authors_nano.items()}
    torch.save({"model": other, "model_ema": authors_nano}, file)
    weight = read_checkpoint(file)["state_dict"]["stem.0.0.weight"]
    assert torch.equal(weight, authors_nano["conv1.weight"])


def test_a_training_config_beside_the_weights_is_inert(file, authors_nano, monkeypatch):
    """The ImageNet files hold a yacs CfgNode; it is read without that package."""
    module = types.ModuleType("yacs.config")

    class CfgNode(dict):
        def __init__(self, *args):
            super().__init__(*args)
            self.__dict__["frozen"] = True

    CfgNode.__module__, CfgNode.__qualname__ = "yacs.config", "CfgNode"
    module.CfgNode = CfgNode
    monkeypatch.setitem(sys.modules, "yacs", types.ModuleType("yacs"))
    monkeypatch.setitem(sys.modules, "yacs.config", module)
    torch.save(
        {"model": authors_nano, "config": CfgNode({"AMP": True, "MODEL": CfgNode({"D": 8})})}, file
    )
    monkeypatch.undo()
    assert "stem.0.0.weight" in read_checkpoint(file)["state_dict"]


def test_other_files_come_as_they_are(file):
    torch.save({"state_dict": {"w": torch.ones(2)}, "meta": {"epoch": 3}}, file)
    checkpoint = read_checkpoint(file)
    assert checkpoint["meta"] == {"epoch": 3}
    assert torch.equal(checkpoint["state_dict"]["w"], torch.ones(2))
