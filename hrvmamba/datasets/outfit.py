"""What a synthetic person wears and looks like: skin, hair, clothes and their patterns."""

import colorsys
from dataclasses import dataclass

import numpy as np

__all__ = ["Fabric", "Outfit", "sample_outfit"]

_SKINS = [(247, 215, 190), (236, 188, 155), (214, 160, 122), (180, 124, 86), (134, 88, 60)]
_SKINS += [(96, 62, 44), (66, 44, 34), (226, 176, 138)]
_HAIRS = [(32, 24, 20), (58, 38, 24), (98, 62, 34), (150, 100, 50), (214, 178, 110), (146, 60, 28)]
_HAIRS += [(120, 118, 116), (218, 216, 212), (20, 18, 22)]
_TROUSERS = [(40, 48, 78), (62, 84, 130), (30, 30, 34), (96, 92, 88), (150, 132, 100), (70, 74, 52)]
_TROUSERS += [(196, 192, 186), (96, 62, 46), (120, 40, 48)]
_SHOES = [
    (28, 28, 30),
    (236, 236, 232),
    (110, 68, 40),
    (190, 40, 44),
    (50, 70, 140),
    (150, 150, 152),
]


@dataclass(frozen=True)
class Fabric:
    """A garment's colours, RGB 0-255, and pattern; period is the pattern's length in metres."""

    colour: np.ndarray
    second: np.ndarray
    pattern: str = "plain"
    period: float = 0.1

    def paint(self, along: np.ndarray, around: np.ndarray) -> np.ndarray:
        """Colours (N, 3) of points at metres along and around a limb or the trunk, each (N,)."""
        if self.pattern == "plain":
            return np.repeat(self.colour[None], len(along), axis=0)
        row = np.mod(along, self.period) < 0.5 * self.period
        column = np.mod(around, self.period) < 0.5 * self.period
        second = {
            "stripes": row,
            "pinstripes": column,
            "checks": row ^ column,
            "tartan": row | column,
            "dots": row & column,
        }[self.pattern]
        return np.where(second[:, None], self.second, self.colour)


@dataclass(frozen=True)
class Outfit:
    """A person's looks. Colours are RGB, 0-255.

    sleeve, trouser and skirt run from 0 (bare) over 1 (to elbow or knee) to 2 (wrist or ankle).
    """

    skin: np.ndarray
    hair: np.ndarray
    hair_style: str
    hat: str
    hat_colour: np.ndarray
    beard: bool
    glasses: bool
    top: Fabric
    sleeve: float
    bottom: Fabric
    trouser: float
    skirt: float
    shoes: np.ndarray
    emblem: np.ndarray | None
    backpack: np.ndarray | None


def _vivid(rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.22:  # white, grey, black
        grey = rng.choice([30, 70, 130, 190, 235]) + rng.integers(-15, 16)
        return np.array([grey] * 3, float) + rng.normal(0, 3, 3)
    hue, saturation, value = rng.random(), rng.uniform(0.35, 0.95), rng.uniform(0.35, 0.98)
    return 255 * np.array(colorsys.hsv_to_rgb(hue, saturation, value))


def _contrasting(rng: np.random.Generator, background: np.ndarray) -> np.ndarray:
    """The one of two colours that stands out more from the background."""
    first, second = _vivid(rng), _vivid(rng)
    further = np.abs(first - background).sum() >= np.abs(second - background).sum()
    return first if further else second


def _from_list(rng: np.random.Generator, colours: list[tuple[int, int, int]]) -> np.ndarray:
    return np.clip(
        np.array(colours[rng.integers(len(colours))], float) + rng.normal(0, 6, 3), 5, 250
    )


def _fabric(rng: np.random.Generator, colour: np.ndarray, patterned: float) -> Fabric:
    pattern = "plain"
    if rng.random() < patterned:
        pattern = str(rng.choice(["stripes", "pinstripes", "checks", "tartan", "dots"]))
    second = _vivid(rng)
    if np.abs(second - colour).sum() < 120:
        second = 255 - second
    return Fabric(colour, second, pattern, rng.uniform(0.05, 0.14))


def sample_outfit(rng: np.random.Generator, background: np.ndarray | None = None) -> Outfit:
    """Draw an outfit whose clothes mostly stand out from a background colour, RGB 0-255."""
    background = np.full(3, 128.0) if background is None else background
    top = _fabric(rng, _contrasting(rng, background), 0.4)
    if rng.random() < 0.65:
        bottom = _fabric(rng, _from_list(rng, _TROUSERS), 0.06)
    else:
        bottom = _fabric(rng, _contrasting(rng, background), 0.2)
    skirt = rng.uniform(0.55, 1.15) if rng.random() < 0.14 else 0.0
    if skirt and rng.random() < 0.4:  # a dress
        bottom = top
    hats = ["none", "cap", "beanie", "brim", "helmet"]
    return Outfit(
        skin=_from_list(rng, _SKINS),
        hair=_from_list(rng, _HAIRS) if rng.random() < 0.95 else _vivid(rng),
        hair_style=str(
            rng.choice(
                ["short", "long", "ponytail", "bun", "curly", "bald"],
                p=[0.44, 0.2, 0.11, 0.07, 0.11, 0.07],
            )
        ),
        hat=str(rng.choice(hats, p=[0.78, 0.08, 0.05, 0.04, 0.05])),
        hat_colour=_vivid(rng),
        beard=bool(rng.random() < 0.14),
        glasses=bool(rng.random() < 0.12),
        top=top,
        sleeve=float(rng.choice([0.0, 0.55, 0.75, 1.5, 2.0], p=[0.12, 0.28, 0.16, 0.07, 0.37])),
        bottom=bottom,
        trouser=0.0
        if skirt
        else float(rng.choice([0.45, 0.85, 1.4, 2.0], p=[0.1, 0.2, 0.06, 0.64])),
        skirt=float(skirt),
        shoes=_from_list(rng, _SHOES) if rng.random() < 0.9 else _from_list(rng, _SKINS),
        emblem=_vivid(rng) if rng.random() < 0.3 else None,
        backpack=_vivid(rng) if rng.random() < 0.1 else None,
    )
