"""A top-down pose model of an MMPose config, on images."""

import copy
import dataclasses
import os
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model.utils import revert_sync_batchnorm
from mmpose.apis.inference import dataset_meta_from_config
from mmpose.registry import TRANSFORMS
from mmpose.structures import PoseDataSample
from mmpose.structures.bbox import bbox_xywh2xyxy
from torch import nn

from hrvmamba.analysis.timing import find_device
from hrvmamba.checkpoints import load_checkpoint
from hrvmamba.inference.heatmap_runner import HeatmapRunner, run_elsewhere
from hrvmamba.inference.pose_result import PoseResult
from hrvmamba.integrations.config import ConfigError, load_config
from hrvmamba.integrations.dataset_configs import datasets
from hrvmamba.integrations.model_configs import build_model
from hrvmamba.visualization.skeleton import Skeleton

Image = str | os.PathLike | np.ndarray
"""A file, or ``(H, W, 3)``, BGR, uint8, as OpenCV reads it."""

_NEEDED = ("model", "test_dataloader")


class PoseInferencer:
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
        runner: computes the heatmaps instead of the config's network, which then needs no
            checkpoint.

    Attributes:
        config: the config.
        model: the model, in evaluation mode.
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
        runner: HeatmapRunner | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if not isinstance(config, Config):
            config = load_config(os.fspath(config), None, _NEEDED)
        scope = config.get("default_scope", "mmpose")
        if scope != "mmpose":
            raise ConfigError(f"the config is one of {scope}: it must be one of mmpose")
        self.config = config
        self.device = find_device(device)
        self._batch_size = batch_size
        dataset = next(datasets(config.test_dataloader.dataset))
        self._metainfo = _metainfo(dataset)
        self.skeleton = Skeleton.of_metainfo(self._metainfo)
        self._load, *self._transforms = _pipeline(dataset)
        self.model = _build(config, heatmaps)
        _check_keypoints(self.model, len(self.skeleton.names))
        self.returns_heatmaps = heatmaps
        self._heatmap_size = _heatmap_size(self.model) if heatmaps else None
        if runner is not None:
            run_elsewhere(self.model, runner)
        elif checkpoint is not None:
            load_checkpoint(self.model, checkpoint)
        else:
            warnings.warn("no checkpoint: the weights are random, and so are results", stacklevel=2)
        self.model.to(self.device).eval()

    def __call__(
        self, images: Image | Sequence[Image], boxes: Sequence | np.ndarray | None = None
    ) -> list[PoseResult]:
        """Find the keypoints of the people in images.

        Args:
            images: one image or several.
            boxes: of the people in each image, ``(N, 4)``: x, y, width, height in pixels, N may be
                0; or None, where the whole image is one person's. For a single image its boxes
                alone. None: whole images.

        Returns:
            A result for each image.

        Raises:
            ValueError: an image cannot be read, or boxes have another shape.
        """
        if isinstance(images, (str, os.PathLike)) or getattr(images, "ndim", 0) == 3:
            images, boxes = [images], [boxes]
        if boxes is None:
            boxes = [None] * len(images)
        if len(boxes) != len(images):
            raise ValueError(f"got boxes of {len(boxes)} images, needs those of {len(images)}")
        together = zip(images, boxes, strict=True)
        return list(self.stream((image, its_boxes, None) for image, its_boxes in together))

    def stream(self, images: Iterable[tuple[Image, Any, Any]]) -> Iterator[PoseResult]:
        """Find keypoints as images come, with batches across images.

        Args:
            images: each with its boxes, or None, as in calling, and the scores of these, ``(N,)``,
                or None for ones. They are taken ahead until a batch is full, but no more than
                ``batch_size`` of them.

        Yields:
            A result for each image, in order.
        """
        waiting: deque[_Pending] = deque()
        crops: list[tuple[_Pending, dict]] = []
        for image, boxes, scores in images:
            loaded = self._read(image)
            pending = _Pending(*_people(loaded["img"], boxes, scores))
            waiting.append(pending)
            crops += [(pending, crop) for crop in self._crop(loaded, pending)]
            while len(crops) >= self._batch_size or (crops and len(waiting) > self._batch_size):
                self._run(crops)
            yield from self._finished(waiting)
        while crops:
            self._run(crops)
        yield from self._finished(waiting)

    def _read(self, image: Image) -> dict:
        """The image as the pipeline's LoadImage leaves it."""
        if isinstance(image, np.ndarray):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
                raise ValueError(
                    "an image must be (H, W, 3), uint8, in the order BGR, "
                    f"got {image.shape}, {image.dtype}"
                )
            return self._load({"img": image})
        try:
            return self._load({"img_path": os.fspath(image)})
        except Exception as error:  # OpenCV and MMCV raise many types
            raise ValueError(
                f"the image {image} cannot be read: it is missing or damaged"
            ) from error

    def _crop(self, loaded: dict, pending: "_Pending") -> Iterator[dict]:
        """Take each person through the pipeline, as MMPose's data sets hand them to it."""
        corners = bbox_xywh2xyxy(pending.boxes)
        for corner, score in zip(corners, pending.scores, strict=True):
            person = {"bbox": corner[None], "bbox_score": score[None]}
            results = {**loaded, **person, **copy.deepcopy(self._metainfo)}
            for transform in self._transforms:
                results = transform(results)
            yield results

    def _run(self, crops: list[tuple["_Pending", dict]]) -> None:
        """Run the model on a batch of the crops, which are removed."""
        batch = crops[: self._batch_size]
        del crops[: self._batch_size]
        samples = self.model.test_step(pseudo_collate([crop for _, crop in batch]))
        for (pending, _), sample in zip(batch, samples, strict=True):
            pending.found.append(sample)

    def _finished(self, waiting: "deque[_Pending]") -> Iterator[PoseResult]:
        while waiting and len(waiting[0].found) == len(waiting[0].boxes):
            pending = waiting.popleft()
            people = [sample.pred_instances for sample in pending.found]
            keypoints = len(self.skeleton.names)
            heatmaps = None
            if self._heatmap_size is not None:
                heatmaps = _stack(
                    [sample.pred_fields.heatmaps.cpu().numpy() for sample in pending.found],
                    (keypoints, *self._heatmap_size),
                )
            yield PoseResult(
                _stack([person.keypoints[0] for person in people], (keypoints, 2)),
                _stack([person.keypoint_scores[0] for person in people], (keypoints,)),
                pending.boxes,
                pending.scores,
                _stack([_crop_box(sample) for sample in pending.found], (4,)),
                heatmaps,
            )


@dataclasses.dataclass
class _Pending:
    """An image on its way: the boxes of its people, their scores, and what is found so far."""

    boxes: np.ndarray
    scores: np.ndarray
    found: list[PoseDataSample] = dataclasses.field(default_factory=list)


def _people(image: np.ndarray, boxes: Any, scores: Any) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and scores as arrays, checked."""
    if boxes is None:
        boxes = [[0, 0, image.shape[1], image.shape[0]]]
    boxes = np.array(boxes, np.float32)
    boxes = boxes.reshape(0, 4) if boxes.size == 0 else boxes
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must be (N, 4): x, y, width, height; got {boxes.shape}")
    if not (np.isfinite(boxes).all() and (boxes[:, 2:] > 0).all()):
        raise ValueError("boxes must have a width and a height above 0")
    scores = np.ones(len(boxes), np.float32) if scores is None else np.array(scores, np.float32)
    if scores.shape != (len(boxes),):
        raise ValueError(f"box scores must be ({len(boxes)},), got {scores.shape}")
    return boxes, scores


def _stack(arrays: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Arrays of one shape as one array of float32; there may be none."""
    return np.array(arrays, np.float32).reshape(len(arrays), *shape)


def _crop_box(sample: PoseDataSample) -> np.ndarray:
    center, size = sample.metainfo["input_center"], sample.metainfo["input_scale"]
    return np.concatenate([center - 0.5 * size, size])


# From the config


def _metainfo(dataset: dict) -> dict:
    """The meta information of a data set, parsed by MMPose."""
    with warnings.catch_warnings():
        # MMPose names the file of a built-in data set by a path that it then does not find.
        warnings.filterwarnings("ignore", message="The metainfo config file")
        try:
            config = Config({"test_dataloader": {"dataset": dataset}})
            metainfo = dataset_meta_from_config(config, "test")
        except (AssertionError, KeyError) as error:
            raise ConfigError(f"the data set's metainfo is incomplete: {error!r}") from error
    if metainfo is None:
        raise ConfigError(f"the data set {dataset.get('type')} is none of MMPose's")
    return metainfo


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


def _check_keypoints(model: nn.Module, keypoints: int) -> None:
    head = model.head
    channels = getattr(head, "out_channels", None)
    gaussian = getattr(head.decoder, "heatmap_type", "gaussian") == "gaussian"
    if gaussian and channels is not None and channels != keypoints:
        raise ConfigError(
            f"model.head.out_channels is {channels}, but the data set has {keypoints} keypoints"
        )


def _heatmap_size(model: nn.Module) -> tuple[int, int]:
    """Height and width of the heatmaps."""
    size = getattr(model.head.decoder, "heatmap_size", None)
    if size is None:
        raise ConfigError(f"the config's head, {type(model.head).__name__}, makes no heatmaps")
    width, height = size
    return height, width
