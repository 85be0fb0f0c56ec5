import json

import pytest
import torch

from hrvmamba.checkpoints import convert_posevmamba
from hrvmamba.models import HRVMamba


@pytest.mark.parametrize("kind", ["pose", "cls"])
@pytest.mark.parametrize("arch", ["nano", "tiny", "small", "base"])
def test_every_preset(arch, kind, shared, tmp_path):
    shapes = json.loads((shared / "posevmamba" / f"{kind}_{arch}_keys.json").read_text())
    prefix, key = ("backbone.", "state_dict") if kind == "pose" else ("", "model")
    # One number stands for each tensor, so that the file stays small.
    weights = {prefix + name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}
    torch.save({key: weights}, tmp_path / "theirs.pth")
    converted = convert_posevmamba(tmp_path / "theirs.pth")
    assert (converted.arch, converted.key, converted.classifier) == (arch, key, kind == "cls")
    assert (len(converted.report.mapped), converted.others) == (len(shapes), 0)
    name = f"HRVMamba {arch} classifier" if kind == "cls" else f"HRVMamba {arch}"
    assert str(converted).startswith(f"{name}: {len(shapes)} tensors mapped, 0 missing")


def test_a_segmentor(tmp_path, authors_nano):
    weights = {f"backbone.{name}": tensor for name, tensor in authors_nano.items()}
    behind = ["backbone.neck.final_layer.bn.bias", "backbone.outnorm3.bias", "decode_head.bias"]
    torch.save({"state_dict": weights | {k: torch.ones(2) for k in behind}}, tmp_path / "ade.pth")
    converted = convert_posevmamba(tmp_path / "ade.pth")
    assert (converted.arch, converted.classifier, converted.others) == ("nano", False, 3)
    assert {"neck.final.1.bias", "neck.norms.3.bias"} < converted.state_dict.keys()


def test_refuses_what_does_not_fit_by_name(tmp_path, authors_nano):
    def refused(weights):
        torch.save({"model": weights}, tmp_path / "theirs.pth")
        with pytest.raises(ValueError) as raised:
            convert_posevmamba(tmp_path / "theirs.pth")
        return str(raised.value)

    lacking = {k: v for k, v in authors_nano.items() if k != "stage3.1.branches.0.0.norm.bias"}
    assert "missing: stage3.1.branches.0.0.dss2d_norm.bias" in refused(lacking)
    lacking.pop("stage4.0.branches.3.0.norm0.weight")
    assert "stage4.0.branches.3.0.esinb_norm.weight" in refused(lacking)
    misshapen = {**authors_nano, "bn1.weight": torch.zeros(32)}
    assert "misshapen: stem.0.1.weight (32,) for (64,)" in refused(misshapen)
    unknown = {**authors_nano, "stage5.weight": torch.zeros(1)}
    assert "stage5.weight" in refused(unknown)
    assert "not of the authors' release" in refused(HRVMamba("nano").state_dict())


def test_refuses_a_classifier_that_is_not_whole(tmp_path, authors_nano):
    neck = {"neck.final_layer.conv.weight": torch.zeros(2048, 1024, 1, 1)}
    head = {"head.weight": torch.zeros(7, 2048), "head.bias": torch.zeros(8)}
    torch.save({"model": {**authors_nano, **neck, **head}}, tmp_path / "theirs.pth")
    with pytest.raises(ValueError) as raised:
        convert_posevmamba(tmp_path / "theirs.pth")
    assert "missing: backbone.stage4.1.fusion.paths.1" in str(raised.value)
    assert "misshapen: head.fc.bias (8,) for (7,)" in str(raised.value)


def test_wrong_shapes_name_the_file(tmp_path, authors_nano):
    path = tmp_path / "theirs.pth"
    torch.save({**authors_nano, "stage4.1.branches.3.1.op.Ds": torch.zeros(6)}, path)
    with pytest.raises(ValueError, match=rf"checkpoint {path}: .*op\.Ds must .*got \(6,\)"):
        convert_posevmamba(path)
    torch.save({**authors_nano, "layer1.0.conv1.weight": torch.zeros(())}, path)
    with pytest.raises(ValueError, match=rf"checkpoint {path} .*stage1\.0\.conv1\.0\.weight"):
        convert_posevmamba(path)
