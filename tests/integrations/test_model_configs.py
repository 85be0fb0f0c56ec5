import pytest
from mmengine.config import Config

from hrvmamba.integrations.config import ConfigError
from hrvmamba.integrations.model_configs import build_model, check_channels


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
