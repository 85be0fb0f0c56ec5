"""The card of an MMPose config's model: what a runtime must know besides the weights."""

from collections.abc import Callable

import numpy as np
from mmpose.codecs import MSRAHeatmap, UDPHeatmap
from mmpose.datasets.transforms import (
    GetBBoxCenterScale,
    LoadImage,
    PackPoseInputs,
    TopdownAffine,
)
from mmpose.models.heads import HeatmapHead
from torch import nn

from hrvmamba.inference.pose_card import DECODERS, PoseCard
from hrvmamba.inference.pose_inferencer import PoseInferencer
from hrvmamba.integrations.config import ConfigError


def config_card(infer: PoseInferencer) -> PoseCard:
    """Say how the model of a config is used.

    Raises:
        ConfigError: it is used in a way that a card cannot tell, or its head makes no heatmaps.
    """
    model, metainfo = infer.model, infer.metainfo
    crop, center = _crop_transforms(infer.transforms)
    decoder = _decoder(model.head)
    test = model.test_cfg
    if test.get("flip_test") and test.get("flip_mode", "heatmap") != "heatmap":
        raise ConfigError(f"model.test_cfg.flip_mode must be heatmap, got {test['flip_mode']}")
    if test.get("output_keypoint_indices") is not None:
        raise ConfigError("model.test_cfg.output_keypoint_indices is not exported: remove it")
    links = metainfo["skeleton_links"]
    skeleton = infer.skeleton
    return PoseCard(
        input_size=_ints(crop.input_size),
        heatmap_size=_ints(decoder.heatmap_size),
        **_normalisation(model.data_preprocessor),
        box_padding=float(center.padding),
        udp_crop=bool(crop.use_udp),
        decoder=type(decoder).__name__,
        unbiased=bool(getattr(decoder, "unbiased", False)),
        blur_kernel_size=int(decoder.blur_kernel_size),
        flip_test=bool(test.get("flip_test", False)),
        shift_heatmap=bool(test.get("shift_heatmap", False)),
        keypoint_names=skeleton.names,
        flip_indices=_ints(metainfo["flip_indices"]),
        sigmas=tuple(round(float(sigma), 6) for sigma in metainfo["sigmas"]),
        skeleton_links=tuple(map(_ints, links)),
        keypoint_colours=tuple(map(_ints, skeleton.keypoint_colours)),
        link_colours=tuple(map(_ints, skeleton.link_colours)),
    )


def _ints(values) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _crop_transforms(transforms: list[Callable]) -> tuple[TopdownAffine, GetBBoxCenterScale]:
    """The transforms that say how people are cropped, of a pipeline that does nothing else."""
    kinds = (LoadImage, GetBBoxCenterScale, TopdownAffine, PackPoseInputs)
    if tuple(map(type, transforms)) != kinds:
        expected, got = (
            ", ".join(names)
            for names in (
                [kind.__name__ for kind in kinds],
                [type(transform).__name__ for transform in transforms],
            )
        )
        raise ConfigError(f"the test pipeline must be {expected} to be exported, got {got}")
    _, center, crop, _ = transforms
    return crop, center


def _decoder(head: nn.Module) -> MSRAHeatmap | UDPHeatmap:
    """The codec of a heatmap head."""
    if not isinstance(head, HeatmapHead):
        raise ConfigError(
            f"model.head must be a HeatmapHead to be exported, got {type(head).__name__}"
        )
    decoder = head.decoder
    name = type(decoder).__name__
    kind = getattr(decoder, "heatmap_type", "gaussian")
    if name not in DECODERS or kind != "gaussian":
        raise ConfigError(
            f"model.head.decoder must be one of {', '.join(DECODERS)}, with Gaussian heatmaps, to "
            f"be exported, got {name}{'' if kind == 'gaussian' else f' with {kind} ones'}"
        )
    return decoder


def _normalisation(preprocessor: nn.Module) -> dict[str, object]:
    mean, std = [0.0] * 3, [1.0] * 3
    if preprocessor._enable_normalize:
        mean, std = (buffer.flatten().tolist() for buffer in (preprocessor.mean, preprocessor.std))
    return {
        "channels": "RGB" if preprocessor._channel_conversion else "BGR",
        "mean": tuple(map(_as_written, mean)),
        "std": tuple(map(_as_written, std)),
    }


def _as_written(value: float) -> float:
    """The shortest number that is this one in 32 bits."""
    return float(str(np.float32(value)))
