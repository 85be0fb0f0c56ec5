import copy
import functools
import http.server
import threading

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import nn

import hrvmamba
from hrvmamba import models
from hrvmamba.integrations.mmengine import HRVMamba
from hrvmamba.layers import DSS2D

SMALLEST = dict(bottleneck_channels=4, channels=(4, 8, 12, 16))


def build(**options):
    return MODELS.build(dict(type="HRVMamba", arch=SMALLEST) | options)


def test_is_registered_where_every_host_looks():
    assert hrvmamba and MODELS.get("HRVMamba") is HRVMamba
    from mmpose.registry import MODELS as MMPOSE_MODELS

    assert type(MMPOSE_MODELS.build(dict(type="HRVMamba", arch=SMALLEST))) is HRVMamba


def test_norm_cfg_of_the_pyramid():
    pyramid = MODELS.build(
        dict(
            type="HRNetPyramid", in_channels=(4, 8, 12, 16), norm_cfg=dict(type="BN", momentum=0.3)
        )
    )
    assert pyramid.final[1].momentum == pyramid.widen[0].conv1[1].momentum == 0.3


def test_vmamba(tmp_path):
    """It is registered as well; MMEngine's initialisers load its weights."""
    arch = dict(channels=8, depths=(1, 1, 1, 1), ssm_ratio=1.0)
    path = str(tmp_path / "weights.pth")
    source = MODELS.build(dict(type="VMamba", arch=arch))
    torch.save(source.state_dict(), path)
    init_cfg = dict(type="Pretrained", checkpoint=path)
    model = MODELS.build(dict(type="VMamba", arch=arch, out_indices=(3,), init_cfg=init_cfg))
    model.init_weights()
    for name, value in model.state_dict().items():
        assert torch.equal(value, source.state_dict()[name])
    with pytest.raises(
        TypeError,
        match=r"unknown options dims; "
        r"allowed are arch, drop_path_rate, in_channels, init_cfg, out_indices$",
    ):
        MODELS.build(dict(type="VMamba", dims=96))


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


def test_offsets_start_at_zero_whatever_initialises_linear_layers():
    model = build(init_cfg=dict(type="TruncNormal", layer="Linear", std=0.02))
    classifier = BaseModule(init_cfg=dict(type="Constant", layer="Linear", val=0.5))
    classifier.backbone = build()
    for module in (model, classifier):
        module.init_weights()
        offsets = [each.offset_mask for each in module.modules() if isinstance(each, DSS2D)]
        assert offsets and not any(each.weight.any() or each.bias.any() for each in offsets)
    assert (classifier.backbone.stage4[0].branches[0][0].ffn.fc1.weight == 0.5).all()


def test_neck():
    """It gives the tuple that MMPretrain's heads take the last entry of."""
    neck = MODELS.build(dict(type="HRNetNeck", in_channels=(4, 6, 8, 10), out_channels=12)).eval()
    core = models.HRNetNeck((4, 6, 8, 10), 12).eval()
    core.load_state_dict(neck.state_dict())
    maps = [torch.randn(1, c, 8 // 2**i, 8 // 2**i) for i, c in enumerate((4, 6, 8, 10))]
    torch.testing.assert_close(neck(maps), (core(maps),))
    norm_cfg = dict(type="GN", num_groups=2)
    grouped = MODELS.build(dict(type="HRNetNeck", in_channels=(4, 6, 8, 10), norm_cfg=norm_cfg))
    kinds = {type(module) for module in grouped.modules()}
    assert nn.GroupNorm in kinds and nn.BatchNorm2d not in kinds


@pytest.mark.parametrize("form", ["ours", "runner", "authors", "authors' ImageNet"])
def test_init_cfg_pretrained(form, tmp_path, nano, authors_nano):
    files = {
        "ours": nano.state_dict(),
        "runner": {"state_dict": {f"backbone.{k}": v for k, v in nano.state_dict().items()}},
        "authors": {"model": authors_nano},
        "authors' ImageNet": {"model_ema": {**authors_nano, "head.bias": torch.zeros(9)}},
    }
    path = str(tmp_path / "weights.pth")
    torch.save(files[form], path)
    model = HRVMamba("nano", init_cfg=dict(type="Pretrained", checkpoint=path))
    model.init_weights()
    torch.testing.assert_close(model.state_dict(), nano.state_dict(), rtol=0, atol=0)


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


def test_init_cfg_prefix_and_home_folder(tmp_path, monkeypatch, nano):
    monkeypatch.setenv("HOME", str(tmp_path))
    student = {f"student.{name}": torch.zeros_like(t) for name, t in nano.state_dict().items()}
    teacher = {f"teacher.{name}": tensor for name, tensor in nano.state_dict().items()}
    torch.save(student | teacher, tmp_path / "both.pth")
    init_cfg = dict(type="Pretrained", checkpoint="~/both.pth", prefix="teacher")
    model = HRVMamba("nano", init_cfg=init_cfg)
    model.init_weights()
    assert torch.equal(model.stem[0][0].weight, nano.stem[0][0].weight)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The address of a folder, and the folder; what is downloaded is kept beside it."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MMENGINE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", folder
        running.shutdown()


def test_init_cfg_of_a_url(server, nano, authors_nano):
    address, folder = server
    torch.save({"model": authors_nano}, folder / "theirs.pth")
    (folder / "damaged.pth").write_bytes((folder / "theirs.pth").read_bytes()[:2000])

    def initialised(name):
        init_cfg = dict(type="Pretrained", checkpoint=f"{address}/{name}")
        model = HRVMamba("nano", init_cfg=init_cfg)
        model.init_weights()
        return model

    assert torch.equal(initialised("theirs.pth").stem[0][0].weight, nano.stem[0][0].weight)
    with pytest.raises(ValueError, match=rf"checkpoint {address}/damaged\.pth is truncated"):
        initialised("damaged.pth")
    with pytest.raises(OSError, match=rf"checkpoint {address}/none\.pth cannot be downloaded"):
        initialised("none.pth")


def test_init_cfg_of_several_initialisers(tmp_path, nano):
    path = str(tmp_path / "weights.pth")
    torch.save(nano.state_dict(), path)
    init_cfg = [
        dict(type="Pretrained", checkpoint=path),
        dict(type="Constant", layer="Conv2d", val=0.5),
    ]
    model = HRVMamba("nano", init_cfg=init_cfg)
    init_cfg.clear()
    model.init_weights()
    assert torch.equal(model.stem[0][0].weight, nano.stem[0][0].weight)
    assert len(model.init_cfg) == 2

    torch.save({**nano.state_dict(), "stage9.weight": torch.zeros(1)}, path)
    model = HRVMamba("nano", init_cfg=model.init_cfg)
    with pytest.raises(ValueError, match=r"left over: stage9\.weight"):
        model.init_weights()
    assert (model.stem[0][0].weight == 0.5).all()


def test_init_cfg_without_a_checkpoint():
    with pytest.raises(ValueError, match="Pretrained needs a 'checkpoint'"):
        build(init_cfg=dict(type="Pretrained")).init_weights()


def test_unknown_norm():
    with pytest.raises(ValueError, match=r"such as BN, SyncBN or GN .*'BatchNorm'"):
        HRVMamba("nano", norm_cfg=dict(type="BatchNorm"))


def test_norm_layer_is_norm_cfgs():
    with pytest.raises(TypeError, match="give norm_cfg"):
        HRVMamba("nano", norm_layer=nn.BatchNorm2d)
    with pytest.raises(TypeError) as raised:
        HRVMamba("nano", num_stages=4)
    assert "norm_cfg" in str(raised.value) and "norm_layer" not in str(raised.value)
