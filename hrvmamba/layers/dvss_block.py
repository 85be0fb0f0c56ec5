"""DVSSBlock: the dynamic visual state-space block."""

from torch import Tensor, nn

from hrvmamba.layers.drop_path import DropPath
from hrvmamba.layers.dss2d import DSS2D
from hrvmamba.layers.esinb import ESInB
from hrvmamba.layers.ffn import FFN
from hrvmamba.layers.lpu import LPU


class DVSSBlock(nn.Module):
    """ESInB, DSS2D and FFN, each ahead of a residual (paper, section 3.2, figure 3).

    Args:
        channels: C, divisible by 4.
        use_lpu: local perception units ahead of ESInB and ahead of the FFN (Nano and Tiny).
        use_se: squeeze and excitation in DSS2D (Nano and Tiny).
        use_offset_conv: a depthwise convolution ahead of DSS2D's offset projection (Base).
        drop_path_rate: stochastic depth of the residuals, in [0, 1).
        drop_rate: dropout in DSS2D and FFN, in [0, 1].
        esinb_drop_path: whether stochastic depth applies to ESInB too.
    """

    def __init__(
        self,
        channels: int,
        use_lpu: bool = False,
        use_se: bool = False,
        use_offset_conv: bool = False,
        drop_path_rate: float = 0.0,
        drop_rate: float = 0.0,
        esinb_drop_path: bool = True,
    ) -> None:
        super().__init__()
        self.lpu1 = LPU(channels) if use_lpu else nn.Identity()
        self.esinb_norm = nn.LayerNorm(channels)
        self.esinb = ESInB(channels)
        self.dss2d_norm = nn.LayerNorm(channels)
        self.dss2d = DSS2D(
            channels, use_se=use_se, use_offset_conv=use_offset_conv, drop_rate=drop_rate
        )
        self.lpu2 = LPU(channels) if use_lpu else nn.Identity()
        self.ffn_norm = nn.LayerNorm(channels)
        self.ffn = FFN(channels, 2 * channels, drop_rate)
        self.drop_path = DropPath(drop_path_rate)
        self.esinb_drop_path = DropPath(drop_path_rate if esinb_drop_path else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Map x ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        # The first LPU feeds ESInB alone: the residual adds x, not the LPU's output.
        x = x + self.esinb_drop_path(self.esinb(self.esinb_norm(self.lpu1(x))))
        x = x + self.drop_path(self.dss2d(self.dss2d_norm(x)))
        x = self.lpu2(x)
        return x + self.drop_path(self.ffn(self.ffn_norm(x)))
