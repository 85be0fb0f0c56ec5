"""DSS2D: the deformable selective scan of a DVSS block."""

import math

import torch
from torch import Tensor, nn

from hrvmamba.layers.depthwise_conv import DepthwiseConv
from hrvmamba.layers.se import SE
from hrvmamba.ops import deform_sample, selective_scan_2d
from hrvmamba.ops.deform_sample import OFFSET_MASK_CHANNELS
from hrvmamba.ops.paths import DIRECTIONS

_DT_RANGE = (1e-3, 1e-1)


class DSS2D(nn.Module):
    """Project, sample deformably, scan along four directions, merge and project back.

    With C channels, the inner width is D = 2C and ``dt_rank`` R = ceil(C / 16), which is also the
    number of sampling groups (paper, section 3.2).

    Args:
        channels: C.
        d_state: N, the state's size for each channel.
        use_se: scale the normalised scan by squeeze and excitation (Nano and Tiny).
        use_offset_conv: a 3x3 depthwise convolution ahead of the offset projection (Base).
        drop_rate: dropout probability after the output projection, in [0, 1].

    Raises:
        ValueError: D is not divisible by the number of sampling groups.
    """

    def __init__(
        self,
        channels: int,
        d_state: int = 1,
        use_se: bool = False,
        use_offset_conv: bool = False,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.d_inner = 2 * channels
        self.dt_rank = math.ceil(channels / 16)
        self.d_state = d_state
        self.groups = self.dt_rank
        if self.d_inner % self.groups:
            raise ValueError(
                f"channels must make D = 2*channels divisible by ceil(channels / 16) sampling "
                f"groups, got {channels}: D = {self.d_inner}, {self.groups} groups"
            )
        self.in_proj = nn.Linear(channels, self.d_inner, bias=False)
        self.offset_conv = DepthwiseConv(self.d_inner, 3) if use_offset_conv else nn.Identity()
        offset_mask_channels = math.ceil(self.groups * OFFSET_MASK_CHANNELS / 8) * 8
        self.offset_mask = nn.Linear(self.d_inner, offset_mask_channels)
        params = self.dt_rank + 2 * d_state
        self.x_proj = nn.Linear(self.d_inner, DIRECTIONS * params, bias=False)
        self.dt_weight = nn.Parameter(torch.empty(DIRECTIONS, self.d_inner, self.dt_rank))
        self.dt_bias = nn.Parameter(torch.empty(DIRECTIONS, self.d_inner))
        self.A_log = nn.Parameter(torch.empty(DIRECTIONS, self.d_inner, d_state))
        self.Dskip = nn.Parameter(torch.empty(DIRECTIONS, self.d_inner))
        self.out_norm = nn.LayerNorm(self.d_inner)
        self.se = SE(self.d_inner) if use_se else nn.Identity()
        self.out_proj = nn.Linear(self.d_inner, channels, bias=False)
        self.drop = nn.Dropout(drop_rate)
        self.reset_scan_parameters()

    @torch.no_grad()
    def reset_scan_parameters(self) -> None:
        """Initialise the offsets to zero and the scan's own parameters as in Mamba."""
        nn.init.zeros_(self.offset_mask.weight)
        nn.init.zeros_(self.offset_mask.bias)
        bound = self.dt_rank**-0.5
        nn.init.uniform_(self.dt_weight, -bound, bound)
        low, high = (math.log(limit) for limit in _DT_RANGE)
        dt = torch.empty_like(self.dt_bias).uniform_(low, high).exp_()
        self.dt_bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus
        states = torch.arange(1, self.d_state + 1, dtype=self.A_log.dtype, device=self.A_log.device)
        self.A_log.copy_(states.log().expand_as(self.A_log))
        nn.init.ones_(self.Dskip)

    def forward(self, x: Tensor) -> Tensor:
        """Map x ``(B, H, W, C)``, already normalised, to ``(B, H, W, C)``."""
        value = self.in_proj(x)
        offset_mask = self.offset_mask(self.offset_conv(value))
        u = deform_sample(value, offset_mask, self.groups, activation="silu")
        ssm_params = self.x_proj(u).unflatten(-1, (DIRECTIONS, -1))
        y = selective_scan_2d(u, ssm_params, self.dt_weight, self.dt_bias, self.A_log, self.Dskip)
        return self.drop(self.out_proj(self.se(self.out_norm(y))))
