import pytest

from hrvmamba.integrations.config import ConfigError, load_config


def test_config_with_a_missing_part(tmp_path):
    path = tmp_path / "config.py"
    path.write_text("model = dict(type='TopdownPoseEstimator')\n")
    assert load_config(path, {"model.type": "Other"}, ["model"]).model.type == "Other"
    with pytest.raises(ConfigError, match=r"config\.py has no train_dataloader, optim_wrapper"):
        load_config(path, None, ["model", "train_dataloader", "optim_wrapper"])
