"""The surface of one synthetic person: flesh, face, hair and clothes around a posed skeleton."""

import numpy as np

from .mesh import Mesh, tube_polygons
from .outfit import Fabric, Outfit
from .skeleton import SIDES, Body, Skeleton

__all__ = ["PARTS", "build_figure", "keypoint_positions", "visible_parts"]

PARTS = ("torso", "neck", "head", "face", "hair", "hat", "skirt", "backpack") + tuple(
    f"{side}_{name}"
    for side, _ in SIDES
    for name in ("eye", "ear", "upper_arm", "forearm", "hand", "thigh", "shank", "foot")
)
"""Names of the parts of a figure; a polygon's part is the position of the name."""

_PART = {name: index for index, name in enumerate(PARTS)}
_REFERENCE_STATURE = 1.75  # radii below are in metres for this stature


def visible_parts(keypoint: str) -> tuple[tuple[int, ...], float]:
    """Which parts show a keypoint where they are seen, and how far in front of it they may be.

    Returns:
        Positions in PARTS, and the depth in shares of stature: past it the surface belongs to
        another side of the body.
    """
    side, _, joint = keypoint.rpartition("_")
    names, depth = {
        "nose": (("face",), 0.02),
        "eye": ((f"{side}_eye", "face", "head"), 0.015),
        "ear": ((f"{side}_ear", "head", "face"), 0.025),
        "shoulder": (("torso", f"{side}_upper_arm", "backpack"), 0.075),
        "elbow": ((f"{side}_upper_arm", f"{side}_forearm"), 0.05),
        "wrist": ((f"{side}_forearm", f"{side}_hand"), 0.04),
        "hip": (("torso", "skirt", f"{side}_thigh"), 0.10),
        "knee": ((f"{side}_thigh", f"{side}_shank", "skirt"), 0.07),
        "ankle": ((f"{side}_shank", f"{side}_foot"), 0.05),
    }[joint]
    return tuple(_PART[name] for name in names), depth


# Head. Shapes are in units of its radii: x to the left, y up, z forward.


def _head_radii(body: Body) -> np.ndarray:
    return body.head * np.array([0.345, 0.5, 0.42])


def _jaw(y: np.ndarray) -> np.ndarray:
    """How much narrower the head is at a height of -1 (chin) to 1 (crown)."""
    return 1 - 0.3 * np.clip(-y, 0, 1) ** 1.6


def _head_surface(x: float, y: float) -> np.ndarray:
    """The point of the front of the head, in units of its radii, at x and y."""
    across = x / _jaw(np.array(y))
    return np.array([x, y, np.sqrt(max(0.0, 1 - across**2 - y**2)) * (1 - 0.1 * max(0.0, -y))])


_FEATURES = {
    "eye": (0.40, 0.02),
    "brow": (0.40, 0.25),
    "mouth": (0.0, -0.52),
}
_NOSE_TIP = np.array([0.0, -0.24, 1.13])
_EAR = np.array([1.05, -0.04, -0.08])


def keypoint_positions(body: Body, skeleton: Skeleton) -> np.ndarray:
    """COCO's keypoints (17, 3) in metres: the joints, and the face's features on its surface."""
    radii, head = _head_radii(body), skeleton.joints["head"]
    frame = skeleton.frames["head"]
    eye = _head_surface(*_FEATURES["eye"])
    mirror = np.array([-1.0, 1.0, 1.0])
    face = [_NOSE_TIP, eye, eye * mirror, _EAR, _EAR * mirror]
    joints = [
        skeleton.joints[f"{side}_{joint}"]
        for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for side, _ in SIDES
    ]
    return np.concatenate([head + (np.array(face) * radii) @ frame.T, np.array(joints)])


def _head_shell(scale: np.ndarray, rings: int, sides: int) -> tuple[np.ndarray, np.ndarray]:
    """The head's surface, polygons (M, 4, 3) in units of its radii, and directions (M, 3)."""
    latitude = np.linspace(-np.pi / 2, np.pi / 2, rings)
    y = np.sin(latitude)
    width = np.cos(latitude) * _jaw(y)
    depth = np.cos(latitude) * (1 - 0.1 * np.clip(-y, 0, 1))
    centres = np.stack([0 * y, y, 0 * y], axis=1)
    axes = np.tile(np.array([[[0.0, 0, 1]], [[1.0, 0, 0]]]), (1, rings, 1))
    polygons, _, _ = tube_polygons(centres, axes[0], axes[1], depth, width, sides)
    directions = polygons.mean(axis=1)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return polygons * scale, directions


def _ellipse(centre: np.ndarray, width: float, height: float, corners: int = 10) -> np.ndarray:
    """A polygon (1, corners, 3) on the front of the head, in units of its radii."""
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    x, y = centre[0] + width * np.cos(angles), centre[1] + height * np.sin(angles)
    return np.array([[_head_surface(a, b) * [1, 1, 1.015] for a, b in zip(x, y, strict=True)]])


def _add_head(mesh: Mesh, body: Body, skeleton: Skeleton, outfit: Outfit) -> None:
    radii, centre = _head_radii(body), skeleton.joints["head"]
    frame = skeleton.frames["head"]
    one = np.ones(3)

    def put(polygons: np.ndarray, colours: np.ndarray, part: str, nearer: float = 0.0) -> None:
        mesh.add(centre + (polygons * radii) @ frame.T, colours, _PART[part], nearer)

    skull, directions = _head_shell(one, 13, 18)
    colours = np.repeat(outfit.skin[None], len(skull), axis=0)
    front = directions[:, 2] > 0.25
    if outfit.beard:
        beard = (directions[:, 1] < -0.3) & (directions[:, 2] > -0.1)
        colours[beard] = 0.75 * outfit.hair + 0.25 * outfit.skin
    put(skull[~front], colours[~front], "head")
    put(skull[front], colours[front], "face")

    lip = outfit.skin * 0.5 + np.array([90, 20, 25])
    put(_ellipse(_head_surface(*_FEATURES["mouth"]), 0.3, 0.075), lip, "face", 0.012)
    brow, iris = outfit.hair * 0.7, np.array([30.0, 24, 20])
    for side, sign in SIDES:
        x, y = _FEATURES["eye"]
        eye = _ellipse(_head_surface(sign * x, y), 0.21, 0.115)
        put(eye, np.array([250, 248, 244]), f"{side}_eye", 0.012)
        put(_ellipse(_head_surface(sign * x, y), 0.105, 0.11), iris, f"{side}_eye", 0.014)
        if outfit.glasses:
            lens = _ellipse(_head_surface(sign * x, y), 0.3, 0.2)
            put(lens, np.array([45, 45, 50]), "face", 0.009)
            put(_ellipse(_head_surface(sign * x, y), 0.25, 0.16), outfit.skin * 0.9, "face", 0.0105)
        x, y = _FEATURES["brow"]
        put(_ellipse(_head_surface(sign * x, y), 0.23, 0.045), brow, "face", 0.012)
        rings = np.linspace(-1, 1, 7)
        round_ = np.sqrt(np.clip(1 - rings**2, 0.01, 1))
        ear = _EAR * [sign, 1, 1]
        centres = ear + np.stack([0 * rings, 0.27 * rings, -0.04 * rings], axis=1)
        us = np.tile([sign * 0.9, 0.0, -0.35], (7, 1))
        vs = np.tile([-sign * 0.35, 0.0, -0.9], (7, 1))
        polygons, _, _ = tube_polygons(centres, us, vs, 0.12 * round_, 0.19 * round_, 8)
        put(polygons, outfit.skin * 0.93, f"{side}_ear", 0.015)
    nose = np.array([[0.0, 0.05, 0.98], [0.17, -0.3, 0.88], [0, -0.34, 0.9], [-0.17, -0.3, 0.88]])
    sides = np.array([[nose[0], _NOSE_TIP, nose[1]], [nose[0], nose[3], _NOSE_TIP]])
    put(sides, outfit.skin * 1.02, "face", 0.02)
    below = np.array([[nose[1], _NOSE_TIP, nose[2]], [nose[2], _NOSE_TIP, nose[3]]])
    put(below, outfit.skin * 0.8, "face", 0.02)

    _add_hair(mesh, body, skeleton, outfit, put)


def _add_hair(mesh: Mesh, body: Body, skeleton: Skeleton, outfit: Outfit, put) -> None:
    style, hat = outfit.hair_style, outfit.hat
    thick = {"curly": 1.22, "long": 1.1}.get(style, 1.07)
    shell, directions = _head_shell(np.array([thick, thick * 0.99, thick]), 15, 20)
    line = 0.08 + 0.52 * directions[:, 2]
    if style in ("long", "curly"):  # covers the temples and the nape
        line = np.where(directions[:, 2] < 0.2, -0.25 + 0.9 * directions[:, 2], line)
    if style != "bald":
        hair = directions[:, 1] > line
        shade = 1 + 0.12 * np.sin(9 * directions[:, 0] + 5 * directions[:, 1])
        put(shell[hair], outfit.hair * shade[hair, None], "hair", 0.004)
    frame, centre = skeleton.frames["head"], skeleton.joints["head"]
    scale = body.head
    back = frame @ np.array([0.0, 0.0, -1.0])
    if style in ("long", "ponytail"):
        # Hangs down from the back of the head, between the head's own direction and the world's.
        down = -frame[:, 1] * 0.6 + np.array([0.0, -0.4, 0.0])
        width = 0.33 if style == "long" else 0.11
        length = 1.0 if style == "long" else 1.15
        start = centre + scale * ((0.30 if style == "long" else 0.46) * back + 0.12 * frame[:, 1])
        t = np.linspace(0, 1, 7)
        bulge = np.sin(np.pi * t)[:, None] * 0.05 * back
        centres = start + scale * (length * t[:, None] * down + bulge)
        taper = np.sqrt(np.clip(1.02 - (2 * t - 1) ** 4, 0.02, 1))
        us, vs = np.tile(frame[:, 0], (7, 1)), np.tile(back, (7, 1))
        polygons, _, _ = tube_polygons(
            centres, us, vs, scale * width * taper, scale * 0.12 * taper, 12
        )
        mesh.add(polygons, outfit.hair * 0.95, _PART["hair"])
    if style == "bun":
        t = np.linspace(-1, 1, 7)
        r = np.sqrt(np.clip(1 - t**2, 0.01, 1)) * 0.36
        centres = np.array([0.0, 0.75, -0.85]) + np.stack([0 * t, 0.3 * t, 0 * t], axis=1)
        us, vs = np.tile([0.0, 0, 1], (7, 1)), np.tile([1.0, 0, 0], (7, 1))
        put(tube_polygons(centres, us, vs, r, r, 10)[0], outfit.hair * 0.95, "hair")

    if hat == "none":
        return
    thick = max(thick, 1.07) * (1.12 if hat == "helmet" else 1.04)
    shell, directions = _head_shell(np.full(3, thick), 15, 20)
    line = {"helmet": 0.18 + 0.22 * directions[:, 2], "beanie": 0.3}.get(hat, 0.36)
    crown = directions[:, 1] > line - 0.04
    stripe = np.where(directions[:, 1:2] < 0.5, 0.8, 1.0)
    put(shell[crown], (outfit.hat_colour * stripe)[crown], "hat", 0.012)
    if hat in ("cap", "brim"):
        angles = np.linspace(0, 2 * np.pi, 21) if hat == "brim" else np.linspace(0, np.pi, 13)
        inner = np.stack([np.cos(angles) * thick, 0.34 + 0 * angles, np.sin(angles) * thick], 1)
        reach = 0.75 if hat == "brim" else 0.75 * np.sin(angles)[:, None]
        outer = inner + reach * np.stack(
            [np.cos(angles), np.full(len(angles), -0.12), np.sin(angles)], axis=1
        )
        brim = np.stack([inner[:-1], inner[1:], outer[1:], outer[:-1]], axis=1)
        for polygons, shade in ((brim, 0.7), (brim[:, ::-1], 0.85)):
            put(polygons, outfit.hat_colour * shade, "hat", 0.015)


# Limbs and trunk.


def _limb(
    mesh: Mesh,
    part: str,
    start: np.ndarray,
    end: np.ndarray,
    frame: np.ndarray,
    profile: tuple[tuple[float, ...], tuple[float, ...]],
    scale: float,
    skin: np.ndarray,
    fabric: Fabric | None = None,
    coverage: float = 0.0,
    flatness: float = 1.0,
) -> None:
    """A tapered limb with round ends; the garment covers its first part.

    Args:
        profile: shares of the length, and the radii there in metres for the reference stature.
        coverage: share of the length that the fabric covers.
        flatness: radius along the frame's z over that along its x.
    """
    length = float(np.linalg.norm(end - start))
    first, last = profile[1][0] * scale, profile[1][-1] * scale
    bends = np.array([1.0, 0.94, 0.75, 0.4])
    stations = np.concatenate(
        [-first * bends * 0.98, np.linspace(0, length, 11), length + last * bends[::-1] * 0.98]
    )
    radii = np.interp(stations / length, profile[0], np.array(profile[1]) * scale)
    rounded = np.sqrt(np.clip(1 - bends**2, 0.003, 1))
    radii[:4], radii[-4:] = first * rounded, last * rounded[::-1]
    covered = np.zeros(len(stations), bool)
    if fabric is not None and coverage > 0:
        covered = stations <= coverage * length + 1e-6
        radii = np.where(covered, radii * 1.06 + 0.004 * scale, radii)
    centres = start + (stations / length)[:, None] * (end - start)
    us, vs = np.tile(frame[:, 0], (len(stations), 1)), np.tile(frame[:, 2], (len(stations), 1))
    polygons, ring, angle = tube_polygons(centres, us, vs, radii, radii * flatness, 12)
    colours = np.repeat(skin[None], len(polygons), axis=0)
    if covered.any():
        cloth = covered[np.floor(ring).astype(int)]
        along = np.interp(ring, np.arange(len(stations)), stations)
        painted = fabric.paint(along[cloth], angle[cloth] * radii.mean())
        colours[cloth] = painted * (1 + 0.05 * np.sin(7 * ring + 2 * angle)[cloth, None])
    mesh.add(polygons, colours, _PART[part])


def _add_limbs(mesh: Mesh, body: Body, skeleton: Skeleton, outfit: Outfit) -> None:
    joints, frames, skin = skeleton.joints, skeleton.frames, outfit.skin
    height = body.stature / _REFERENCE_STATURE
    scale = height * body.limb_girth
    for side, _ in SIDES:
        shoulder, elbow = joints[f"{side}_shoulder"], joints[f"{side}_elbow"]
        wrist, fingertips = joints[f"{side}_wrist"], joints[f"{side}_fingertips"]
        hip, knee, ankle = (joints[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))

        def limb(part, start, end, profile, fabric=None, coverage=0.0, flatness=1.0, size=scale):
            _limb(
                mesh,
                f"{side}_{part}",  # noqa: B023 (called within the loop)
                start,
                end,
                frames[f"{side}_{part}"],  # noqa: B023
                profile,
                size,
                skin,
                fabric,
                coverage,
                flatness,
            )

        profile = ((0, 0.2, 0.5, 1), (0.050, 0.053, 0.048, 0.039))
        limb("upper_arm", shoulder, elbow, profile, outfit.top, min(1.0, outfit.sleeve))
        profile = ((0, 0.25, 0.7, 1), (0.040, 0.044, 0.034, 0.026))
        limb("forearm", elbow, wrist, profile, outfit.top, outfit.sleeve - 1)
        profile = ((0, 0.35, 0.7, 1), (0.024, 0.040, 0.036, 0.018))
        middle = wrist + 0.9 * (fingertips - wrist)
        limb("hand", wrist, middle, profile, flatness=0.55, size=height)
        profile = ((0, 0.3, 0.7, 1), (0.084, 0.080, 0.066, 0.054))
        limb("thigh", hip, knee, profile, outfit.bottom, min(1.0, outfit.trouser))
        profile = ((0, 0.28, 0.6, 1), (0.053, 0.058, 0.046, 0.036))
        limb("shank", knee, ankle, profile, outfit.bottom, outfit.trouser - 1)
        _add_shoe(mesh, body, skeleton, outfit, side)


def _add_shoe(mesh: Mesh, body: Body, skeleton: Skeleton, outfit: Outfit, side: str) -> None:
    frame, ankle = skeleton.frames[f"{side}_foot"], skeleton.joints[f"{side}_ankle"]
    along = np.array([-0.30, -0.27, -0.18, 0.0, 0.18, 0.4, 0.6, 0.72, 0.77])
    width = np.array([0.05, 0.17, 0.23, 0.25, 0.27, 0.32, 0.28, 0.17, 0.03]) * body.foot * 0.72
    top = np.array([0.1, 0.75, 1.25, 1.3, 0.75, 0.2, -0.15, -0.4, -0.7]) * body.ankle
    bottom = np.full(len(along), -body.ankle)
    middle, half = (top + bottom) / 2, np.maximum((top - bottom) / 2, 0.004)
    centres = ankle + np.stack([0 * along, middle, along * body.foot], axis=1) @ frame.T
    us, vs = (np.tile(frame[:, axis], (len(along), 1)) for axis in (0, 1))
    polygons, _, angle = tube_polygons(centres, us, vs, width, half, 12)
    sole = np.sin(angle) < -0.45
    colours = np.where(sole[:, None], 0.45 * outfit.shoes + 90, outfit.shoes)
    mesh.add(polygons, colours, _PART[f"{side}_foot"])


# Rings of the trunk: share of its length from hips to neck, half width, half depth, forward shift
# (metres for the reference stature), and which girth they follow.
_TRUNK = (
    (-0.17, 0.060, 0.060, 0.000, "hip"),
    (-0.13, 0.120, 0.095, -0.004, "hip"),
    (-0.06, 0.158, 0.114, -0.010, "hip"),
    (0.02, 0.166, 0.116, -0.010, "hip"),
    (0.12, 0.158, 0.108, 0.000, "hip"),
    (0.24, 0.142, 0.100, 0.006, "waist"),
    (0.38, 0.138, 0.100, 0.010, "waist"),
    (0.52, 0.148, 0.108, 0.012, "chest"),
    (0.66, 0.160, 0.116, 0.014, "chest"),
    (0.76, 0.168, 0.114, 0.010, "chest"),
    (0.85, 0.178, 0.104, 0.004, "shoulder"),
    (0.92, 0.178, 0.086, -0.004, "shoulder"),
    (0.97, 0.150, 0.072, -0.008, "shoulder"),
    (1.00, 0.108, 0.064, -0.010, "shoulder"),
    (1.03, 0.070, 0.056, -0.006, "neck"),
    (1.05, 0.050, 0.048, 0.000, "neck"),
)


def _trunk_point(body: Body, skeleton: Skeleton, share: float) -> tuple[np.ndarray, np.ndarray]:
    """A point of the spine at a share of the trunk's length, and the axes (3, 3) there."""
    joints, frames = skeleton.joints, skeleton.frames
    knots = (0.0, 0.25, 0.55)
    names = ("pelvis", "abdomen", "chest")
    segment = max(0, int(np.searchsorted(knots, share, side="right")) - 1)
    name = names[segment]
    point = joints[name] + (share - knots[segment]) * body.trunk * frames[name][:, 1]
    # Between the middles of two segments the axes turn from one to the other.
    pelvis = np.interp(share, [0.10, 0.40], [1, 0])
    chest = np.interp(share, [0.40, 0.70], [0, 1])
    mixed = (
        pelvis * frames["pelvis"]
        + chest * frames["chest"]
        + (1 - pelvis - chest) * frames["abdomen"]
    )
    return point, mixed / np.linalg.norm(mixed, axis=0)


def _add_torso(mesh: Mesh, body: Body, skeleton: Skeleton, outfit: Outfit) -> None:
    height = body.stature / _REFERENCE_STATURE
    girths = {"hip": body.hip_girth, "waist": body.waist_girth, "chest": body.chest_girth}
    girths |= {"shoulder": body.shoulder / (0.116 * body.stature), "neck": body.limb_girth}
    centres, us, vs, widths, depths = [], [], [], [], []
    for share, width, depth, forward, girth in _TRUNK:
        point, axes = _trunk_point(body, skeleton, share)
        belly = max(0.0, body.waist_girth - 1) * 0.10 if girth == "waist" else 0.0
        centres.append(point + axes[:, 2] * (forward + belly * 0.5) * height)
        us.append(axes[:, 0])
        vs.append(axes[:, 2])
        widths.append(width * girths[girth] * height)
        depths.append(
            (depth * (girths[girth] if girth != "shoulder" else 1.0) + belly * 0.3) * height
        )
    # Rings between the listed ones make the patterns finer.
    knots = np.arange(len(centres))
    fine = np.linspace(0, len(centres) - 1, 2 * len(centres) - 1)

    def refine(values: list) -> np.ndarray:
        values = np.array(values)
        if values.ndim == 1:
            return np.interp(fine, knots, values)
        return np.stack([np.interp(fine, knots, column) for column in values.T], axis=1)

    shares = refine([row[0] for row in _TRUNK])
    widths = refine(widths)
    polygons, ring, angle = tube_polygons(
        refine(centres), refine(us), refine(vs), widths, refine(depths), 20
    )
    share = np.interp(ring, np.arange(len(shares)), shares)
    along, around = share * body.trunk, angle * 0.15 * height
    belt = 0.10
    folds = 1 + 0.035 * np.sin(24 * share + 3 * angle) + 0.02 * np.sin(5 * angle)
    top = outfit.top.paint(along, around) * folds[:, None]
    bottom = outfit.bottom.paint(along, around)
    colours = np.where((share > belt)[:, None], top, bottom)
    if outfit.bottom is not outfit.top:
        colours[(share > belt - 0.035) & (share <= belt)] = outfit.bottom.colour * 0.6
    front = np.sin(angle) > 0  # the angle runs from the left side over the front
    neckline = 0.97 - 0.10 * np.clip(np.sin(angle), 0, 1) ** 6
    if outfit.sleeve == 0.0:  # a tank top leaves the shoulders bare
        neckline = np.minimum(neckline, 0.86 + 0.10 * np.abs(np.abs(np.cos(angle)) - 0.55))
    colours[share > neckline] = outfit.skin
    if outfit.emblem is not None:
        emblem = front & (np.abs(np.cos(angle)) < 0.42) & (share > 0.55) & (share < 0.74)
        colours[emblem] = outfit.emblem
    mesh.add(polygons, colours, _PART["torso"])
    # The flesh between the trunk and the arm.
    start = skeleton.joints["neck"] - 0.01 * height * skeleton.frames["chest"][:, 1]
    skull = skeleton.joints["skull_base"] + 0.12 * body.head * skeleton.frames["head"][:, 1]
    profile = ((0, 0.5, 1), (0.056, 0.050, 0.050))
    size = height * (0.4 + 0.6 * body.limb_girth) * (body.head / (0.132 * body.stature)) ** 0.5
    _limb(mesh, "neck", start, skull, skeleton.frames["neck"], profile, size, outfit.skin * 0.95)
    if outfit.backpack is not None:
        point, axes = _trunk_point(body, skeleton, 0.6)
        t = np.linspace(-1, 1, 9)
        r = np.clip(1 - t**6, 0.02, 1) ** 0.5
        centre = point - axes[:, 2] * 0.16 * height
        centres = centre + t[:, None] * 0.40 * body.trunk * axes[:, 1]
        us, vs = np.tile(axes[:, 0], (9, 1)), np.tile(axes[:, 2], (9, 1))
        pack, ring, _ = tube_polygons(centres, us, vs, 0.13 * height * r, 0.085 * height * r, 14)
        shade = np.where(np.abs(ring - 3) < 0.6, 0.7, 1.0)
        mesh.add(pack, outfit.backpack * shade[:, None], _PART["backpack"])


def _add_skirt(mesh: Mesh, body: Body, skeleton: Skeleton, outfit: Outfit) -> None:
    joints, height = skeleton.joints, body.stature / _REFERENCE_STATURE
    waist, axes = _trunk_point(body, skeleton, 0.10)
    flesh = 0.084 * height * body.limb_girth
    rows = [(waist, axes[:, 0], axes[:, 2], 0.166 * height * body.hip_girth, 0.118 * height)]
    for share in np.linspace(0.0, 1.0, 8) * outfit.skirt:
        points = []
        for side, _ in SIDES:
            hip, knee, ankle = (joints[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
            if share <= 1:
                points.append(hip + share * (knee - hip))
            else:
                points.append(knee + (share - 1) * (ankle - knee))
        across = points[0] - points[1]
        thighs = sum(joints[f"{side}_knee"] - joints[f"{side}_hip"] for side, _ in SIDES)
        direction = thighs / np.linalg.norm(thighs)
        apart = across - direction * (across @ direction)
        u = apart / (np.linalg.norm(apart) + 1e-9)
        v = np.cross(u, -direction)
        spread = flesh * (1.08 + 0.35 * share)
        half = np.linalg.norm(across) / 2 + spread * (1.0 - 0.1 * share)
        rows.append(((points[0] + points[1]) / 2, u, v, max(half, rows[0][3]), spread * 1.28))
    centres, us, vs, widths, depths = (np.array(column) for column in zip(*rows, strict=True))
    polygons, ring, angle = tube_polygons(centres, us, vs, widths, depths, 18)
    along = ring / len(rows) * outfit.skirt * body.thigh
    colours = outfit.bottom.paint(along, angle * 0.15 * height)
    pleats = 1 + 0.08 * np.sin(9 * angle)
    mesh.add(polygons, colours * pleats[:, None], _PART["skirt"], 0.03)


def build_figure(body: Body, skeleton: Skeleton, outfit: Outfit) -> Mesh:
    """The surface of a person, in the skeleton's axes."""
    mesh = Mesh()
    _add_torso(mesh, body, skeleton, outfit)
    _add_limbs(mesh, body, skeleton, outfit)
    if outfit.skirt:
        _add_skirt(mesh, body, skeleton, outfit)
    _add_head(mesh, body, skeleton, outfit)
    return mesh
