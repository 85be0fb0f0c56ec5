import copy

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

import hrvmamba
from hrvmamba.integrations.mmengine import HRVMamba

SMALLEST = dict(bottleneck_channels=4, channels=(4, 8, 12, 16))


def build(**options):
    return MODELS.build(dict(type="HRVMamba", arch=SMALLEST) | options)


def test_is_registered_where_every_host_looks():
    assert hrvmamba and MODELS.get("HRVMamba") is HRVMamba
    from mmpose.registry import MODELS as MMPOSE_MODELS

    assert type(MMPOSE_MODELS.build(dict(type="HRVMamba", arch=SMALLEST))) is HRVMamba


def test_norm_cfg():
    kinds = {type(module) for module in build(norm_cfg=dict(type="SyncBN")).modules()}
    assert any(issubclass(kind, nn.SyncBatchNorm) for kind in kinds)
    assert nn.BatchNorm2d not in kinds
    norm = build(norm_cfg=dict(type="BN", momentum=0.3, requires_grad=False)).stem[0][1]
    assert norm.momentum == 0.3 and norm.eps == 1e-5 and not norm.weight.requires_grad


def test_options_of_the_core():
    model = build(norm_eval=True, frozen_stages=1, with_cp=True, out_indices=(0, 2)).train()
    assert not model.stem[0][1].training and not model.stem[0][0].weight.requires_grad
    assert not model.stage4[0].fusion.paths["0"][1][1].training
    assert model.out_channels == (4, 12)


def test_unknown_options_are_refused_with_the_allowed_ones():
    with pytest.raises(
        TypeError, match=r"unknown options num_stages; allowed are arch, .*init_cfg"
    ):
        HRVMamba("nano", num_stages=4)


def test_init_weights_keeps_the_backbones_own_initialisation():
    model = build()
    before = copy.deepcopy(model.state_dict())
    model.init_weights()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("form", ["ours", "runner", "authors"])
def test_init_cfg_pretrained(form, tmp_path, nano, authors_nano):
    files = {
        "ours": nano.state_dict(),
        "runner": {"state_dict": {f"backbone.{k}": v for k, v in nano.state_dict().items()}},
        "authors": {"model": authors_nano},
    }
    path = str(tmp_path / "weights.pth")
    torch.save(files[form], path)
    model = HRVMamba("nano", init_cfg=dict(type="Pretrained", checkpoint=path))
    model.init_weights()
    for name, value in model.state_dict().items():
        assert torch.equal(value, nano.state_dict()[name])


def test_init_cfg_refuses_another_presets_file(tmp_path, nano):
    path = str(tmp_path / "weights.pth")
    torch.save(nano.state_dict(), path)
    model = HRVMamba("tiny", init_cfg=dict(type="Pretrained", checkpoint=path))
    with pytest.raises(ValueError, match=r"weights\.pth does not fit .*nano, the model is tiny"):
        model.init_weights()


def test_init_cfg_of_other_initialisers():
    model = build(init_cfg=dict(type="Constant", layer="Conv2d", val=0.5))
    model.init_weights()
    assert (model.stem[0][0].weight == 0.5).all()
