"""The feed-forward network of a DVSS block."""

import torch.nn.functional as F
from torch import Tensor, nn


class FFN(nn.Module):
    """Two linear layers with a GELU between, dropout after the GELU and at the end.

    Args:
        channels: C of input and output.
        hidden_channels: width of the hidden layer.
        drop_rate: dropout probability, in [0, 1].
    """

    def __init__(self, channels: int, hidden_channels: int, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden_channels)
        self.fc2 = nn.Linear(hidden_channels, channels)
        self.drop = nn.Dropout(drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Map x ``(..., C)`` to ``(..., C)``."""
        return self.drop(self.fc2(self.drop(F.gelu(self.fc1(x)))))
