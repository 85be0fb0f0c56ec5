"""Parameters and multiply-accumulates of a model, counted as the paper counts them."""

import copy
import itertools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hrvmamba.layers import DSS2D, SS2D
from hrvmamba.ops import backend
from hrvmamba.ops.paths import DIRECTIONS

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)

# The groups of what torch's counter sees as well.
_PRODUCTS = ("convolutions", "depthwise convolutions", "linear layers", "dt projections")

_SAMPLING_MACS = 45  # a channel and position: 9 points of 4 corners and a mask
_SCAN_MACS = 9  # a channel, state and position of one direction


class Cost(NamedTuple):
    """What a model costs for one input.

    Attributes:
        parameters: the model's parameters.
        macs: multiply-accumulates for one image.
        groups: macs of each kind of layer; they add up to ``macs``.
        input_size: height and width of the image, in pixels.
    """

    parameters: int
    macs: int
    groups: dict[str, int]
    input_size: tuple[int, int]

    def __str__(self) -> str:
        height, width = self.input_size
        rows = [
            f"parameters {self.parameters:,}",
            f"multiply-accumulates at {height}x{width}: {self.macs / 1e9:.3f} G",
        ]
        rows += [
            f"  {name:<28}{macs / 1e9:8.3f} G {macs / self.macs:7.1%}"
            for name, macs in self.groups.items()
        ]
        return "\n".join(rows)


def cost(model: nn.Module, input_size: tuple[int, int], in_channels: int = 3) -> Cost:
    """Count a model's parameters and its multiply-accumulates for one image.

    Convolutions and linear layers count their multiply-accumulates, the dt projections of SS2D and
    DSS2D among them; each of their four scans counts ``9*L*D*N + L*D``, the deformable sampling
    ``45*L*D`` and each normalisation 2 for each output element, as the paper's figures do. What
    other layers multiply, those of attention above all, counts as torch's counter has it.
    Activations, additions and the upsampling of the fusion count nothing. What is run is a copy of
    the model without data.

    Args:
        model: a model that takes ``(B, in_channels, H, W)``.
        input_size: height and width, in pixels: (256, 192) for 256x192.
        in_channels: channels of the input.

    Returns:
        The cost.
    """
    parameters = sum(parameter.numel() for parameter in model.parameters())
    groups: dict[str, int] = {}

    def counter(count: Callable[[nn.Module, Tensor, Tensor], dict[str, int]]) -> Callable:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            for name, macs in count(module, inputs[0], output).items():
                groups[name] = groups.get(name, 0) + macs

        return hook

    # Every parameter and buffer is copied as one without data.
    tensors = itertools.chain(model.parameters(), model.buffers())
    copied = copy.deepcopy(model, {id(tensor): _meta(tensor) for tensor in tensors}).eval()
    for module in copied.modules():
        for layer, count in _COUNTS:
            if isinstance(module, layer):
                module.register_forward_hook(counter(count))
    dtype = next(copied.parameters()).dtype
    # The reference shows torch's counter the dt projections, which compiled ops would hide.
    with torch.no_grad(), backend("reference"), FlopCounterMode(display=False) as counter:
        copied(torch.empty(1, in_channels, *input_size, dtype=dtype, device="meta"))
    others = counter.get_total_flops() // 2 - sum(groups.get(name, 0) for name in _PRODUCTS)
    if others:
        groups["other products"] = others
    return Cost(parameters, sum(groups.values()), groups, tuple(input_size))


def _meta(tensor: Tensor) -> Tensor:
    copied = tensor.detach().to("meta")
    return (
        nn.Parameter(copied, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copied
    )


def _count_convolution(
    conv: nn.Conv2d | nn.ConvTranspose2d, x: Tensor, y: Tensor
) -> dict[str, int]:
    kind = "depthwise convolutions" if conv.groups > 1 else "convolutions"
    positions = x if isinstance(conv, nn.ConvTranspose2d) else y
    return {kind: positions.numel() * conv.weight[0].numel()}


def _count_linear(linear: nn.Linear, x: Tensor, y: Tensor) -> dict[str, int]:
    return {"linear layers": y.numel() * linear.in_features}


def _count_norm(norm: nn.Module, x: Tensor, y: Tensor) -> dict[str, int]:
    return {"normalisations": 2 * y.numel()}


def _count_scan(ss2d: SS2D, x: Tensor, y: Tensor) -> dict[str, int]:
    elements = _inner_elements(ss2d, x)
    return {
        "dt projections": DIRECTIONS * elements * ss2d.dt_rank,
        "selective scans": DIRECTIONS * elements * (_SCAN_MACS * ss2d.d_state + 1),
    }


def _count_sampling(dss2d: DSS2D, x: Tensor, y: Tensor) -> dict[str, int]:
    return {"deformable sampling": _SAMPLING_MACS * _inner_elements(dss2d, x)}


def _inner_elements(ss2d: SS2D, x: Tensor) -> int:
    return x[0, :, :, 0].numel() * ss2d.d_inner


_COUNTS = (
    (_CONVOLUTIONS, _count_convolution),
    (nn.Linear, _count_linear),
    (_NORMS, _count_norm),
    (SS2D, _count_scan),
    (DSS2D, _count_sampling),
)
