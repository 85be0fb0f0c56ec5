import pytest
from mmengine.config import Config

from hrvmamba.integrations.config import ConfigError
from hrvmamba.integrations.dataset_configs import (
    check_data_root,
    check_input_size,
    datasets,
    transforms,
)


def test_wrapped_datasets():
    one, two = {"ann_file": "one"}, {"ann_file": "two"}
    combined = {"type": "CombinedDataset", "datasets": [one, {"dataset": two, "times": 3}]}
    assert list(datasets(combined)) == [one, two]
    assert list(datasets(one)) == [one]


def test_transforms_of_every_loader():
    load, crop = {"type": "LoadImage"}, {"type": "Crop", "size": 3}
    config = Config(
        {
            "train_dataloader": {"dataset": {"dataset": {"pipeline": [load, crop]}}},
            "val_dataloader": None,
            "test_dataloader": {"dataset": {"pipeline": [load]}},
        }
    )
    assert list(transforms(config)) == [
        ("LoadImage of train_dataloader", load),
        ("Crop of train_dataloader", crop),
        ("LoadImage of test_dataloader", load),
    ]


def test_data_root(tmp_path):
    check_data_root({"data_root": str(tmp_path)})
    check_data_root({})
    with pytest.raises(ConfigError, match=r"data/none/ does not exist.*/path/to/none data/none$"):
        check_data_root({"data_root": "data/none/"})


def test_input_size():
    check_input_size("crop", 32, 32)
    with pytest.raises(ConfigError, match="the crop is 64 x 31 pixels"):
        check_input_size("crop", 64, 31)
