"""A top-down pose model of an MMPose config, on images."""

import copy
import os
import warnings
from collections.abc import Iterator

import numpy as np
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model.utils import revert_sync_batchnorm
from mmpose.registry import TRANSFORMS
from mmpose.structures import PoseDataSample
from mmpose.structures.bbox import bbox_xywh2xyxy
from torch import nn

from hrvmamba.analysis.timing import find_device
from hrvmamba.checkpoints import load_checkpoint
from hrvmamba.inference.streaming_inferencer import (
    Image,
    Person,
    StreamingInferencer,
    check_image,
)
from hrvmamba.inference.topdown_crop import TopdownCrop
from hrvmamba.integrations.config import ConfigError, load_config
from hrvmamba.integrations.dataset_configs import datasets
from hrvmamba.integrations.keypoint_metainfo import dataset_metainfo
from hrvmamba.integrations.model_configs import build_model
from hrvmamba.visualization.skeleton import Skeleton

_NEEDED = ("model", "test_dataloader")


class PoseInferencer(StreamingInferencer):
    """Finds the keypoints of people with a top-down model.

    People are cropped by the config's own test pipeline and decoded by MMPose, with the flip test
    if the config has it: the results are those of MMPose's ``inference_topdown``.

    ::

        infer = PoseInferencer("config.py", "checkpoint.pth")
        (result,) = infer("people.jpg", boxes=[[20, 10, 110, 250]])
        result.keypoints  # (1, K, 2), in pixels

    Args:
        config: an MMPose config of a top-down model, or its path.
        checkpoint: of its model, ours or the authors'. None leaves random weights, and warns.
        device: cpu or cuda.
        batch_size: people that go through the model at once.
        heatmaps: whether to return the heatmaps as well.

    Attributes:
        config: the config.
        model: the model, in evaluation mode.
        metainfo: of the data set, as parsed by MMPose.
        transforms: the test pipeline, LoadImage first.
        skeleton: the data set's keypoints, links and colours.
        device: where the model is.
        returns_heatmaps: whether results have heatmaps.

    Raises:
        OSError: a file is missing.
        ValueError: the config is not of a top-down pose model, the checkpoint does not fit it, or
            there is no such device.
    """

    def __init__(
        self,
        config: str | os.PathLike | Config,
        checkpoint: str | os.PathLike | None = None,
        device: str = "cpu",
        *,
        batch_size: int = 32,
        heatmaps: bool = False,
    ) -> None:
        if not isinstance(config, Config):
            config = load_config(os.fspath(config), None, _NEEDED)
        scope = config.get("default_scope", "mmpose")
        if scope != "mmpose":
            raise ConfigError(f"the config is one of {scope}: it must be one of mmpose")
        self.config = config
        self.device = find_device(device)
        dataset = next(datasets(config.test_dataloader.dataset))
        self.metainfo = dataset_metainfo(dataset)
        self.transforms = _pipeline(dataset)
        self.model = _build(config, heatmaps)
        heatmap_size = _heatmap_size(self.model) if heatmaps else None
        super().__init__(Skeleton.of_metainfo(self.metainfo), batch_size, heatmap_size)
        check_keypoints(self.model, len(self.skeleton.names))
        if checkpoint is not None:
            load_checkpoint(self.model, checkpoint)
        else:
            warnings.warn("no checkpoint: the weights are random, and so are results", stacklevel=2)
        self.model.to(self.device).eval()

    def _read(self, image: Image) -> dict:
        """The image as the pipeline's LoadImage leaves it."""
        load = self.transforms[0]
        if isinstance(image, np.ndarray):
            check_image(image)
            return load({"img": image})
        try:
            return load({"img_path": os.fspath(image)})
        except Exception as error:  # OpenCV and MMCV raise many types
            raise ValueError(
                f"the image {image} cannot be read: it is missing or damaged"
            ) from error

    def _crop(self, loaded: dict, boxes: np.ndarray, scores: np.ndarray) -> Iterator[dict]:
        """Take each person through the pipeline, as MMPose's data sets hand them to it."""
        for corners, score in zip(bbox_xywh2xyxy(boxes), scores, strict=True):
            person = {"bbox": corners[None], "bbox_score": score[None]}
            results = {**loaded, **person, **copy.deepcopy(self.metainfo)}
            for transform in self.transforms[1:]:
                results = transform(results)
            yield results

    def _find(self, crops: list[dict]) -> list[Person]:
        return [
            Person(
                sample.pred_instances.keypoints[0],
                sample.pred_instances.keypoint_scores[0],
                _crop_box(sample),
                sample.pred_fields.heatmaps.cpu().numpy() if self.returns_heatmaps else None,
            )
            for sample in self.model.test_step(pseudo_collate(crops))
        ]


def _crop_box(sample: PoseDataSample) -> np.ndarray:
    return TopdownCrop(sample.metainfo["input_center"], sample.metainfo["input_scale"]).box


# From the config


def _pipeline(dataset: dict) -> list:
    """The transforms of a data set, LoadImage first."""
    with TRANSFORMS.switch_scope_and_registry("mmpose") as registry:
        transforms = [registry.build(transform) for transform in dataset["pipeline"]]
    names = [type(transform).__name__ for transform in transforms]
    if names[:1] != ["LoadImage"] or "TopdownAffine" not in names:
        raise ConfigError(
            "the test pipeline is not one of a top-down model: it must begin with LoadImage and "
            f"have TopdownAffine, got {', '.join(names)}"
        )
    return transforms


def _build(config: Config, heatmaps: bool) -> nn.Module:
    config = copy.deepcopy(config)
    if heatmaps:
        config.merge_from_dict({"model.test_cfg.output_heatmaps": True})
    return revert_sync_batchnorm(build_model(config))


def check_keypoints(model: nn.Module, keypoints: int) -> None:
    """Check that a model finds as many keypoints as the data set has.

    Raises:
        ConfigError: its head has another number of heatmaps.
    """
    channels = getattr(model.head, "out_channels", None)
    gaussian = getattr(model.head.decoder, "heatmap_type", "gaussian") == "gaussian"
    if gaussian and channels is not None and channels != keypoints:
        raise ConfigError(
            f"model.head.out_channels is {channels}, but the data set has {keypoints} keypoints: "
            f"set model.head.out_channels={keypoints}"
        )


def _heatmap_size(model: nn.Module) -> tuple[int, int]:
    """Height and width of the heatmaps."""
    size = getattr(model.head.decoder, "heatmap_size", None)
    if size is None:
        raise ConfigError(f"the config's head, {type(model.head).__name__}, makes no heatmaps")
    width, height = size
    return height, width
