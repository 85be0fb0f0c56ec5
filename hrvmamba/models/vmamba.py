"""VMamba: the hierarchical backbone of SS2D, HRVMamba's direct ancestor.

"VMamba: Visual State Space Model", arXiv 2401.10166, in its released form: a block of SS2D and FFN
without gating, one state a channel, and overlapping 3x3 convolutions to halve the maps.
"""

import dataclasses
from collections.abc import Sequence

from torch import Tensor, nn

from hrvmamba.layers import VSSBlock
from hrvmamba.models.checks import (
    check_drop_path_rate,
    check_images,
    check_out_indices,
    refuse_options,
    resolve_arch,
)

_STAGES = 4


@dataclasses.dataclass(frozen=True)
class Arch:
    """What sets one preset apart from another.

    Attributes:
        channels: width of the first stage, even; each further one has twice as many.
        depths: blocks of the four stages.
        ssm_ratio: the width of SS2D's scan is this many times the stage's.
    """

    channels: int
    depths: tuple[int, int, int, int]
    ssm_ratio: float

    def __post_init__(self) -> None:
        if self.channels < 2 or self.channels % 2:
            raise ValueError(f"arch['channels'] must be even and positive, got {self.channels}")
        if self.ssm_ratio <= 0:
            raise ValueError(f"arch['ssm_ratio'] must be greater than 0, got {self.ssm_ratio}")
        if len(self.depths) != _STAGES or min(self.depths) < 1:
            raise ValueError(
                f"arch['depths'] must hold {_STAGES} numbers of blocks, 1 at least, "
                f"got {self.depths}"
            )


ARCHS = {
    "tiny": Arch(96, (2, 2, 8, 2), ssm_ratio=1.0),
    "base": Arch(128, (2, 2, 15, 2), ssm_ratio=2.0),
}
"""VMamba's presets that HRVMamba's paper compares with (Table III)."""


class VMamba(nn.Module):
    """The VMamba backbone.

    Args:
        arch: a preset's name (see ``ARCHS``), an :class:`Arch`, or its fields as a dict.
        in_channels: channels of the input.
        out_indices: the stages whose maps to return, each normed, from 0 (1/4 of the input's size)
            to 3 (1/32). There are no stages behind the last of them.
        drop_path_rate: stochastic depth of the last block, in [0, 1); it grows linearly from 0.

    Raises:
        TypeError: an unknown option.
        ValueError: an unknown preset, or a value outside its range.
    """

    def __init__(
        self,
        arch: str | dict | Arch = "tiny",
        in_channels: int = 3,
        out_indices: Sequence[int] = (3,),
        drop_path_rate: float = 0.2,
        **unknown: object,
    ) -> None:
        super().__init__()
        if unknown:
            refuse_options(type(self), VMamba, unknown)
        arch = resolve_arch(arch, ARCHS)
        check_out_indices(out_indices, "stages")
        check_drop_path_rate(drop_path_rate)
        widths = [arch.channels * 2**index for index in range(_STAGES)]
        self.out_indices = tuple(out_indices)
        self.out_channels = tuple(widths[index] for index in self.out_indices)

        positions = sum(arch.depths)
        rates = (drop_path_rate * i / (positions - 1) for i in range(positions))
        self.stem = nn.Sequential(
            HalvingConv(in_channels, widths[0] // 2),
            nn.GELU(),
            HalvingConv(widths[0] // 2, widths[0]),
        )
        self.stages = nn.ModuleList()
        for index in range(max(self.out_indices) + 1):
            channels = widths[index]
            downsampling = [HalvingConv(widths[index - 1], channels)] if index else []
            d_inner = round(arch.ssm_ratio * channels)
            blocks = (VSSBlock(channels, d_inner, next(rates)) for _ in range(arch.depths[index]))
            self.stages.append(nn.Sequential(*downsampling, *blocks))
        self.norms = nn.ModuleDict(
            {str(index): nn.LayerNorm(widths[index]) for index in self.out_indices}
        )
        self._init_linear_layers()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps of the stages ``out_indices``.

        Args:
            x: images, ``(B, in_channels, H, W)``, H and W at least 32.

        Returns:
            For each index i a map ``(B, 2^i * channels, H / 2^{i+2}, W / 2^{i+2})``, sizes rounded
            up.

        Raises:
            TypeError: x is not a floating tensor of the parameters' type (outside autocast).
            ValueError: x has another rank, number of channels or device, or is too small.
        """
        check_images(x, self.stem[0].conv.weight)
        x = self.stem(x.permute(0, 2, 3, 1))
        maps = {}
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in self.out_indices:
                maps[index] = self.norms[str(index)](x).permute(0, 3, 1, 2)
        return tuple(maps[index] for index in self.out_indices)

    def _init_linear_layers(self) -> None:
        """Initialise as VMamba does: only x_proj keeps PyTorch's initial weights."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear) and not name.endswith("x_proj"):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


class HalvingConv(nn.Module):
    """A 3x3 convolution of stride 2 and a LayerNorm, on a channels-last map.

    Args:
        in_channels: channels of the input.
        channels: channels of the output.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map x ``(B, H, W, in_channels)`` to ``(B, H / 2, W / 2, channels)``, rounded up."""
        return self.norm(self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
