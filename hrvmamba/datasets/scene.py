"""One picture of synthetic people: cast, camera, occluders, drawing, and who can be seen."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from .background import draw_background
from .figure import build_figure, keypoint_positions, visible_parts
from .keypoints import KEYPOINTS
from .mesh import Camera, Mesh, Raster, box, rasterize, tube_polygons
from .outfit import Outfit, sample_outfit
from .skeleton import Body, Pose, pose_skeleton, rotation_y, sample_body, sample_pose

__all__ = ["CASTS", "SUPERSAMPLING", "Cast", "Person", "Scene", "draw_scene", "render_scene"]

SUPERSAMPLING = 2
"""Each pixel is drawn as a square of this many times this many, then averaged."""

_OBJECT = -2  # the owner of furniture and occluders in an index of owners (people count from 0)
_MIN_VISIBLE_KEYPOINTS = 6
_MIN_INSIDE_KEYPOINTS = 9
_MIN_VISIBLE_AREA = 0.004  # share of the image
_MAX_COVERED_SHARE = 0.55  # of the keypoints within the image, by other people and things


@dataclass(frozen=True)
class Cast:
    """What scenes show. Shares are of 1.

    Attributes:
        people: how often an image has one person, two, ...
        poses: how often each kind of pose is drawn, a name of skeleton.POSES.
        facing: share of people who face the camera, give or take.
        averted: share of people with their back to it; the rest look anywhere.
        occluded: share of images with a thing in front of somebody.
        close: share of images that show the upper body alone.
    """

    people: tuple[float, ...]
    poses: dict[str, float]
    facing: float
    averted: float
    occluded: float
    close: float


CASTS = {
    "varied": Cast(
        people=(0.55, 0.27, 0.12, 0.06),
        poses={
            "standing": 0.38,
            "walking": 0.20,
            "running": 0.07,
            "arms up": 0.06,
            "waving": 0.09,
            "jumping": 0.03,
            "sitting": 0.08,
            "crouching": 0.02,
            "lunging": 0.02,
            "kicking": 0.02,
            "bending": 0.01,
            "sitting on the ground": 0.01,
            "lying": 0.01,
        },
        facing=0.6,  # as in most pictures
        averted=0.15,
        occluded=0.22,
        close=0.08,
    ),
    # What a small model learns in minutes: one whole person, upright, seen from the front.
    "simple": Cast(
        people=(1.0,),
        poses={"standing": 0.4, "walking": 0.2, "waving": 0.2, "arms up": 0.2},
        facing=1.0,
        averted=0.0,
        occluded=0.0,
        close=0.0,
    ),
}
"""Casts by name."""


@dataclass(frozen=True)
class Person:
    """Somebody in a scene. A yaw of 0 degrees faces the camera, of 90 the image's right."""

    body: Body
    pose: Pose
    yaw: float
    x: float  # metres to the right of the scene's middle
    z: float  # metres from the scene's middle towards the camera
    outfit: Outfit | None = None  # chosen once the background is known

    def keypoints(self) -> np.ndarray:
        """COCO's keypoints (17, 3) in world axes, metres."""
        keypoints = keypoint_positions(self.body, pose_skeleton(self.body, self.pose))
        return keypoints @ rotation_y(self.yaw).T + self._position()

    def surface(self) -> Mesh:
        """What is to be drawn of the person, in world axes."""
        mesh = build_figure(self.body, pose_skeleton(self.body, self.pose), self.outfit)
        return mesh.moved(rotation_y(self.yaw), self._position())

    def _position(self) -> np.ndarray:
        return np.array([self.x, 0.0, self.z])


@dataclass(frozen=True)
class Scene:
    """A drawn scene.

    Attributes:
        image: RGB picture (H, W, 3), uint8.
        annotations: one COCO annotation a person, without ids: keypoints, num_keypoints, bbox,
            area, segmentation, iscrowd.
        owners: whose surface is seen, (H * SUPERSAMPLING, W * SUPERSAMPLING): the position in
            annotations, -2 for things in front of or under people, -1 for the background.
    """

    image: np.ndarray
    annotations: list[dict]
    owners: np.ndarray


def draw_scene(
    rng: np.random.Generator, image_size: tuple[int, int], cast: Cast = CASTS["varied"]
) -> Scene:
    """Draw people somewhere, and annotate them.

    Args:
        rng: source of chance; the same state gives the same scene.
        image_size: (width, height) in pixels, each at least 64.
        cast: what to show.

    Raises:
        ValueError: image_size is no pair of integers of at least 64.
    """
    if len(image_size) != 2 or any(int(side) != side or side < 64 for side in image_size):
        raise ValueError(
            f"image_size: got {image_size!r}, needs (width, height), integers of at least 64"
        )
    while True:
        scene = _try_scene(rng, (int(image_size[0]), int(image_size[1])), cast)
        if scene is not None:
            return scene


def _try_scene(rng: np.random.Generator, size: tuple[int, int], cast: Cast) -> Scene | None:
    people, camera = _sample_people(rng, size, cast)
    horizon = camera.project(np.array([0.0, camera.height, -1e5]))[0][1]
    background = draw_background(rng, size, float(horizon), camera.roll)
    colour = background.reshape(-1, 3).mean(axis=0)
    people = [replace(person, outfit=sample_outfit(rng, colour)) for person in people]
    things = Mesh()
    for person in people:
        if person.pose.seated:
            _add_seat(rng, things, person)
    if rng.random() < cast.occluded:
        _add_occluder(rng, things, people[rng.integers(len(people))])
    light = np.array([rng.uniform(-0.8, 0.8), rng.uniform(0.25, 1.0), rng.uniform(0.4, 1.0)])
    light /= np.linalg.norm(light)
    ambient = rng.uniform(0.45, 0.7)
    while people:
        scene, kept = render_scene(rng, people, things, camera, background, light, ambient)
        if len(kept) == len(people):
            return scene
        people = [people[index] for index in kept]  # nobody stays who is hardly to be seen
    return None


# Who stands where


def _sample_yaw(rng: np.random.Generator, pose: Pose, cast: Cast) -> float:
    if pose.name == "lying":
        return rng.choice([-1, 1]) * rng.uniform(55, 125)
    kind = rng.random()
    if kind < cast.facing:
        return rng.normal(0, 22)
    if kind < cast.facing + cast.averted:
        return 180 + rng.normal(0, 22)
    return rng.uniform(-180, 180)


def _sample_person(rng: np.random.Generator, x: float, z: float, cast: Cast) -> Person:
    body = sample_body(rng)
    pose = sample_pose(rng, str(rng.choice(list(cast.poses), p=list(cast.poses.values()))))
    return Person(body, pose, _sample_yaw(rng, pose, cast), x, z)


def _sample_people(
    rng: np.random.Generator, size: tuple[int, int], cast: Cast
) -> tuple[list[Person], Camera]:
    """Some people, and a camera that shows the first of them well."""
    width, height = size
    count = 1 + int(rng.choice(len(cast.people), p=cast.people))
    first = _sample_person(rng, 0.0, 0.0, cast)
    keypoints = first.keypoints()
    distance = rng.uniform(3.2, 8.0)
    pitch = float(np.clip(rng.normal(5, 6), -7, 25))
    if rng.random() < 0.1 or first.pose.name == "lying":
        pitch = rng.uniform(12, 32)
    middle = (keypoints[:, 1].min() + keypoints[:, 1].max()) / 2
    camera = Camera(
        focal=1.0,
        centre_x=0.0,
        centre_y=0.0,
        distance=distance,
        height=max(0.25, middle + distance * np.tan(np.deg2rad(pitch))),
        pitch=pitch,
        roll=float(rng.normal(0, 2.5)),
    )
    pixels, _ = camera.project(keypoints)
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    # 1.13: from the keypoints' extent to the figure's
    extent = 1.13 * max((high - low) / size)
    close = rng.random() < cast.close and first.pose.name != "lying"
    if close:
        share = rng.uniform(1.1, 1.7)
    elif count == 1:
        share = rng.uniform(0.45, 0.92)
    else:
        share = rng.uniform(0.42, 0.85)
    focal = share / extent
    half = 0.565 * focal * (high - low)
    middle = focal * (low + high) / 2
    centre = np.empty(2)
    for axis, side in enumerate(size):
        room = max(0.0, side / 2 - half[axis])
        slack = 0.06 * side if rng.random() < 0.2 else 0.0  # now and then cut by the border
        centre[axis] = side / 2 - middle[axis] + rng.uniform(-1, 1) * (0.95 * room + slack)
    if close:  # the upper body
        centre[1] = 0.06 * height + half[1] - middle[1] + rng.uniform(0, 0.08) * height
    camera = Camera(
        focal, *centre.tolist(), camera.distance, camera.height, camera.pitch, camera.roll
    )
    people = [first]
    for _ in range(8 * (count - 1)):
        if len(people) == count:
            break
        z = rng.uniform(-2.2, 0.7) if distance > 4.5 else rng.uniform(-2.2, 0.2)
        column = rng.uniform(0.05, 0.95) * width
        x = (column - camera.centre_x) * (distance - z) / focal
        apart = min(np.hypot(person.x - x, person.z - z) for person in people)
        columns = [camera.project(np.array([p.x, 0.8, p.z]))[0][0] for p in people]
        if apart < 0.6 or min(abs(column - other) for other in columns) < 0.11 * width:
            continue
        people.append(_sample_person(rng, x, z, cast))
    return people, camera


def _add_seat(rng: np.random.Generator, things: Mesh, person: Person) -> None:
    """A stool, a box or a chair under somebody who sits."""
    skeleton = pose_skeleton(person.body, person.pose)
    stature = person.body.stature
    top = skeleton.joints["pelvis"][1] - 0.065 * stature
    if top < 0.05:
        return
    wide, deep = rng.uniform(0.2, 0.3) * stature, 0.24 * stature
    colour = rng.uniform(50, 210, 3)
    pieces = [(np.array([0, top - 0.02, -0.01]), np.array([wide, 0.04, deep]))]
    if rng.random() < 0.5:
        pieces.append((np.array([0, (top - 0.04) / 2, -0.01]), np.array([wide, top - 0.04, deep])))
    else:
        for x in (-0.42, 0.42):
            for z in (-0.42, 0.42):
                centre = np.array([x * wide, (top - 0.04) / 2, z * deep - 0.01])
                pieces.append((centre, np.array([0.04, top - 0.04, 0.04])))
    if rng.random() < 0.5:
        back = 0.25 * stature
        centre = np.array([0, top + back / 2, -0.5 * deep - 0.04])
        pieces.append((centre, np.array([wide, back, 0.03])))
    rotation, position = rotation_y(person.yaw), np.array([person.x, 0.0, person.z])
    seat = Mesh()
    for centre, extent in pieces:
        seat.add(box(extent, 0.1) + centre, colour * rng.uniform(0.9, 1.0), nearer=-0.02)
    things.append(seat.moved(rotation, position), _OBJECT)


def _add_occluder(rng: np.random.Generator, things: Mesh, person: Person) -> None:
    """Something that stands between the camera and a part of somebody."""
    stature = person.body.stature
    colour = rng.uniform(40, 220, 3)
    mesh = Mesh()
    kind = rng.choice(["box", "pole", "plant", "table", "fence"], p=[0.3, 0.22, 0.2, 0.18, 0.1])
    offset = rng.normal(0, 0.22)
    if kind == "box":
        extent = np.array([rng.uniform(0.3, 0.8), rng.uniform(0.15, 0.5) * stature, 0.3])
        mesh.add(box(extent) + [0, extent[1] / 2, 0], colour)
        if rng.random() < 0.5:
            tape = box(extent * [0.12, 1.01, 1.01]) + [0, extent[1] / 2, 0]
            mesh.add(tape, colour * 0.75, nearer=0.1)
        mesh = mesh.moved(rotation_y(rng.uniform(-35, 35)), np.zeros(3))
    elif kind == "pole":
        radius = rng.uniform(0.035, 0.075)
        centres = np.stack([np.zeros(16), np.linspace(0, 3.5, 16), np.zeros(16)], 1)
        us, vs = np.tile([0.0, 0, 1], (16, 1)), np.tile([1.0, 0, 0], (16, 1))
        polygons, ring, _ = tube_polygons(centres, us, vs, *(np.full(16, radius),) * 2, 12)
        bands = np.where((ring % 2 < 1) & (rng.random() < 0.4), 1.4, 1.0)
        mesh.add(polygons, colour * bands[:, None])
        offset = rng.choice([-1, 1]) * rng.uniform(0.04, 0.3)
    elif kind == "plant":
        pot = 0.12 * stature
        mesh.add(box(np.array([0.3, pot, 0.3])) + [0, pot / 2, 0], colour)
        tall = rng.uniform(0.15, 0.35) * stature
        for _ in range(40):
            root = np.array([rng.normal(0, 0.05), pot, rng.normal(0, 0.05)])
            tip = root + [rng.normal(0, 0.2), tall * rng.uniform(0.4, 1.1), rng.normal(0, 0.1)]
            side = np.array([rng.uniform(0.02, 0.05), rng.normal(0, 0.02), 0])
            middle = (root + tip) / 2 + [0, 0.06, 0]
            leaf = np.array([[root, middle + side, tip, middle - side]])
            green = np.array([rng.uniform(20, 110), rng.uniform(80, 190), rng.uniform(20, 90)])
            mesh.add(leaf, green)
            mesh.add(leaf[:, ::-1], green)
    elif kind == "table":
        high, wide = rng.uniform(0.3, 0.44) * stature, rng.uniform(0.6, 1.3)
        for x in (-0.47, 0.47):
            for z in (-0.2, 0.2):
                leg = box(np.array([0.05, high, 0.05])) + [x * wide, high / 2, z]
                mesh.add(leg, colour * 0.7, nearer=-0.1 + 0.1 * z)
        mesh.add(box(np.array([wide, 0.05, 0.5])) + [0, high, 0], colour, nearer=0.3)
    else:
        high = rng.uniform(0.25, 0.5) * stature
        for x in np.arange(-1.2, 1.2, rng.uniform(0.14, 0.3)):
            mesh.add(box(np.array([0.045, high, 0.03])) + [x, high / 2, 0], colour)
        for y in (0.35, 0.85):
            mesh.add(box(np.array([2.5, 0.05, 0.02])) + [0, y * high, 0], colour * 0.9, nearer=0.05)
    away = rng.uniform(0.75, 1.1)  # farther than an arm reaches
    position = np.array([person.x + offset, 0.0, person.z + away])
    things.append(mesh.moved(np.eye(3), position), _OBJECT)


# Drawing and annotating


def render_scene(
    rng: np.random.Generator,
    people: list[Person],
    things: Mesh,
    camera: Camera,
    background: np.ndarray,
    light: np.ndarray,
    ambient: float,
) -> tuple[Scene, list[int]]:
    """Draw given people and things before a background (H, W, 3).

    Returns:
        The scene, with every person annotated, and the positions of those of whom enough is seen.
    """
    height, width = background.shape[:2]
    size = (width * SUPERSAMPLING, height * SUPERSAMPLING)
    enlarged = Camera(
        camera.focal * SUPERSAMPLING,
        camera.centre_x * SUPERSAMPLING,
        camera.centre_y * SUPERSAMPLING,
        camera.distance,
        camera.height,
        camera.pitch,
        camera.roll,
    )
    mesh, keypoints = Mesh(), [person.keypoints() for person in people]
    mesh.append(things, _OBJECT)
    for index, person in enumerate(people):
        mesh.append(person.surface(), index)
    raster = rasterize(mesh, enlarged, size, light, ambient)
    owners = raster.owner_map()
    annotations = [
        _annotate(person, index, keypoints[index], camera, raster, owners)
        for index, person in enumerate(people)
    ]
    kept = [
        index
        for index, annotation in enumerate(annotations)
        if _well_seen(annotation, index, owners, width * height)
    ]
    shaded = _shadow(rng, background, keypoints, camera)
    return Scene(_compose(rng, raster, shaded), annotations, owners), kept


def _annotate(
    person: Person,
    index: int,
    keypoints: np.ndarray,
    camera: Camera,
    raster: Raster,
    owners: np.ndarray,
) -> dict:
    """A COCO annotation. A keypoint is visible where one of the parts that show it was drawn."""
    height, width = (side // SUPERSAMPLING for side in owners.shape)
    pixels, depths = camera.project(keypoints)
    values: list[float] = []
    for name, (x, y), depth in zip(KEYPOINTS, np.round(pixels, 2).tolist(), depths, strict=True):
        if not (0 <= x < width and 0 <= y < height and depth > 0):
            values += [0, 0, 0]
            continue
        polygon = raster.index[int(y * SUPERSAMPLING), int(x * SUPERSAMPLING)]
        parts, reach = visible_parts(name)
        seen = (
            polygon >= 0
            and raster.owners[polygon] == index
            and raster.parts[polygon] in parts
            and raster.depths[polygon] > depth - reach * person.body.stature
        )
        values += [x, y, 2 if seen else 1]
    share = cv2.resize(
        (owners == index).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA
    )
    mask = (share >= 0.5).astype(np.uint8)
    x, y, w, h = cv2.boundingRect(mask)
    return {
        "keypoints": values,
        "num_keypoints": sum(flag > 0 for flag in values[2::3]),
        "bbox": [x, y, w, h],
        "area": int(mask.sum()),
        "segmentation": _outlines(mask),
        "iscrowd": 0,
    }


def _outlines(mask: np.ndarray) -> list[list[float]]:
    """COCO polygons around a mask (H, W)."""
    # Enlarged, so that the outline runs near the pixels' borders, not through their middles.
    enlarged = mask.repeat(2, axis=0).repeat(2, axis=1)
    contours, _ = cv2.findContours(enlarged, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [((contour + 0.5) / 2).ravel().tolist() for contour in contours if len(contour) >= 3]


def _well_seen(annotation: dict, index: int, owners: np.ndarray, image_area: int) -> bool:
    """Whether enough of a person is seen to be worth finding."""
    keypoints = np.reshape(annotation["keypoints"], (17, 3))
    inside = keypoints[keypoints[:, 2] > 0]
    columns, rows = (inside[:, :2] * SUPERSAMPLING).astype(int).T
    covered = np.count_nonzero(owners[rows, columns] != index)
    return (
        np.count_nonzero(keypoints[:, 2] == 2) >= _MIN_VISIBLE_KEYPOINTS
        and len(inside) >= _MIN_INSIDE_KEYPOINTS
        and annotation["area"] >= _MIN_VISIBLE_AREA * image_area
        and covered <= _MAX_COVERED_SHARE * len(inside)
    )


def _shadow(
    rng: np.random.Generator,
    background: np.ndarray,
    keypoints: list[np.ndarray],
    camera: Camera,
) -> np.ndarray:
    """The background, darkened on the ground under people."""
    height, width = background.shape[:2]
    dark = np.zeros((height, width), np.float32)
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    circle = np.stack([np.cos(angles), 0 * angles, np.sin(angles)], axis=1)
    for positions in keypoints:
        for point in positions[[0, 9, 10, 11, 12, 13, 14, 15, 16]]:
            if point[1] < 0.6:
                ground = point * [1, 0, 1] + circle * (0.13 + 0.15 * point[1])
                outline, depth = camera.project(ground)
                if depth.min() > 0.3:
                    outline = np.clip(np.rint(outline), -8192, 8192).astype(np.int32)
                    cv2.fillPoly(dark, [outline], 1.0)
    strength, softness = rng.uniform(0.2, 0.55), rng.uniform(0.008, 0.02) * height
    dark = cv2.GaussianBlur(dark, (0, 0), softness)
    return (background * (1 - strength * dark[..., None])).astype(np.uint8)


def _compose(rng: np.random.Generator, raster: Raster, background: np.ndarray) -> np.ndarray:
    """The drawn polygons over the background, averaged to the image's size, with noise."""
    height, width = background.shape[:2]
    # Red, green, blue and cover in one word a polygon; the last one serves index -1: nothing.
    words = np.zeros((len(raster.colours) + 1, 4), np.uint8)
    words[:-1, :3], words[:-1, 3] = raster.colours, 255
    drawn = np.take(words.view(np.uint32)[:, 0], raster.index, mode="wrap")
    drawn = drawn.view(np.uint8).reshape(*raster.index.shape, 4)
    drawn = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    image = drawn[..., :3] + background * (1 - drawn[..., 3:] / 255)
    gain = rng.uniform(0.85, 1.12) * rng.uniform(0.94, 1.06, 3)
    shift = 127 * (1 - gain) + rng.uniform(-18, 18)
    image = image * gain.astype(np.float32) + shift.astype(np.float32)
    if rng.random() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.9))
    noise = rng.integers(0, 256, image.shape, np.uint8)  # of standard deviation 74
    image += (noise - np.float32(127.5)) * np.float32(rng.uniform(0.5, 5) / 74)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
