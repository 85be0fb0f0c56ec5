"""Backgrounds behind the synthetic people: rooms, streets, fields, plain and cluttered walls."""

import colorsys

import cv2
import numpy as np

__all__ = ["draw_background"]

_Colour = tuple[int, int, int]


def _colour(
    rng: np.random.Generator,
    hue: tuple[float, float] = (0, 1),
    saturation: tuple[float, float] = (0, 0.6),
    value: tuple[float, float] = (0.25, 0.95),
) -> _Colour:
    rgb = colorsys.hsv_to_rgb(rng.uniform(*hue) % 1, rng.uniform(*saturation), rng.uniform(*value))
    return tuple(int(255 * channel) for channel in rgb)


def _shaded(colour: _Colour, factor: float) -> _Colour:
    return tuple(int(min(255, channel * factor)) for channel in colour)


def _gradient(size: tuple[int, int], first: _Colour, second: _Colour, angle: float) -> np.ndarray:
    x, y = np.linspace(-1, 1, 16)[None], np.linspace(-1, 1, 16)[:, None]
    t = np.clip(0.5 + 0.5 * (x * np.cos(angle) + y * np.sin(angle)), 0, 1)[..., None]
    coarse = ((1 - t) * np.array(first) + t * np.array(second)).astype(np.float32)
    return cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def _noise(rng: np.random.Generator, size: tuple[int, int], cells: int) -> np.ndarray:
    """Smooth noise (H, W) of about -1 to 1 with features of 1 / cells of the image."""
    coarse = rng.normal(0, 0.6, (cells + 2, cells + 2)).astype(np.float32)
    return cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)


def _texture(
    rng: np.random.Generator, image: np.ndarray, rows: slice, strength: float, cells: int
) -> None:
    region = image[rows]
    if region.shape[0] == 0:
        return
    noise = _noise(rng, (region.shape[1], region.shape[0]), cells)
    noise += 0.5 * _noise(rng, (region.shape[1], region.shape[0]), 3 * cells)
    np.copyto(region, np.clip(region + strength * noise[..., None], 0, 255).astype(np.uint8))


def _floor(
    rng: np.random.Generator, image: np.ndarray, horizon: int, colour: _Colour, lines: bool
) -> None:
    """A floor below the horizon, with tiles or boards that run to a vanishing point."""
    height, width = image.shape[:2]
    horizon = int(np.clip(horizon, -4 * height, height))
    top = max(0, horizon)
    if top >= height:
        return
    image[top:] = _gradient(
        (width, height - top), _shaded(colour, 0.85), _shaded(colour, 1.1), np.pi / 2
    )
    if not lines:
        return
    line = _shaded(colour, rng.choice([0.7, 0.85, 1.2]))
    centre = rng.uniform(0.2, 0.8) * width
    spacing = rng.uniform(0.15, 0.5) * width
    for step in range(-12, 13):
        end = (int(centre + step * spacing * 2.5), horizon + 2 * height)
        layer_start = (int(centre + step * spacing * 0.02), horizon)
        inside, first, last = cv2.clipLine((0, top, width, height - top), layer_start, end)
        if inside:
            cv2.line(image, first, last, line, 1, cv2.LINE_AA)
    if rng.random() < 0.6:
        for step in range(1, 14):
            y = int(horizon + 1.6 * height / step)
            if top < y < height:
                cv2.line(image, (0, y), (width, y), line, 1, cv2.LINE_AA)


def _room(rng: np.random.Generator, size: tuple[int, int], horizon: int) -> np.ndarray:
    width, height = size
    wall = _colour(rng, saturation=(0.02, 0.35), value=(0.45, 0.95))
    image = _gradient(size, _shaded(wall, 0.88), wall, rng.uniform(0, 2 * np.pi))
    edge = horizon + int(rng.uniform(0.06, 0.22) * height)  # where the wall meets the floor
    if rng.random() < 0.3:
        paper = _shaded(wall, rng.choice([0.9, 1.08]))
        step = int(rng.integers(8, 24))
        for x in range(0, width, step):
            cv2.line(image, (x, 0), (x, height), paper, max(1, step // 4))
    for _ in range(rng.integers(1, 5)):
        w, h = rng.integers(width // 10, width // 3), rng.integers(height // 8, height // 3)
        x, y = int(rng.integers(-10, width)), edge - h - int(rng.integers(0, height // 2))
        kind = rng.choice(["picture", "window", "shelf", "door", "sofa"])
        frame, inner = _colour(rng, saturation=(0.1, 0.6)), _colour(rng)
        if kind == "door":
            y, h, w = edge - int(0.7 * height), int(0.7 * height), int(0.28 * width)
        if kind == "sofa":
            h = int(0.24 * height)
            y, w = edge - h, int(0.45 * width)
            cv2.rectangle(image, (x, y), (x + w, y + h), frame, -1)
            cv2.rectangle(image, (x, y + h // 2), (x + w, y + h), _shaded(frame, 0.8), -1)
            continue
        cv2.rectangle(image, (x, y), (x + w, y + h), frame, -1)
        border = max(2, w // 14)
        if kind == "shelf":
            for row in range(y + 3, y + h - 6, max(12, h // 3)):
                for column in range(x + 2, x + w - 4, 6):
                    tall = int(rng.integers(5, 11))
                    cv2.rectangle(
                        image, (column, row + 11 - tall), (column + 4, row + 11), _colour(rng), -1
                    )
            continue
        cv2.rectangle(image, (x + border, y + border), (x + w - border, y + h - border), inner, -1)
        if kind == "window":
            cv2.line(image, (x + w // 2, y), (x + w // 2, y + h), frame, border)
            cv2.line(image, (x, y + h // 2), (x + w, y + h // 2), frame, border)
        elif kind == "picture" and rng.random() < 0.6:
            radius = max(2, min(w, h) // 4)
            cv2.circle(image, (x + w // 2, y + h // 2), radius, _colour(rng), -1, cv2.LINE_AA)
    floor = _colour(rng, hue=(0.03, 0.14), saturation=(0.1, 0.6), value=(0.3, 0.85))
    _floor(rng, image, edge, floor, rng.random() < 0.7)
    if 0 < edge < height:
        cv2.line(image, (0, edge), (width, edge), _shaded(wall, 0.6), max(1, height // 90))
    return image


def _tree(rng: np.random.Generator, image: np.ndarray, x: int, base: int, tall: int) -> None:
    trunk = _colour(rng, (0.05, 0.1), (0.3, 0.6), (0.2, 0.45))
    half = max(1, tall // 22)
    cv2.rectangle(image, (x - half, base - tall // 2), (x + half, base), trunk, -1)
    for _ in range(9):
        leaf = _colour(rng, (0.2, 0.4), (0.3, 0.8), (0.2, 0.6))
        centre = (x + int(rng.normal(0, tall / 9)), base - int(tall * rng.uniform(0.45, 0.95)))
        cv2.circle(image, centre, max(2, int(tall * rng.uniform(0.1, 0.2))), leaf, -1, cv2.LINE_AA)


def _outdoors(rng: np.random.Generator, size: tuple[int, int], horizon: int) -> np.ndarray:
    width, height = size
    sky = _colour(rng, (0.52, 0.64), (0.1, 0.6), (0.6, 1.0))
    if rng.random() < 0.2:  # evening
        sky = _colour(rng, (0.98, 1.1), (0.2, 0.6), (0.6, 0.95))
    image = _gradient(size, sky, (235, 238, 240), np.pi / 2)
    for _ in range(rng.integers(0, 5)):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, max(2, height // 3)))
        axes = (int(rng.integers(width // 12, width // 4)), int(rng.integers(4, height // 14 + 5)))
        cv2.ellipse(image, (x, y), axes, 0, 0, 360, (244, 245, 247), -1, cv2.LINE_AA)
    if rng.random() < 0.4:
        hill = _colour(rng, (0.22, 0.6), (0.1, 0.4), (0.35, 0.7))
        x = np.linspace(0, width, 16)
        y = horizon - np.abs(rng.normal(0.05, 0.06, 16)) * height
        outline = np.concatenate([np.stack([x, y], 1), [[width, height], [0, height]]])
        cv2.fillPoly(image, [outline.astype(np.int32)], hill, cv2.LINE_AA)
    street = rng.random() < 0.5
    for _ in range(rng.integers(1, 5) if street else 0):
        wall = _colour(rng, saturation=(0.05, 0.5), value=(0.35, 0.85))
        x, w = int(rng.integers(-width // 6, width)), int(rng.integers(width // 6, width // 2))
        top = horizon - int(rng.uniform(0.15, 0.75) * height)
        cv2.rectangle(image, (x, top), (x + w, max(horizon, top)), wall, -1)
        pane = _colour(rng, (0.5, 0.65), (0.1, 0.5), (0.15, 0.9))
        step = int(rng.integers(12, 26))
        for window_x in range(x + 5, x + w - step // 2, step):
            for window_y in range(top + 6, horizon - step // 2, step):
                end = (window_x + step // 2, window_y + int(step * 0.6))
                cv2.rectangle(image, (window_x, window_y), end, pane, -1)
    if street:
        ground = _colour(rng, (0, 1), (0, 0.12), (0.3, 0.7))
    else:
        ground = _colour(rng, (0.1, 0.4), (0.2, 0.65), (0.35, 0.75))
    _floor(rng, image, horizon, ground, street and rng.random() < 0.6)
    if 0 <= horizon < height:
        _texture(rng, image, slice(horizon, height), 14 if street else 24, 24)
    for _ in range(rng.integers(0, 6)):
        tall = int(rng.uniform(0.2, 0.8) * height)
        base = horizon + int(rng.uniform(0, 0.1) * height)
        _tree(rng, image, int(rng.integers(0, width)), base, tall)
    if not street and rng.random() < 0.3:  # the lines of a playing field
        for _ in range(2):
            y = horizon + int(rng.uniform(0.02, 0.5) * height)
            cv2.line(
                image, (0, y), (width, y + int(rng.normal(0, 30))), (240, 240, 236), 2, cv2.LINE_AA
            )
    return image


def _clutter(rng: np.random.Generator, size: tuple[int, int], horizon: int) -> np.ndarray:
    width, height = size
    image = _gradient(size, _colour(rng), _colour(rng), rng.uniform(0, 2 * np.pi))
    for _ in range(rng.integers(4, 22)):
        colour, scale = _colour(rng, saturation=(0, 0.8)), rng.uniform(0.03, 0.25) * height
        centre = rng.uniform(0, 1, 2) * [width, height]
        kind = rng.integers(4)
        if kind == 0:
            axes = tuple((scale * rng.uniform(0.4, 1.2, 2)).astype(int).tolist())
            middle = tuple(centre.astype(int).tolist())
            cv2.ellipse(image, middle, axes, rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
        elif kind == 1:
            angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 7)))
            outline = centre + scale * np.stack([np.cos(angles), np.sin(angles)], 1)
            cv2.fillPoly(image, [outline.astype(np.int32)], colour, cv2.LINE_AA)
        elif kind == 2:
            end = centre + rng.normal(0, 2 * scale, 2)
            ends = [tuple(point.astype(int).tolist()) for point in (centre, end)]
            cv2.line(image, *ends, colour, int(rng.integers(1, 10)), cv2.LINE_AA)
        else:
            corner = tuple((centre + scale * rng.uniform(0.3, 1.5, 2)).astype(int).tolist())
            cv2.rectangle(image, tuple(centre.astype(int).tolist()), corner, colour, -1)
    if rng.random() < 0.5:
        _floor(rng, image, horizon + int(0.1 * height), _colour(rng), rng.random() < 0.5)
    return image


def _backdrop(rng: np.random.Generator, size: tuple[int, int], horizon: int) -> np.ndarray:
    image = _gradient(size, _colour(rng), _colour(rng), rng.uniform(0, 2 * np.pi))
    strength = rng.uniform(6, 45)
    for channel in range(3) if rng.random() < 0.5 else (slice(0, 3),):
        noise = _noise(rng, size, int(rng.integers(3, 30))) + _noise(rng, size, 60) * 0.3
        layer = image[..., channel]
        noise = noise if layer.ndim == 2 else noise[..., None]
        image[..., channel] = np.clip(layer + strength * noise, 0, 255).astype(np.uint8)
    return image


def draw_background(
    rng: np.random.Generator, size: tuple[int, int], horizon: float, roll: float
) -> np.ndarray:
    """Draw a background.

    Args:
        rng: source of chance.
        size: (width, height) in pixels.
        horizon: its height in the image in pixels from the top; may lie outside.
        roll: the camera's roll in degrees, by which a straight horizon is tilted.

    Returns:
        RGB image (height, width, 3), uint8.
    """
    width, height = size
    kinds = (_room, _outdoors, _clutter, _backdrop)
    kind = kinds[rng.choice(4, p=[0.34, 0.36, 0.16, 0.14])]
    image = kind(rng, size, int(np.clip(horizon, -2 * height, 2 * height)))
    if abs(roll) > 0.7:
        # OpenCV turns anticlockwise for positive angles, as the camera's roll turns the world.
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), roll, 1 + abs(roll) / 60)
        image = cv2.warpAffine(image, turn, size, borderMode=cv2.BORDER_REFLECT_101)
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 2.2))
    return image
