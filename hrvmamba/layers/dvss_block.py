"""DVSSBlock: the dynamic visual state-space block."""

from collections.abc import Sequence

from torch import Tensor, nn

from hrvmamba.layers.drop_path import DropPath
from hrvmamba.layers.dss2d import DSS2D
from hrvmamba.layers.esinb import KERNEL_SIZES, ESInB
from hrvmamba.layers.ffn import FFN
from hrvmamba.layers.lpu import LPU
from hrvmamba.layers.ss2d import SS2D

ESINB_PLACES = ("block", "ffn", "none")
"""Where ESInB is: ahead of DSS2D with a residual of its own, between the FFN's layers, nowhere."""


class DVSSBlock(nn.Module):
    """ESInB, DSS2D and FFN, each ahead of a residual (paper, section 3.2, figure 3).

    ``dilations``, ``esinb`` and ``esinb_kernel_sizes`` are what the paper's ablations change.

    Args:
        channels: C, divisible by the number of ESInB's kernels.
        use_lpu: local perception units ahead of ESInB, where that is a block of its own, and ahead
            of the FFN (Nano and Tiny).
        use_se: squeeze and excitation in DSS2D (Nano and Tiny).
        use_offset_conv: a depthwise convolution ahead of DSS2D's offset projection (Base).
        drop_path_rate: stochastic depth of the residuals, in [0, 1).
        drop_rate: dropout in DSS2D and FFN, in [0, 1].
        esinb_drop_path: whether stochastic depth applies to ESInB too.
        dilations: of the depthwise convolutions of an :class:`SS2D` in DSS2D's place; None: DSS2D.
        esinb: where ESInB is, one of ``ESINB_PLACES``.
        esinb_kernel_sizes: of ESInB's convolutions.

    Raises:
        ValueError: ``esinb`` is no such place, there is an offset projection's convolution without
            a DSS2D, or a value is none that the layers take.
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
        dilations: Sequence[int] | None = None,
        esinb: str = "block",
        esinb_kernel_sizes: Sequence[int] = KERNEL_SIZES,
    ) -> None:
        super().__init__()
        if esinb not in ESINB_PLACES:
            raise ValueError(f"esinb must be one of {', '.join(ESINB_PLACES)}, got {esinb!r}")
        if use_offset_conv and dilations is not None:
            raise ValueError(
                f"use_offset_conv must be False where dilations {dilations} replace the deformable "
                "sampling: there are no offsets"
            )
        self.esinb = None
        if esinb == "block":
            self.lpu1 = LPU(channels) if use_lpu else nn.Identity()
            self.esinb_norm = nn.LayerNorm(channels)
            self.esinb = ESInB(channels, esinb_kernel_sizes)
            self.esinb_drop_path = DropPath(drop_path_rate if esinb_drop_path else 0.0)
        self.dss2d_norm = nn.LayerNorm(channels)
        self.dss2d = (
            DSS2D(channels, use_se=use_se, use_offset_conv=use_offset_conv, drop_rate=drop_rate)
            if dilations is None
            else SS2D(channels, dilations=dilations, use_se=use_se, drop_rate=drop_rate)
        )
        self.lpu2 = LPU(channels) if use_lpu else nn.Identity()
        self.ffn_norm = nn.LayerNorm(channels)
        in_ffn = esinb_kernel_sizes if esinb == "ffn" else None
        self.ffn = FFN(channels, 2 * channels, drop_rate, in_ffn)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Map x ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        if self.esinb is not None:
            # The first LPU feeds ESInB alone: the residual adds x, not the LPU's output.
            x = x + self.esinb_drop_path(self.esinb(self.esinb_norm(self.lpu1(x))))
        x = x + self.drop_path(self.dss2d(self.dss2d_norm(x)))
        x = self.lpu2(x)
        return x + self.drop_path(self.ffn(self.ffn_norm(x)))
