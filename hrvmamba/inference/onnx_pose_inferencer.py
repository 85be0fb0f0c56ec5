"""An exported pose model on images, by onnxruntime, NumPy and OpenCV alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hrvmamba.inference.heatmap_decoding import decode_heatmaps
from hrvmamba.inference.inputs import ImageFile
from hrvmamba.inference.pose_card import PoseCard
from hrvmamba.inference.streaming_inferencer import Image, Person, StreamingInferencer, check_image
from hrvmamba.inference.topdown_crop import TopdownCrop, crop_around, cut

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
"""onnxruntime's names of devices."""


class OnnxPoseInferencer(StreamingInferencer):
    """Finds the keypoints of people with a model that ``hrvmamba export`` wrote.

    It crops, flips and decodes as the file says. No PyTorch is needed. ::

        infer = OnnxPoseInferencer("model.onnx")
        (result,) = infer("people.jpg", boxes=[[20, 10, 110, 250]])
        result.keypoints  # (1, K, 2), in pixels

    Args:
        model: the file.
        device: cpu or cuda.
        batch_size: people that go through the model at once.
        heatmaps: whether to return the heatmaps as well.
        threads: of a CPU; None leaves them to onnxruntime.

    Attributes:
        card: how the model is used.
        skeleton: the data set's keypoints, links and colours.
        returns_heatmaps: whether results have heatmaps.

    Raises:
        ImportError: onnxruntime is not installed.
        FileNotFoundError: there is no such file.
        ValueError: it is not a model that ``hrvmamba export`` wrote, or onnxruntime has no such
            device.
    """

    def __init__(
        self,
        model: str | os.PathLike,
        device: str = "cpu",
        *,
        batch_size: int = 32,
        heatmaps: bool = False,
        threads: int | None = None,
    ) -> None:
        self.session = open_session(model, device, threads)
        try:
            self.card = PoseCard.of_properties(self.session.get_modelmeta().custom_metadata_map)
        except ValueError as error:
            raise ValueError(f"{model}: {error}") from error
        width, height = self.card.heatmap_size
        super().__init__(self.card.skeleton, batch_size, (height, width) if heatmaps else None)
        (self._input,) = (item.name for item in self.session.get_inputs())
        self._mean, self._std = (np.array(v, np.float32) for v in (self.card.mean, self.card.std))

    def _read(self, image: Image) -> dict:
        if isinstance(image, np.ndarray):
            check_image(image)
            return {"img": image}
        try:
            return {"img": ImageFile(Path(image), Path(image).name).read()}
        except ValueError as error:
            raise ValueError(f"the image {image} {error}") from error

    def _crop(self, loaded: dict, boxes: np.ndarray, scores: np.ndarray) -> Iterator[_Cut]:
        card = self.card
        for box in boxes:
            crop = crop_around(box, card.box_padding, card.input_size)
            yield _Cut(crop, cut(loaded["img"], crop, card.input_size, card.udp_crop))

    def _find(self, crops: list[_Cut]) -> list[Person]:
        card = self.card
        images = np.stack([crop.image for crop in crops])
        if card.channels == "RGB":
            images = images[..., ::-1]
        images = (images.astype(np.float32) - self._mean) / self._std
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        heatmaps = self._heatmaps(images)
        if card.flip_test:
            mirrored = self._heatmaps(np.ascontiguousarray(images[..., ::-1]))
            mirrored = mirrored[:, list(card.flip_indices), :, ::-1].copy()
            if card.shift_heatmap:
                mirrored[..., 1:] = mirrored[..., :-1].copy()
            heatmaps = (heatmaps + mirrored) * np.float32(0.5)
        return [
            self._person(crop.crop, its_heatmaps)
            for (crop, its_heatmaps) in zip(crops, heatmaps, strict=True)
        ]

    def _heatmaps(self, images: np.ndarray) -> np.ndarray:
        (heatmaps,) = self.session.run(None, {self._input: images})
        return heatmaps

    def _person(self, crop: TopdownCrop, heatmaps: np.ndarray) -> Person:
        card = self.card
        points, scores = decode_heatmaps(
            heatmaps, card.input_size, card.decoder, card.unbiased, card.blur_kernel_size
        )
        points = points / card.input_size * crop.size + crop.center - 0.5 * crop.size
        return Person(points, scores, crop.box, heatmaps if self.returns_heatmaps else None)


class _Cut(NamedTuple):
    crop: TopdownCrop
    image: np.ndarray  # (H, W, 3), uint8, BGR


def open_session(
    model: str | os.PathLike, device: str = "cpu", threads: int | None = None
) -> InferenceSession:
    """Open a file with onnxruntime.

    Args:
        model: the file.
        device: cpu or cuda.
        threads: of a CPU; None leaves them to onnxruntime.

    Raises:
        ImportError: onnxruntime is not installed.
        FileNotFoundError: there is no such file.
        ValueError: it is not an ONNX file, or onnxruntime has no such device.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(f"this needs onnxruntime: pip install onnxruntime ({error})") from error
    if not os.path.isfile(model):
        raise FileNotFoundError(f"the model {model} does not exist")
    provider = PROVIDERS.get(device)
    if provider not in onnxruntime.get_available_providers():
        raise ValueError(
            f"this onnxruntime has no device {device!r}: it has "
            f"{', '.join(onnxruntime.get_available_providers())}. For cuda: "
            "pip install onnxruntime-gpu"
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    if threads is not None:
        options.intra_op_num_threads = threads
    providers = list(dict.fromkeys([provider, PROVIDERS["cpu"]]))
    try:
        session = onnxruntime.InferenceSession(os.fspath(model), options, providers=providers)
    except Exception as error:  # its own types, which are not public
        raise ValueError(f"{model} is no ONNX model that onnxruntime can run: {error}") from error
    if session.get_providers()[0] != provider:  # it went on without, and said so in its log alone
        raise ValueError(f"onnxruntime cannot start {provider} on this machine, see its log")
    return session
