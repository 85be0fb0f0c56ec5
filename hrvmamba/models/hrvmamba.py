"""HRVMamba: parallel resolutions of DVSS blocks, fused as in HRNet and HRFormer.

"Efficient High-Resolution Visual Representation Learning with State Space Model for Human Pose
Estimation", arXiv 2410.03174. The network reads from top to bottom in this file; its block is
:class:`hrvmamba.layers.DVSSBlock`.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from hrvmamba.layers import DVSSBlock
from hrvmamba.layers.esinb import KERNEL_SIZES
from hrvmamba.models.checks import (
    check_drop_path_rate,
    check_images,
    check_out_indices,
    refuse_options,
    resolve_arch,
)
from hrvmamba.models.conv_norm import NormLayer, conv_norm, conv_norm_relu

_STEM_CHANNELS = 64
_EXPANSION = 4
_MODULES = {2: 1, 3: 4, 4: 2}  # modules of stages 2 to 4, which have as many branches
_BLOCKS = 2  # blocks in each branch of a module


@dataclasses.dataclass(frozen=True)
class Arch:
    """What sets one preset apart from another.

    Attributes:
        bottleneck_channels: width C0 of the stage of bottlenecks; its output has 4 * C0 channels.
        channels: widths C1 to C4 of the branches at 1/4, 1/8, 1/16 and 1/32.
        use_lpu: local perception units in the DVSS blocks.
        use_se: squeeze and excitation in DSS2D.
        use_offset_conv: a depthwise convolution ahead of DSS2D's offset projection.
        dilations: of SS2D's depthwise convolutions, over near equal groups of channels, in place
            of the deformable sampling of DSS2D; None keeps DSS2D. This and what follows are the
            paper's ablations.
        esinb: where ESInB is: a "block" of its own, between the layers of the "ffn", or "none".
        esinb_kernel_sizes: of ESInB's depthwise convolutions.
    """

    bottleneck_channels: int
    channels: tuple[int, int, int, int]
    use_lpu: bool = False
    use_se: bool = False
    use_offset_conv: bool = False
    dilations: tuple[int, ...] | None = None
    esinb: str = "block"
    esinb_kernel_sizes: tuple[int, ...] = KERNEL_SIZES

    def __post_init__(self) -> None:
        if len(self.channels) != 4:
            raise ValueError(f"arch['channels'] must hold 4 widths, got {self.channels}")


ARCHS = {
    "nano": Arch(16, (8, 16, 32, 64), use_lpu=True, use_se=True),
    "tiny": Arch(32, (16, 32, 64, 128), use_lpu=True, use_se=True),
    "small": Arch(64, (32, 64, 128, 256)),
    "base": Arch(64, (80, 160, 320, 640), use_offset_conv=True),
}
"""The presets of the paper, and Nano, which the paper has for classification alone."""


class HRVMamba(nn.Module):
    """The HRVMamba backbone.

    Args:
        arch: a preset's name (see ``ARCHS``), an :class:`Arch`, or its fields as a dict.
        in_channels: channels of the input.
        out_indices: the branches to return, from 0 (1/4 of the input's size) to 3 (1/32). The last
            module fuses into these alone.
        drop_path_rate: stochastic depth of the last of the 14 block positions of stages 2 to 4, in
            [0, 1); it grows linearly from 0.
        drop_rate: dropout after DSS2D's output projection and in the FFN, in [0, 1].
        esinb_drop_path: whether stochastic depth applies to ESInB too. None: where there are LPUs,
            as in the authors' pose release.
        norm_layer: makes the normalisation that follows each convolution from its channels.
        norm_eval: keep batch norms in evaluation mode in training too.
        frozen_stages: stages kept from training: -1 none, 0 the stem, 1 the stem and stage 1 with
            the transition behind it, up to 4.
        with_cp: recompute the DVSS blocks in backward instead of keeping their activations.

    Raises:
        TypeError: an unknown option.
        ValueError: an unknown preset, or a value outside its range.
    """

    _REPLACED_OPTIONS: tuple[str, ...] = ()  # of a subclass that has options of its own for them

    def __init__(
        self,
        arch: str | dict | Arch = "small",
        in_channels: int = 3,
        out_indices: Sequence[int] = (0,),
        drop_path_rate: float = 0.1,
        drop_rate: float = 0.0,
        esinb_drop_path: bool | None = None,
        norm_layer: NormLayer = nn.BatchNorm2d,
        norm_eval: bool = False,
        frozen_stages: int = -1,
        with_cp: bool = False,
        **unknown: object,
    ) -> None:
        super().__init__()
        if unknown:
            refuse_options(type(self), HRVMamba, unknown, self._REPLACED_OPTIONS)
        arch = resolve_arch(arch, ARCHS)
        check_out_indices(out_indices, "branches")
        check_drop_path_rate(drop_path_rate)
        if frozen_stages not in range(-1, 5):
            raise ValueError(f"frozen_stages must be from -1 to 4, got {frozen_stages}")
        self.in_channels = in_channels
        self.out_indices = tuple(out_indices)
        self.out_channels = tuple(arch.channels[index] for index in self.out_indices)
        self.norm_eval = norm_eval
        self.frozen_stages = frozen_stages

        positions = sum(_MODULES.values()) * _BLOCKS
        drop_path_rates = (drop_path_rate * i / (positions - 1) for i in range(positions))
        if esinb_drop_path is None:
            esinb_drop_path = arch.use_lpu

        def stage(branches: int, last_targets: Sequence[int]) -> nn.Sequential:
            """A stage on the finest branches; its last module fuses into ``last_targets``."""
            modules = _MODULES[branches]
            targets = [tuple(range(branches))] * (modules - 1) + [last_targets]
            return nn.Sequential(
                *(
                    HRVMambaModule(
                        arch,
                        branches,
                        module_targets,
                        drop_path_rates=list(itertools.islice(drop_path_rates, _BLOCKS)),
                        drop_rate=drop_rate,
                        esinb_drop_path=esinb_drop_path,
                        norm_layer=norm_layer,
                        with_cp=with_cp,
                    )
                    for module_targets in targets
                )
            )

        self.stem = nn.Sequential(
            conv_norm_relu(in_channels, _STEM_CHANNELS, norm_layer, stride=2),
            conv_norm_relu(_STEM_CHANNELS, _STEM_CHANNELS, norm_layer, stride=2),
        )
        stage1_channels = arch.bottleneck_channels * _EXPANSION
        self.stage1 = nn.Sequential(
            Bottleneck(_STEM_CHANNELS, arch.bottleneck_channels, norm_layer),
            Bottleneck(stage1_channels, arch.bottleneck_channels, norm_layer),
        )
        self.transition1 = Transition((stage1_channels,), arch.channels[:2], norm_layer)
        self.stage2 = stage(2, (0, 1))
        self.transition2 = Transition(arch.channels[:2], arch.channels[:3], norm_layer)
        self.stage3 = stage(3, (0, 1, 2))
        self.transition3 = Transition(arch.channels[:3], arch.channels, norm_layer)
        self.stage4 = stage(4, self.out_indices)

        self._init_convolutions()
        self._freeze()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps of the branches ``out_indices``.

        Args:
            x: images, ``(B, in_channels, H, W)``, H and W at least 32.

        Returns:
            For each index i a map ``(B, C_{i+1}, H / 2^{i+2}, W / 2^{i+2})``, sizes rounded up.

        Raises:
            TypeError: x is not a floating tensor of the parameters' type (outside autocast).
            ValueError: x has another rank, number of channels or device, or is too small.
        """
        check_images(x, self.stem[0][0].weight)
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        branches = [self.stage1(x)]
        branches = self.stage2(self.transition1(branches))
        branches = self.stage3(self.transition2(branches))
        branches = self.stage4(self.transition3(branches))
        return tuple(branches)

    def train(self, mode: bool = True) -> "HRVMamba":
        """Set training mode, but for what is frozen and for batch norms under ``norm_eval``."""
        super().train(mode)
        self._freeze()
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def _freeze(self) -> None:
        frozen = []
        if self.frozen_stages >= 0:
            frozen.append(self.stem)
        for index in range(1, self.frozen_stages + 1):
            frozen.append(getattr(self, f"stage{index}"))
            if index < 4:
                frozen.append(getattr(self, f"transition{index}"))
        for module in frozen:
            module.eval().requires_grad_(False)

    def _init_convolutions(self) -> None:
        """Initialise convolutions as MMPose does HRNet's for pose training from scratch."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.001)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


class HRVMambaModule(nn.Module):
    """DVSS blocks in parallel branches, then a fusion into some of them.

    Args:
        arch: the network's widths and parts.
        branches: number of branches, finest first.
        targets: the branches to fuse into and return.
        drop_path_rates: stochastic depth of each of the blocks of a branch.
        drop_rate: dropout of the blocks.
        esinb_drop_path: whether stochastic depth applies to ESInB too.
        norm_layer: makes the fusion's normalisations.
        with_cp: recompute the blocks in backward.
    """

    def __init__(
        self,
        arch: Arch,
        branches: int,
        targets: Sequence[int],
        drop_path_rates: Sequence[float],
        drop_rate: float,
        esinb_drop_path: bool,
        norm_layer: NormLayer,
        with_cp: bool,
    ) -> None:
        super().__init__()
        self.with_cp = with_cp
        self.branches = nn.ModuleList(
            nn.Sequential(
                *(
                    DVSSBlock(
                        channels,
                        use_lpu=arch.use_lpu,
                        use_se=arch.use_se,
                        use_offset_conv=arch.use_offset_conv,
                        drop_path_rate=rate,
                        drop_rate=drop_rate,
                        esinb_drop_path=esinb_drop_path,
                        dilations=arch.dilations,
                        esinb=arch.esinb,
                        esinb_kernel_sizes=arch.esinb_kernel_sizes,
                    )
                    for rate in drop_path_rates
                )
            )
            for channels in arch.channels[:branches]
        )
        self.fusion = Fusion(arch.channels[:branches], targets, norm_layer)

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        """Map the branches' maps, NCHW, finest first, to those of the targets."""
        return self.fusion(
            [self._run(blocks, x) for blocks, x in zip(self.branches, branches, strict=True)]
        )

    def _run(self, blocks: nn.Sequential, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        for block in blocks:
            if self.with_cp and self.training:
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        return x.permute(0, 3, 1, 2)


class Bottleneck(nn.Module):
    """ResNet's bottleneck: 1x1, 3x3 and 1x1 convolutions with a residual.

    Args:
        in_channels: channels of the input.
        channels: width of the 3x3 convolution; the output has 4 times as many.
        norm_layer: makes the normalisations.
    """

    def __init__(self, in_channels: int, channels: int, norm_layer: NormLayer) -> None:
        super().__init__()
        self.out_channels = out_channels = channels * _EXPANSION
        self.conv1 = conv_norm_relu(in_channels, channels, norm_layer, kernel_size=1)
        self.conv2 = conv_norm_relu(channels, channels, norm_layer)
        self.conv3 = conv_norm(channels, out_channels, norm_layer, kernel_size=1)
        self.downsample = (
            nn.Identity()
            if in_channels == out_channels
            else conv_norm(in_channels, out_channels, norm_layer, kernel_size=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map x ``(B, in_channels, H, W)`` to ``(B, 4 * channels, H, W)``."""
        return F.relu(self.conv3(self.conv2(self.conv1(x))) + self.downsample(x))


class Transition(nn.ModuleList):
    """HRNet's transition from one stage's branches to the next's.

    Branches that change their width pass a 3x3 convolution, new ones come from the coarsest branch
    through one of stride 2.

    Args:
        in_channels: widths of the branches before.
        out_channels: widths of the branches behind.
        norm_layer: makes the normalisations.
    """

    def __init__(
        self, in_channels: Sequence[int], out_channels: Sequence[int], norm_layer: NormLayer
    ) -> None:
        super().__init__()
        for index, channels in enumerate(out_channels):
            if index >= len(in_channels):
                self.append(conv_norm_relu(in_channels[-1], channels, norm_layer, stride=2))
            elif in_channels[index] != channels:
                self.append(conv_norm_relu(in_channels[index], channels, norm_layer))
            else:
                self.append(nn.Identity())

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        """Map the maps of the branches before to those behind."""
        last = len(branches) - 1
        return [layer(branches[min(index, last)]) for index, layer in enumerate(self)]


class Fusion(nn.Module):
    """HRFormer's fusion: each target branch sums the maps of all branches, brought to its size.

    Args:
        channels: widths of the branches, finest first.
        targets: the branches to fuse into.
        norm_layer: makes the normalisations.
    """

    def __init__(
        self, channels: Sequence[int], targets: Sequence[int], norm_layer: NormLayer
    ) -> None:
        super().__init__()
        self.targets = tuple(targets)
        self.paths = nn.ModuleDict(
            {
                str(target): nn.ModuleList(
                    self._path(channels, source, target, norm_layer)
                    for source in range(len(channels))
                )
                for target in targets
            }
        )

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        """Map the maps of all branches to those of the targets."""
        return [self._fuse(branches, target) for target in self.targets]

    def _fuse(self, branches: list[Tensor], target: int) -> Tensor:
        size = branches[target].shape[2:]
        total = branches[target]
        for source, path in enumerate(self.paths[str(target)]):
            if source != target:
                x = path(branches[source])
                if source > target:
                    x = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
                total = total + x
        return F.relu(total)

    @staticmethod
    def _path(
        channels: Sequence[int], source: int, target: int, norm_layer: NormLayer
    ) -> nn.Module:
        if source == target:
            return nn.Identity()
        if source > target:
            return conv_norm(channels[source], channels[target], norm_layer, kernel_size=1)
        width = channels[source]
        links = [_downward_link(width, width, norm_layer) for _ in range(target - source - 1)]
        for link in links:
            link.append(nn.ReLU())
        return nn.Sequential(*links, _downward_link(width, channels[target], norm_layer))


def _downward_link(in_channels: int, out_channels: int, norm_layer: NormLayer) -> nn.Sequential:
    """Halve a map by a depthwise 3x3 convolution and change its width by a 1x1 one."""
    return nn.Sequential(
        *conv_norm(in_channels, in_channels, norm_layer, stride=2, groups=in_channels),
        *conv_norm(in_channels, out_channels, norm_layer, kernel_size=1),
    )
