"""Polygon surfaces, a pinhole camera, and the painter's algorithm."""

from dataclasses import dataclass, field

import cv2
import numpy as np

from .skeleton import rotation_x, rotation_z

__all__ = ["Camera", "Mesh", "Raster", "box", "rasterize", "tube_polygons"]

_NEAR = 0.15  # metres: polygons with a vertex nearer than this are not drawn
_SUBPIXEL_BITS = 4


@dataclass
class Mesh:
    """Convex polygons with a colour (RGB, 0-255), a part and an owner each, in metres.

    Polygons run anticlockwise seen from outside; their backs are not drawn. `nearer` moves a
    polygon towards the camera in the drawing order alone, in metres, so that a decal lies on the
    surface beneath it.
    """

    polygons: list[np.ndarray] = field(default_factory=list)  # each (M, K, 3)
    colours: list[np.ndarray] = field(default_factory=list)  # each (M, 3)
    parts: list[np.ndarray] = field(default_factory=list)  # each (M,)
    owners: list[np.ndarray] = field(default_factory=list)  # each (M,)
    nearer: list[np.ndarray] = field(default_factory=list)  # each (M,)

    def add(
        self, polygons: np.ndarray, colours: np.ndarray, part: int = 0, nearer: float = 0.0
    ) -> None:
        """Add M polygons (M, K, 3) of one colour (3,) or of one each (M, 3)."""
        count = len(polygons)
        self.polygons.append(np.asarray(polygons, float))
        self.colours.append(np.broadcast_to(np.asarray(colours, float), (count, 3)))
        self.parts.append(np.full(count, part))
        self.owners.append(np.zeros(count, int))
        self.nearer.append(np.full(count, float(nearer)))

    def append(self, other: "Mesh", owner: int) -> None:
        """Add another mesh's polygons as the owner's."""
        self.polygons += other.polygons
        self.colours += other.colours
        self.parts += other.parts
        self.owners += [np.full(len(parts), owner) for parts in other.parts]
        self.nearer += other.nearer

    def moved(self, rotation: np.ndarray, translation: np.ndarray) -> "Mesh":
        """The mesh turned by a (3, 3) rotation, then shifted by (3,) metres."""
        polygons = [group @ rotation.T + translation for group in self.polygons]
        return Mesh(polygons, self.colours, self.parts, self.owners, self.nearer)


def tube_polygons(
    centres: np.ndarray,
    us: np.ndarray,
    vs: np.ndarray,
    radii_u: np.ndarray,
    radii_v: np.ndarray,
    sides: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A surface through elliptical rings.

    Args:
        centres: (R, 3) ring centres.
        us, vs: (R, 3) unit axes of each ring.
        radii_u, radii_v: (R,) radii along the axes.
        sides: polygons around.

    Returns:
        Polygons ((R-1)*sides, 4, 3), and for each the position between the rings (0.5 is halfway
        from the first to the second) and the angle from u towards v in radians.
    """
    angles = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    cos, sin = np.cos(angles)[None, :, None], np.sin(angles)[None, :, None]
    vertices = (
        centres[:, None]
        + (radii_u[:, None] * us)[:, None] * cos
        + (radii_v[:, None] * vs)[:, None] * sin
    )
    after = np.roll(vertices, -1, axis=1)
    corners = [vertices[:-1], after[:-1], after[1:], vertices[1:]]
    if np.sum((centres[-1] - centres[0]) * np.cross(us.mean(0), vs.mean(0))) < 0:
        corners.reverse()
    polygons = np.stack(corners, axis=2).reshape(-1, 4, 3)
    ring = np.repeat(np.arange(len(centres) - 1) + 0.5, sides)
    angle = np.tile(angles + np.pi / sides, len(centres) - 1)
    return polygons, ring, angle


def box(size: np.ndarray, cell: float = np.inf) -> np.ndarray:
    """A box of a size (3,) around the origin: polygons (M, 4, 3), at most `cell` metres wide."""
    faces = []
    half = np.asarray(size, float) / 2
    for axis in range(3):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        counts = [max(1, int(np.ceil(2 * half[a] / cell))) for a in (first, second)]
        a = np.linspace(-half[first], half[first], counts[0] + 1)
        b = np.linspace(-half[second], half[second], counts[1] + 1)
        for sign in (1, -1):
            for i in range(counts[0]):
                for j in range(counts[1]):
                    corners = [
                        (a[i], b[j]),
                        (a[i + 1], b[j]),
                        (a[i + 1], b[j + 1]),
                        (a[i], b[j + 1]),
                    ]
                    face = np.empty((4, 3))
                    face[:, axis] = sign * half[axis]
                    face[:, [first, second]] = corners[::sign]
                    faces.append(face)
    return np.array(faces)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera at (0, height, distance) that looks along -z, tilted down by pitch.

    World axes are x right, y up, z towards the camera; lengths in metres, angles in degrees. focal
    is in pixels, (centre_x, centre_y) is where the optical axis meets the image, in pixels from its
    top left corner.
    """

    focal: float
    centre_x: float
    centre_y: float
    distance: float
    height: float
    pitch: float
    roll: float

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) in camera axes: x right, y up, z backwards."""
        rotation = rotation_z(self.roll) @ rotation_x(self.pitch)
        return (points - np.array([0.0, self.height, self.distance])) @ rotation.T

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixel positions (..., 2) and depths (...) in metres of world points (..., 3)."""
        return self.project_camera(self.to_camera(points))

    def project_camera(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As project, from points (..., 3) in camera axes."""
        depth = -points[..., 2]
        safe = np.maximum(depth, _NEAR)
        x = self.centre_x + self.focal * points[..., 0] / safe
        y = self.centre_y - self.focal * points[..., 1] / safe
        return np.stack([x, y], axis=-1), depth


@dataclass(frozen=True)
class Raster:
    """A drawn mesh: each pixel's polygon, -1 where there is none, and what is known by polygon."""

    index: np.ndarray  # (H, W) int32
    colours: np.ndarray  # (M, 3) uint8, shaded
    parts: np.ndarray  # (M,)
    owners: np.ndarray  # (M,)
    depths: np.ndarray  # (M,) metres

    def owner_map(self) -> np.ndarray:
        """The owner of each pixel, (H, W), -1 where nothing was drawn."""
        return np.take(np.append(self.owners, -1), self.index, mode="wrap")


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross products of vectors (N, 3); np.cross is several times slower."""
    return a[:, [1, 2, 0]] * b[:, [2, 0, 1]] - a[:, [2, 0, 1]] * b[:, [1, 2, 0]]


def rasterize(
    mesh: Mesh, camera: Camera, size: tuple[int, int], light: np.ndarray, ambient: float
) -> Raster:
    """Draw a mesh back to front.

    Args:
        mesh: what to draw.
        camera: from where.
        size: (width, height) in pixels.
        light: unit vector (3,) towards the light, in camera axes.
        ambient: share of the light that falls from everywhere, 0 to 1.
    """
    outlines: list[np.ndarray] = []
    numbers, shades, depths = [], [], []
    count = np.cumsum([0] + [len(group) for group in mesh.polygons])
    for corners in sorted({group.shape[1] for group in mesh.polygons}):
        groups = [i for i, group in enumerate(mesh.polygons) if group.shape[1] == corners]
        number = np.concatenate([np.arange(count[i], count[i + 1]) for i in groups])
        points = camera.to_camera(np.concatenate([mesh.polygons[i] for i in groups]))
        # A side may have no length where a tube ends in a point: lines across give the normal.
        normal = _cross(points[:, 2] - points[:, 0], points[:, -1] - points[:, 1])
        middle = np.einsum("ijk->ik", points) / corners
        towards = np.einsum("ij,ij->i", normal, middle)
        nearest = -points[:, :, 2].max(axis=1)
        front = (towards < 0) & (nearest > _NEAR)
        number, points, middle, normal = (a[front] for a in (number, points, middle, normal))
        length = np.sqrt(np.einsum("ij,ij->i", normal, normal)) + 1e-12
        facing = -towards[front] / length / np.sqrt(np.einsum("ij,ij->i", middle, middle))
        lit = ambient + (1 - ambient) * np.clip(normal @ light / length, 0, 1)
        shades.append(lit * (0.82 + 0.18 * facing))
        depths.append(-middle[:, 2])
        numbers.append(number)
        # Pixel i covers [i, i + 1), OpenCV's pixel coordinates are those of pixel centres.
        pixels = np.clip(camera.project_camera(points)[0] - 0.5, -8192, 8192)
        outlines.extend(np.rint(pixels * (1 << _SUBPIXEL_BITS)).astype(np.int32))
    number, depth = np.concatenate(numbers), np.concatenate(depths)
    order = np.argsort(-(depth - np.concatenate(mesh.nearer)[number]), kind="stable")
    index = np.full((size[1], size[0]), -1, np.int32)
    for polygon in order.tolist():
        cv2.fillConvexPoly(index, outlines[polygon], polygon, cv2.LINE_8, _SUBPIXEL_BITS)
    colours = np.concatenate(mesh.colours)[number] * np.concatenate(shades)[:, None]
    return Raster(
        index,
        np.clip(np.rint(colours), 0, 255).astype(np.uint8),
        np.concatenate(mesh.parts)[number],
        np.concatenate(mesh.owners)[number],
        depth,
    )
