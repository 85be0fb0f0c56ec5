"""SE: squeeze and excitation."""

import torch
from torch import Tensor, nn

_REDUCTION = 8


class SE(nn.Module):
    """Scale the channels of a map by ``sigmoid(W2 ReLU(W1 mean))``, its mean over the positions.

    Args:
        channels: C; W1 maps it to C // 8 and W2 back, both without bias.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(channels, channels // _REDUCTION, bias=False)
        self.expand = nn.Linear(channels // _REDUCTION, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Scale x ``(B, H, W, C)``."""
        mean = x.mean((1, 2), keepdim=True)
        return x * torch.sigmoid(self.expand(torch.relu(self.reduce(mean))))
