"""Stochastic depth."""

from torch import Tensor, nn


class DropPath(nn.Module):
    """Zero a residual path for whole samples, at random, in training (stochastic depth).

    Args:
        rate: probability of dropping a sample's path, in [0, 1). Kept paths are scaled by
            ``1 / (1 - rate)``.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"rate must be in [0, 1), got {rate}")
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Return x ``(B, ...)`` with the paths of some samples dropped."""
        if self.rate == 0 or not self.training:
            return x
        keep = 1 - self.rate
        shape = (x.shape[0],) + (1,) * (x.dim() - 1)
        return x * x.new_empty(shape).bernoulli_(keep).div_(keep)

    def extra_repr(self) -> str:
        return f"rate={self.rate:.3f}"
