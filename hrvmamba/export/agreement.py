"""How well an exported model agrees with the one it was made of."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """What an exported model must keep to.

    Attributes:
        relative: the largest difference allowed, as a share of the heatmaps' standard deviation.
        rms: the largest root of the mean squared difference, as such a share too.
        same_maxima: the least share of heatmaps whose maximum is at the same pixel.
    """

    relative: float
    rms: float
    same_maxima: float

    def __str__(self) -> str:
        return (
            f"relative at most {self.relative:.0e}, RMS at most {self.rms:.0e}, at least "
            f"{self.same_maxima:.0%} of the maxima"
        )


FLOAT = Tolerance(relative=1e-3, rms=1e-4, same_maxima=0.98)
"""Of 32-bit models."""

HALF = Tolerance(relative=0.2, rms=0.02, same_maxima=0.9)
"""Of models with 16-bit weights and activations."""


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How heatmaps differ from those of PyTorch.

    Attributes:
        largest: the largest difference.
        relative: the same, as a share of the heatmaps' standard deviation.
        rms: the root of the mean squared difference, as such a share too.
        same_maxima: the share of heatmaps whose maximum is at the same pixel.
    """

    largest: float
    relative: float
    rms: float
    same_maxima: float

    @classmethod
    def of(cls, heatmaps: np.ndarray, expected: np.ndarray) -> "Agreement":
        """Compare heatmaps ``(N, K, h, w)``."""
        difference, scale = heatmaps - expected, expected.std()
        maxima = (maps.reshape(*maps.shape[:2], -1).argmax(-1) for maps in (heatmaps, expected))
        largest = np.abs(difference).max()
        return cls(
            float(largest),
            float(largest / scale),
            float(np.sqrt(np.square(difference).mean()) / scale),
            float(np.equal(*maxima).mean()),
        )

    def within(self, tolerance: Tolerance) -> bool:
        """Whether it is as good as a tolerance asks for; what is not finite never is."""
        return (
            self.relative <= tolerance.relative
            and self.rms <= tolerance.rms
            and self.same_maxima >= tolerance.same_maxima
        )

    def __str__(self) -> str:
        return (
            f"largest difference {self.largest:.1e}, relative {self.relative:.1e}, RMS "
            f"{self.rms:.1e} (of the standard deviation), {self.same_maxima:.1%} of the maxima at "
            "the same pixel"
        )
