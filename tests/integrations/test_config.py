import pytest

from hrvmamba.integrations.config import ConfigError, load_config


def test_config_with_a_missing_part(tmp_path):
    path = tmp_path / "config.py"
    path.write_text("model = dict(type='TopdownPoseEstimator')\n")
    assert load_config(path, {"model.type": "Other"}, ["model"]).model.type == "Other"
    with pytest.raises(ConfigError, match=r"config\.py has no train_dataloader, optim_wrapper"):
        load_config(path, None, ["model", "train_dataloader", "optim_wrapper"])


def test_loaders_without_workers_are_not_persistent(tmp_path):
    path = tmp_path / "config.py"
    path.write_text(
        "train_dataloader = dict(num_workers=2, persistent_workers=True)\n"
        "val_dataloader = dict(num_workers=2, persistent_workers=True)\n"
        "test_dataloader = None\n"
    )
    config = load_config(path, {"train_dataloader.num_workers": 0}, [])
    assert not config.train_dataloader.persistent_workers
    assert config.val_dataloader.persistent_workers


def test_names_of_hrvmambas_configs():
    for name in ("hrvmamba-tiny", "hrvmamba::coco/hrvmamba_tiny_256x192.py"):
        assert load_config(name, None, ["model"]).model.backbone.arch == "tiny"
    with pytest.raises(ConfigError, match=r"^HRVMamba has no model hrvmamba-large\. It has "):
        load_config("hrvmamba-large", None, [])
    with pytest.raises(ConfigError, match=r"^the config file small\.py does not exist$"):
        load_config("small.py", None, [])
