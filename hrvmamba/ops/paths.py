"""The four paths of a scan through a map."""

import torch
from torch import Tensor

DIRECTIONS = 4
"""Scan directions: rows, columns, rows reversed, columns reversed."""


class Paths:
    """The four directions' orders of the tokens of a map."""

    def __init__(self, height: int, width: int, device: torch.device) -> None:
        rows = torch.arange(height * width, device=device).view(height, width)
        columns = rows.T.flatten()
        rows = rows.flatten()
        self.orders = (rows, columns, rows.flip(0), columns.flip(0))
        self.inverses = tuple(order.argsort() for order in self.orders)

    def walk(self, x: Tensor) -> Tensor:
        """Lay x (B, L, ...) out along each path: (K, B, L, ...)."""
        return torch.stack([x.index_select(1, order) for order in self.orders])

    def walk_each(self, x: Tensor) -> Tensor:
        """Lay x (B, L, K, ...) out along each direction's own path: (K, B, L, ...)."""
        parts = zip(x.unbind(2), self.orders, strict=True)
        return torch.stack([part.index_select(1, order) for part, order in parts])

    def merge(self, x: Tensor) -> Tensor:
        """Add x (K, B, L, ...) up in image order: (B, L, ...)."""
        total = x[0].clone()  # the first path is the image order
        for part, inverse in zip(x[1:], self.inverses[1:], strict=True):
            total += part.index_select(1, inverse)
        return total

    def unwalk_each(self, x: Tensor) -> Tensor:
        """Undo :meth:`walk_each`."""
        parts = zip(x, self.inverses, strict=True)
        return torch.stack([part.index_select(1, inverse) for part, inverse in parts], 2)
