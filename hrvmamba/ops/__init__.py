"""Tensor functions of the DSS2D block, in channels-last layout."""

from hrvmamba.ops.backend import backend
from hrvmamba.ops.deform_sample import deform_sample
from hrvmamba.ops.selective_scan_2d import selective_scan_2d

__all__ = ["backend", "deform_sample", "selective_scan_2d"]
