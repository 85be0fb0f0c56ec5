import dataclasses
import json

import pytest
import torch
from torch import nn

from hrvmamba.checkpoints import load_checkpoint, load_state_dict
from hrvmamba.models import ARCHS, HRVMamba, HRVMambaClassifier


def pose_model(backbone, channels=8):
    model = nn.Module()
    model.backbone = backbone
    model.head = nn.Conv2d(channels, 17, 1)
    return model


@pytest.fixture(scope="module")
def tiny():
    return HRVMamba("tiny")


def test_a_backbone_takes_its_part_of_a_whole_model(nano):
    whole = pose_model(nano).state_dict()
    backbone = HRVMamba("nano")
    report = load_state_dict(backbone, whole)
    assert sorted(report.left_over) == ["head.bias", "head.weight"]
    assert not report.missing and not report.misshapen
    torch.testing.assert_close(backbone.state_dict(), nano.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("prefix", ["teacher", "teacher."])
def test_prefix(nano, prefix):
    state = {f"teacher.{name}": tensor for name, tensor in nano.state_dict().items()}
    backbone = HRVMamba("nano")
    load_state_dict(backbone, state, prefix)
    assert torch.equal(backbone.stem[0][0].weight, nano.stem[0][0].weight)


def test_the_authors_imagenet_file_fits_a_backbone(tmp_path, authors_nano, nano):
    classifier = {"neck.final_layer.conv.weight": torch.zeros(2), "head.bias": torch.zeros(3)}
    torch.save({"model": {**authors_nano, **classifier}}, tmp_path / "imagenet.pth")
    backbone = HRVMamba("nano")
    report = load_checkpoint(backbone, tmp_path / "imagenet.pth")
    assert sorted(report.left_over) == ["head.fc.bias", "neck.final.0.weight"]
    assert torch.equal(backbone.stem[0][0].weight, nano.stem[0][0].weight)


@pytest.mark.parametrize("arch", ["nano", "base"])
def test_the_authors_imagenet_file_loads_whole_and_as_a_backbone(arch, shared, tmp_path):
    shapes = json.loads((shared / "posevmamba" / f"cls_{arch}_keys.json").read_text())
    # One number stands for each tensor, so that the file stays small.
    theirs = {name: torch.tensor(1).expand(shape) for name, shape in shapes.items()}
    torch.save({"model": theirs}, tmp_path / "imagenet.pth")

    def report(build, **options):
        with torch.device("meta"):
            model = build(arch, **options)
        model.to_empty(device="cpu")
        loaded = load_checkpoint(model, tmp_path / "imagenet.pth")
        assert all((tensor == 1).all() for tensor in model.state_dict().values())
        return loaded

    assert not report(HRVMambaClassifier).left_over
    beside = [name for name in shapes if name.startswith(("neck.", "head."))]
    assert len(report(HRVMamba, out_indices=(0, 1, 2, 3)).left_over) == len(beside)
    pose = report(HRVMamba).left_over
    assert len([name for name in pose if ".fusion.paths." not in name]) == len(beside)


def test_the_authors_pose_file_fits_a_whole_model(tmp_path, authors_nano, nano):
    whole = {f"backbone.{name}": tensor for name, tensor in authors_nano.items()}
    whole |= {"head.weight": torch.ones(17, 8, 1, 1), "head.bias": torch.ones(17)}
    whole["data_preprocessor.mean"] = torch.zeros(3)
    torch.save({"state_dict": whole, "meta": {}}, tmp_path / "pose.pth")
    model = pose_model(HRVMamba("nano"))
    report = load_checkpoint(model, tmp_path / "pose.pth")
    assert report.left_over == ["data_preprocessor.mean"]
    assert torch.equal(model.backbone.stem[0][0].weight, nano.stem[0][0].weight)
    assert (model.head.bias == 1).all()


def test_fusions_into_branches_not_returned_are_left_over(nano):
    all_branches = HRVMamba("nano", out_indices=(0, 1, 2, 3)).state_dict()
    report = load_state_dict(HRVMamba("nano"), all_branches)
    assert all(".fusion.paths." in name for name in report.left_over) and report.left_over


def test_another_preset_is_refused_and_named(nano, tiny):
    before = {name: tensor.clone() for name, tensor in tiny.state_dict().items()}
    message = "checkpoint x does not fit the model .it is of HRVMamba nano, the model is tiny"
    with pytest.raises(ValueError, match=message):
        load_state_dict(tiny, nano.state_dict(), source="checkpoint x")
    assert all(torch.equal(before[name], tensor) for name, tensor in tiny.state_dict().items())


def test_faults_are_named(nano):
    state = dict(pose_model(nano).state_dict())
    del state["head.bias"]
    state["head.weight"] = torch.zeros(21, 8, 1, 1)
    state["backbone.extra.weight"] = torch.zeros(1)
    with pytest.raises(ValueError) as raised:
        load_state_dict(pose_model(HRVMamba("nano")), state)
    text = str(raised.value)
    assert "missing: head.bias" in text
    assert "misshapen: head.weight (21, 8, 1, 1) for (17, 8, 1, 1)" in text
    assert "extra.weight" in text


def test_parts_that_the_model_lacks_are_refused(nano):
    without = HRVMamba(dict(bottleneck_channels=16, channels=(8, 16, 32, 64)))
    with pytest.raises(ValueError, match=r"left over: stage2\.0\.branches\.0\.0\.lpu1\.weight"):
        load_state_dict(without, nano.state_dict())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(dilations=(1,)), r"model: \d.*missing: stage2\S+dss2d\.sampling\.0\.weight"),
        (dict(esinb="none"), r"model: \d.*left over: stage2\S+lpu1\.weight"),
        (dict(esinb_kernel_sizes=(3, 3, 3, 3)), r"of HRVMamba nano, the model is .*\(3, 3, 3, 3\)"),
    ],
    ids=str,
)
def test_a_preset_does_not_fit_an_ablation(nano, changes, message):
    ablated = HRVMamba(dataclasses.replace(ARCHS["nano"], **changes))
    with pytest.raises(ValueError, match=rf"(?s){message}"):
        load_state_dict(ablated, nano.state_dict())


def test_missing_fusions_are_explained(nano):
    with pytest.raises(ValueError, match=r"pose checkpoints are of out_indices=\(0,\)$"):
        load_state_dict(HRVMamba("nano", out_indices=(0, 1, 2, 3)), nano.state_dict())


def test_no_tensors_are_named(nano):
    state = nano.state_dict() | {"stage1.0.conv1.0.weight": 3}
    with pytest.raises(ValueError, match=r"misshapen: stage1\.0\.conv1\.0\.weight a int for \("):
        load_state_dict(HRVMamba("nano"), state)
