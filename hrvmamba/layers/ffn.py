"""The feed-forward network of a DVSS block."""

from collections.abc import Sequence

from torch import Tensor, nn

from hrvmamba.layers.esinb import ESInB


class FFN(nn.Module):
    """Two linear layers with a GELU between, dropout after the GELU and at the end.

    Args:
        channels: C of input and output.
        hidden_channels: width of the hidden layer.
        drop_rate: dropout probability, in [0, 1].
        esinb_kernel_sizes: of the convolutions of an ESInB between the two layers, in the GELU's
            place, which is its last step. None: the GELU alone.
    """

    def __init__(
        self,
        channels: int,
        hidden_channels: int,
        drop_rate: float = 0.0,
        esinb_kernel_sizes: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden_channels)
        self.act = ESInB(hidden_channels, esinb_kernel_sizes) if esinb_kernel_sizes else nn.GELU()
        self.fc2 = nn.Linear(hidden_channels, channels)
        self.drop = nn.Dropout(drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Map x ``(..., C)``, or ``(B, H, W, C)`` with an ESInB, to the same shape."""
        return self.drop(self.fc2(self.drop(self.act(self.fc1(x)))))
