"""Modules of the DVSS and VSS blocks, on channels-last maps (B, H, W, C)."""

from hrvmamba.layers.depthwise_conv import DepthwiseConv
from hrvmamba.layers.drop_path import DropPath
from hrvmamba.layers.dss2d import DSS2D
from hrvmamba.layers.dvss_block import DVSSBlock
from hrvmamba.layers.esinb import ESInB
from hrvmamba.layers.ffn import FFN
from hrvmamba.layers.lpu import LPU
from hrvmamba.layers.se import SE
from hrvmamba.layers.ss2d import SS2D
from hrvmamba.layers.vss_block import VSSBlock

__all__ = [
    "DSS2D",
    "DVSSBlock",
    "DepthwiseConv",
    "DropPath",
    "ESInB",
    "FFN",
    "LPU",
    "SE",
    "SS2D",
    "VSSBlock",
]
