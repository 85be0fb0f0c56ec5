from pathlib import Path

import pytest
import torch

from hrvmamba.models import HRVMamba


def test_a_pose_file(command, authors_nano, nano, tmp_path, capsys):
    weights = {f"backbone.{name}": tensor for name, tensor in authors_nano.items()}
    weights["head.final_layer.weight"] = torch.ones(17, 8, 1, 1)
    weights["data_preprocessor.mean"] = torch.zeros(3)
    torch.save({"state_dict": weights, "meta": {"epoch": 210}}, tmp_path / "theirs.pth")
    command("convert", tmp_path / "theirs.pth", tmp_path / "ours" / "nano.pth")
    printed = capsys.readouterr().out
    assert f"HRVMamba nano: {len(authors_nano)} tensors mapped, 0 missing, 0 misshapen" in printed
    assert "0 left over; 2 outside the backbone kept" in printed
    ours = torch.load(tmp_path / "ours" / "nano.pth", weights_only=True)["state_dict"]
    assert {"head.final_layer.weight", "data_preprocessor.mean"} < set(ours)
    backbone = {
        name.removeprefix("backbone."): tensor
        for name, tensor in ours.items()
        if name.startswith("backbone.")
    }
    model = HRVMamba("nano").eval()
    model.load_state_dict(backbone, strict=True)
    x = torch.randn(1, 3, 32, 32)
    training = nano.training
    torch.testing.assert_close(model(x), nano.eval()(x))
    nano.train(training)


def test_says_which_of_an_imagenet_files_weights_it_took(command, authors_nano, tmp_path, capsys):
    torch.save({"model": authors_nano, "model_ema": authors_nano}, tmp_path / "theirs.pth")
    command("convert", tmp_path / "theirs.pth", tmp_path / "ours.pth")
    assert "weights from 'model_ema' of" in capsys.readouterr().out


@pytest.mark.parametrize("fault", ["missing file", "truncated", "unknown name", "our names"])
def test_refuses_and_writes_nothing(command, authors_nano, nano, fault, tmp_path, capsys):
    source, destination = tmp_path / "theirs.pth", tmp_path / "new" / "ours.pth"
    weights = nano.state_dict() if fault == "our names" else dict(authors_nano)
    if fault == "unknown name":
        weights["stage9.weight"] = torch.zeros(1)
    if fault != "missing file":
        torch.save({"model": weights}, source)
    if fault == "truncated":
        source.write_bytes(source.read_bytes()[:2000])
    with pytest.raises(SystemExit) as raised:
        command("convert", source, destination)
    error = capsys.readouterr().err
    assert raised.value.code == 2 and error.startswith("error: ")
    assert ("stage9.weight" if fault == "unknown name" else str(source)) in error
    assert not destination.parent.exists()


def test_a_destination_that_cannot_be_written(command, authors_nano, tmp_path, capsys):
    source, folder = tmp_path / "theirs.pth", tmp_path / "folder"
    torch.save(authors_nano, source)
    folder.mkdir()
    for destination, words in ((folder, "is a folder"), (source / "ours.pth", str(source))):
        with pytest.raises(SystemExit) as raised:
            command("convert", source, destination)
        error = capsys.readouterr().err
        assert raised.value.code == 2 and error.startswith("error: ") and words in error
    assert not list(tmp_path.rglob("*.partial*"))


def test_an_interrupted_conversion_leaves_nothing(command, authors_nano, tmp_path, monkeypatch):
    torch.save(authors_nano, tmp_path / "theirs.pth")

    def interrupted(path, content):
        path.open("wb").write(content[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    written = tmp_path / "new" / "ours.pth"
    assert command("convert", tmp_path / "theirs.pth", written) == 130
    assert not list(written.parent.iterdir())
