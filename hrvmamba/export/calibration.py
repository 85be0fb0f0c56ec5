"""Batch norms of a network without training."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def calibrate_norms(network: nn.Module, inputs: Tensor) -> None:
    """Set the statistics of batch norms to those of some inputs.

    Initial statistics fit no input: maps shrink from layer to layer until rounding errors decide
    the output, which could not be compared with another runtime's.

    Args:
        network: in evaluation mode, where it stays.
        inputs: a batch.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches: this one
        norm.train()
    network(inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
