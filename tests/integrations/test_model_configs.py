import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from hrvmamba.integrations.config import ConfigError
from hrvmamba.integrations.model_configs import build_model, check_channels, check_neck

NANO, TINY = (8, 16, 32, 64), (16, 32, 64, 128)  # widths of the branches


def test_the_data_preprocessor_beside_the_model():
    """MMPretrain's base configs keep it there, and the runner puts it into the model."""
    model = {"type": "ImageClassifier", "backbone": {"type": "HRVMamba", "arch": "nano"}}
    config = {"default_scope": "mmpretrain", "model": model}
    built = build_model(Config(config | {"data_preprocessor": {"num_classes": 7}}))
    assert built.data_preprocessor.num_classes == 7
    model["backbone"]["depth"] = 3
    with pytest.raises(ConfigError, match=r"the model cannot be built: .*unknown options depth"):
        build_model(Config(config))


def test_channels():
    check_channels("model.head.in_channels", [8, 16], "backbone", (8, 16))
    with pytest.raises(ConfigError) as raised:
        check_channels("model.neck.in_channels", (8, 16), "backbone", (8, 17))
    assert str(raised.value) == (
        "model.neck.in_channels is (8,16), but the backbone gives (8,17) channels: "
        "set model.neck.in_channels=(8,17)"
    )


def test_neck():
    with torch.device("meta"):
        backbone = MODELS.build(dict(type="HRVMamba", arch="nano", out_indices=(0, 1, 2, 3)))
        finest = MODELS.build(dict(type="HRVMamba", arch="nano"))
        necks = {c: MODELS.build(dict(type="HRNetPyramid", in_channels=c)) for c in (NANO, TINY)}
    for other in (nn.Identity(), None):
        check_neck(backbone, other)
    check_neck(nn.Identity(), necks[NANO])
    check_neck(backbone, necks[NANO])
    with pytest.raises(ConfigError, match=r"set model\.neck\.in_channels=\(8,16,32,64\)$"):
        check_neck(backbone, necks[TINY])
    with pytest.raises(ConfigError, match=r"out_indices is \(0,\): set .*=\(0,1,2,3\)$"):
        check_neck(finest, necks[NANO])
