"""Camera and drawing, against positions worked out by hand."""

import numpy as np
import pytest

from hrvmamba.datasets.mesh import Camera, Mesh, box, rasterize, tube_polygons

CAMERA = Camera(focal=100, centre_x=40, centre_y=30, distance=5, height=0, pitch=0, roll=0)
LIGHT = np.array([0.0, 0.0, 1.0])


def test_camera_projects_as_a_pinhole():
    pixels, depth = CAMERA.project(np.array([[0.0, 0, 0], [0.5, 0.25, 0], [0.5, 0.25, 2.5]]))
    np.testing.assert_allclose(pixels, [[40, 30], [50, 25], [60, 20]])
    np.testing.assert_allclose(depth, [5, 5, 2.5])


def test_camera_pitch_looks_down():
    camera = Camera(focal=100, centre_x=0, centre_y=0, distance=5, height=5, pitch=45, roll=0)
    pixels, depth = camera.project(np.zeros(3))  # 45 degrees below the camera
    np.testing.assert_allclose(pixels, [0, 0], atol=1e-9)
    assert depth == pytest.approx(5 * np.sqrt(2))


def test_nearer_box_hides_the_farther_one_whatever_the_order():
    for order in ((0, 1), (1, 0)):
        mesh = Mesh()
        for owner in order:
            one = Mesh()
            one.add(box(np.array([0.5, 0.5, 0.5])) + [0.2 * owner, 0, owner], [100, 100, 100])
            mesh.append(one, owner)
        owners = rasterize(mesh, CAMERA, (80, 60), LIGHT, 0.5).owner_map()
        assert owners[30, 42] == 1  # where both are
        assert owners[30, 37] == 0  # where only the farther one is
        assert owners[5, 5] == -1


def test_only_outsides_are_drawn_and_lit_from_the_light():
    mesh = Mesh()
    mesh.add(box(np.ones(3)), [200, 100, 50])
    raster = rasterize(mesh, CAMERA, (80, 60), LIGHT, 0.5)
    assert len(raster.depths) == 1  # five sides of the box face away from the camera or edge-on
    np.testing.assert_array_equal(raster.colours[raster.index[30, 40]], [200, 100, 50])
    assert raster.depths[0] == pytest.approx(4.5)


@pytest.mark.parametrize("upward", [True, False])
def test_tubes_face_outward(upward):
    heights = np.linspace(0, 1, 5) if upward else np.linspace(1, 0, 5)
    centres = np.stack([0 * heights, heights, 0 * heights], axis=1)
    us, vs = np.tile([0.0, 0, 1], (5, 1)), np.tile([1.0, 0, 0], (5, 1))
    polygons, ring, _ = tube_polygons(centres, us, vs, np.ones(5), np.full(5, 2.0), 12)
    middle = polygons.mean(axis=1)
    normal = np.cross(polygons[:, 1] - polygons[:, 0], polygons[:, 2] - polygons[:, 1])
    assert np.all(np.sum(normal * (middle * [1, 0, 1]), axis=1) > 0)
    assert ring.min() == 0.5 and ring.max() == 3.5
