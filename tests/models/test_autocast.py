import cv2
import numpy as np
import pytest
import torch
from torch import nn

from hrvmamba.datasets import CASTS, draw_scene
from hrvmamba.models import HRVMamba

SIZE = (64, 48)
STEPS = 200


def people(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Drawn people, (count, 3, 64, 48), and heatmaps of their keypoints, (count, 17, 16, 12)."""
    height, width = SIZE
    images, heatmaps = [], []
    rows, columns = np.mgrid[: height // 4, : width // 4]
    for seed in range(count):
        scene = draw_scene(np.random.default_rng(seed), (96, 96), CASTS["simple"])
        image = cv2.resize(scene.image, (width, height), interpolation=cv2.INTER_AREA)
        images.append(torch.from_numpy(image).permute(2, 0, 1) / 127.5 - 1)
        keypoints = np.reshape(scene.annotations[0]["keypoints"], (17, 3, 1, 1))
        x, y = keypoints[:, 0] * width / 96 / 4, keypoints[:, 1] * height / 96 / 4
        square = (columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2
        heatmaps.append(torch.from_numpy(np.exp(-square / 2) * (keypoints[:, 2] > 0)))
    return torch.stack(images), torch.stack(heatmaps).float()


def losses(dtype: torch.dtype | None) -> torch.Tensor:
    """Train the tiny preset, under autocast unless dtype is None."""
    torch.manual_seed(0)
    images, heatmaps = people(16)
    network = HRVMamba("tiny", drop_path_rate=0.0)
    head = nn.Conv2d(16, 17, 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    parameters = [*network.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=3e-4, fused=True)
    values = []
    for step in range(STEPS):
        batch = slice(step % 8 * 2, step % 8 * 2 + 2)
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            out = head(network(images[batch])[0])
        loss = 1000 * (out.float() - heatmaps[batch]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.detach())
    return torch.stack(values)


@pytest.mark.slow
def test_bfloat16_training_follows_float32():
    half, full = losses(torch.bfloat16), losses(None)
    assert half.isfinite().all()
    assert full[-50:].mean() < 0.8 * full[:50].mean()  # it learns
    half, full = (values.view(-1, 100).mean(1) for values in (half, full))
    torch.testing.assert_close(half, full, rtol=0.3, atol=0)
