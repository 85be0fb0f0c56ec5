"""SS2D: the selective scan of a map along four directions."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hrvmamba.layers.depthwise_conv import DepthwiseConv
from hrvmamba.layers.se import SE
from hrvmamba.ops import selective_scan_2d
from hrvmamba.ops.paths import DIRECTIONS

_DT_RANGE = (1e-3, 1e-1)


class SS2D(nn.Module):
    """Project, sample around each position, scan along four directions, merge and project back.

    With C channels, ``dt_rank`` is R = ceil(C / 16). The sampling is VMamba's 3x3 depthwise
    convolution with a SiLU (arXiv 2401.10166), or several of different dilations, each on its own
    channels, of which the paper's ablation compares some with DSS2D's.

    Args:
        channels: C.
        d_inner: D, the width of sampling and scan; 2C if None.
        d_state: N, the state's size for each channel.
        dilations: of the depthwise convolutions. The D channels are split among them evenly, in
            order; where D is not divisible, the first ones take one channel more. None: there are
            none, for a subclass with a :meth:`sample` of its own.
        conv_bias: whether those convolutions have a bias; VMamba's have none.
        use_se: scale the normalised scan by squeeze and excitation.
        drop_rate: dropout probability after the output projection, in [0, 1].

    Raises:
        ValueError: ``dilations`` holds none, more than D, or one below 1.
    """

    def __init__(
        self,
        channels: int,
        d_inner: int | None = None,
        d_state: int = 1,
        dilations: Sequence[int] | None = (1,),
        conv_bias: bool = True,
        use_se: bool = False,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.d_inner = d_inner or 2 * channels
        self.dt_rank = math.ceil(channels / 16)
        self.d_state = d_state
        self.in_proj = nn.Linear(channels, self.d_inner, bias=False)
        if dilations is not None:
            self.sampling = _dilated_convs(self.d_inner, dilations, conv_bias)
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
        """Initialise the scan's own parameters as in Mamba."""
        bound = self.dt_rank**-0.5
        nn.init.uniform_(self.dt_weight, -bound, bound)
        low, high = (math.log(limit) for limit in _DT_RANGE)
        dt = torch.empty_like(self.dt_bias).uniform_(low, high).exp_()
        self.dt_bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus
        states = torch.arange(1, self.d_state + 1, dtype=self.A_log.dtype, device=self.A_log.device)
        self.A_log.copy_(states.log().expand_as(self.A_log))
        nn.init.ones_(self.Dskip)

    def sample(self, value: Tensor) -> Tensor:
        """Map the values ``(B, H, W, D)`` to the scan's input, of the same shape, after a SiLU."""
        parts = value.split([conv.in_channels for conv in self.sampling], -1)
        maps = [conv(part) for conv, part in zip(self.sampling, parts, strict=True)]
        return F.silu(torch.cat(maps, -1))

    def forward(self, x: Tensor) -> Tensor:
        """Map x ``(B, H, W, C)``, already normalised, to ``(B, H, W, C)``."""
        u = self.sample(self.in_proj(x))
        ssm_params = self.x_proj(u).unflatten(-1, (DIRECTIONS, -1))
        y = selective_scan_2d(u, ssm_params, self.dt_weight, self.dt_bias, self.A_log, self.Dskip)
        return self.drop(self.out_proj(self.se(self.out_norm(y))))


def _dilated_convs(channels: int, dilations: Sequence[int], bias: bool) -> nn.ModuleList:
    """A 3x3 depthwise convolution for each dilation, on near equal shares of the channels."""
    count = len(dilations)
    if not 1 <= count <= channels or not all(isinstance(d, int) and d >= 1 for d in dilations):
        raise ValueError(
            f"dilations must hold from 1 to {channels} positive integers, such as (1,) or "
            f"(1, 3, 5), got {dilations}"
        )
    share, rest = divmod(channels, count)
    return nn.ModuleList(
        DepthwiseConv(share + (index < rest), kernel_size=3, dilation=dilation, bias=bias)
        for index, dilation in enumerate(dilations)
    )
