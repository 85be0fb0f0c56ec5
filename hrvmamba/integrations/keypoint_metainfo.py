"""What an MMPose config says of a data set's keypoints."""

import warnings
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmpose.apis.inference import dataset_meta_from_config

from hrvmamba.integrations.config import ConfigError
from hrvmamba.integrations.dataset_configs import LOADERS, datasets, under_data_root


def dataset_metainfo(dataset: dict[str, Any]) -> dict[str, Any]:
    """The meta information of a data set, parsed by MMPose.

    Args:
        dataset: the data set's config: its ``metainfo``, or a type of MMPose's that has its own.

    Raises:
        ConfigError: it is incomplete or contradicts itself, or the type is none of MMPose's.
    """
    with warnings.catch_warnings():
        # MMPose names the file of a built-in data set by a path that it then does not find.
        warnings.filterwarnings("ignore", message="The metainfo config file")
        try:
            config = Config({"test_dataloader": {"dataset": dataset}})
            metainfo = dataset_meta_from_config(config, "test")
        except AssertionError as error:
            needed = "dataset_name, keypoint_info, skeleton_info, joint_weights and sigmas"
            raise ConfigError(f"the data set's metainfo must have {needed}") from error
        except KeyError as error:
            raise ConfigError(
                f"the data set's metainfo names {error}, which is none of its keypoints, as a link "
                "or as a keypoint's swap"
            ) from error
    if metainfo is None:
        raise ConfigError(f"the data set {dataset.get('type')} is none of MMPose's")
    keypoints = metainfo["num_keypoints"]
    for key, parsed in (("sigmas", "sigmas"), ("joint_weights", "dataset_keypoint_weights")):
        if len(metainfo[parsed]) != keypoints:
            raise ConfigError(
                f"the data set's metainfo has {len(metainfo[parsed])} {key} for {keypoints} "
                "keypoints: it needs one for each"
            )
    flip = metainfo["flip_indices"]
    for keypoint, mirrored in enumerate(flip):
        if flip[mirrored] != keypoint:
            names = metainfo["keypoint_id2name"]
            raise ConfigError(
                f"the data set's metainfo swaps {names[keypoint]} with {names[mirrored]}, but that "
                f"with {names[flip[mirrored]]}: both must name each other"
            )
    return metainfo


def image_folder(config: Config, annotations: Path) -> Path | None:
    """The folder of the images of an annotation file, if the config has a data set with it."""
    for loader in LOADERS:
        for dataset in datasets((config.get(loader) or {}).get("dataset", {})):
            known = under_data_root(dataset, dataset.get("ann_file", ""))
            if known.resolve() == annotations.resolve():
                return under_data_root(dataset, dataset.get("data_prefix", {}).get("img", ""))
    return None
