"""VSSBlock: the visual state-space block of VMamba."""

from torch import Tensor, nn

from hrvmamba.layers.drop_path import DropPath
from hrvmamba.layers.ffn import FFN
from hrvmamba.layers.ss2d import SS2D

MLP_RATIO = 4


class VSSBlock(nn.Module):
    """SS2D and FFN, each ahead of a residual (arXiv 2401.10166; as released, without gating).

    Args:
        channels: C.
        d_inner: D, the width of SS2D's sampling and scan.
        drop_path_rate: stochastic depth of the residuals, in [0, 1).
    """

    def __init__(self, channels: int, d_inner: int, drop_path_rate: float = 0.0) -> None:
        super().__init__()
        self.ss2d_norm = nn.LayerNorm(channels)
        self.ss2d = SS2D(channels, d_inner, conv_bias=False)
        self.ffn_norm = nn.LayerNorm(channels)
        self.ffn = FFN(channels, MLP_RATIO * channels)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Map x ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        x = x + self.drop_path(self.ss2d(self.ss2d_norm(x)))
        return x + self.drop_path(self.ffn(self.ffn_norm(x)))
