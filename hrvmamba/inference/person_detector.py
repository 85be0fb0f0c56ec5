"""Person boxes of images, by a detector of torchvision."""

import os

import numpy as np
import torch
from torch import nn

_PERSON = "person"


def detector_names() -> list[str]:
    """The detectors that torchvision has.

    Raises:
        ImportError: torchvision is not installed.
    """
    from torchvision.models import detection, list_models

    return list_models(module=detection)


class PersonDetector:
    """Finds people with a detector of torchvision, with its weights for COCO.

    torchvision downloads the weights when a detector is first used.

    Args:
        name: of the detector, such as ``fasterrcnn_resnet50_fpn_v2``.
        device: where it runs.
        threshold: people scored less are left out.

    Raises:
        ImportError: torchvision is not installed.
        ValueError: there is no such detector.
        ConnectionError: the weights cannot be downloaded.
    """

    def __init__(self, name: str, device: torch.device, threshold: float = 0.5) -> None:
        from torchvision.models import get_model_weights

        if name not in detector_names():
            raise ValueError(f"no detector {name!r}; torchvision has {', '.join(detector_names())}")
        weights = get_model_weights(name).DEFAULT
        self._person = weights.meta["categories"].index(_PERSON)
        self._transform = weights.transforms()
        self._threshold = threshold
        self._device = device
        self._model = _build(name, weights).to(device).eval()

    @torch.no_grad()
    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the people in an image.

        Args:
            image: ``(H, W, 3)``, BGR, uint8.

        Returns:
            Boxes, ``(N, 4)``, x, y, width, height in pixels; and their scores, ``(N,)``.
        """
        rgb = torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)))
        (found,) = self._model([self._transform(rgb).to(self._device)])
        kept = (found["labels"] == self._person) & (found["scores"] >= self._threshold)
        boxes = found["boxes"][kept]
        boxes = torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
        return boxes.cpu().numpy(), found["scores"][kept].cpu().numpy()


def _build(name: str, weights) -> nn.Module:
    from torchvision.models import get_model

    try:
        return get_model(name, weights=weights)
    except (OSError, RuntimeError) as error:  # no network, a full disk, a damaged download
        path = os.path.join(torch.hub.get_dir(), "checkpoints", os.path.basename(weights.url))
        raise ConnectionError(
            f"the weights of the detector {name} cannot be downloaded ({error}): fetch "
            f"{weights.url} elsewhere, and put it at {path}"
        ) from error
