"""Shapes, noise, skies, lights and obstacles, on cases a reader can work out."""

from math import pi, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outofsight.errors import WorldError
from outofsight.worlds.scenes import mesh as shapes
from outofsight.worlds.scenes.layout import Material, Obstacle, Part
from outofsight.worlds.scenes.lights import INDOOR_MOODS, OUTDOOR_MOODS, mood_lights, towards
from outofsight.worlds.scenes.noise import fractal_noise, lattice_noise, stock_noise
from outofsight.worlds.scenes.sky import SKY_LOOKS, face_directions, paint_sky
from outofsight.worlds.scenes.textures import TILE_M, surface_image


def volume(mesh):
    """Enclosed volume of a closed mesh whose faces look outwards (divergence theorem)."""
    a, b, c = mesh.corners[:, 0], mesh.corners[:, 1], mesh.corners[:, 2]
    return float(np.einsum("fi,fi->f", a, np.cross(b, c)).sum() / 6)


CLOSED = [
    (shapes.box(1, 2, 3), 6.0),
    (shapes.hexahedron((2, 2), (1, 1), 1), 7 / 3),  # frustum: h/3 · (4 + 1 + 2)
    (shapes.prism([[0, 0], [1, 0], [1, 1]], 2), 1.0),
    (shapes.cylinder(1, 2, 6), 2 * 6 * 0.5 * sqrt(3) / 2),  # six triangles of area ½·sin 60°
    (shapes.cylinder(1, 3, 4, 0.0), 2.0),  # pyramid over a square of area 2
    (shapes.wheel(1, 0.5, 4), 1.0),
    (shapes.tube([[0, 0, 0], [0, 0, 2]], 1.0, 4), 4.0),
]


@pytest.mark.parametrize(("mesh", "expected"), CLOSED)
def test_closed_shapes_enclose_their_volume_and_look_outwards(mesh, expected):
    assert volume(mesh) == pytest.approx(expected, rel=1e-9)
    a, b, c = mesh.corners[:, 0], mesh.corners[:, 1], mesh.corners[:, 2]
    face = shapes.unit_rows(np.cross(b - a, c - a))
    assert np.einsum("fi,fki->fk", face, mesh.normals).min() > 0.6  # authored normals lean with the face
    assert np.linalg.norm(mesh.normals, axis=-1) == pytest.approx(1.0)


def test_a_ball_comes_near_a_sphere():
    ball = shapes.sphere(2.0, 2)
    assert volume(ball) == pytest.approx(4 / 3 * pi * 8, rel=0.05)
    assert ball.corners[..., 2].min() == pytest.approx(0, abs=0.1)


@given(st.floats(-3, 3), st.floats(-pi, pi), st.floats(-2, 2))
@settings(max_examples=30, deadline=None)
def test_placing_keeps_volume_and_unit_normals(shift, turn, lean):
    placed = shapes.box(1, 2, 0.5).pitched(lean).rolled(turn).at(shift, -shift, turn, lean)
    assert volume(placed) == pytest.approx(1.0, rel=1e-9)
    assert np.linalg.norm(placed.normals, axis=-1) == pytest.approx(1.0)


def test_a_face_measures_its_texture_in_metres_and_hangs_pictures_upright():
    wall = shapes.quad([[0, 0, 0], [3, 0, 0], [3, 0, 2], [0, 0, 2]])
    low_left = wall.texcoords[np.all(wall.corners == [0, 0, 0], axis=-1)]
    assert low_left == pytest.approx(np.tile([0.0, 2.0], (2, 1)))
    picture = shapes.panel(3, 2)
    top_right = picture.texcoords[np.all(np.isclose(picture.corners, [1.5, 0, 2]), axis=-1)]
    assert top_right == pytest.approx(np.tile([1.0, 0.0], (len(top_right), 1)))
    assert picture.normals[0, 0] == pytest.approx([0, -1, 0])


def test_a_mesh_of_wrong_shape_is_refused():
    with pytest.raises(WorldError, match="corners and normals"):
        shapes.Mesh(np.zeros((2, 3, 3)), np.zeros((2, 3, 3)), np.zeros((2, 3, 3)))
    with pytest.raises(WorldError, match="at least one"):
        shapes.join()


def test_obstacle_distances_by_hand():
    box = Obstacle(kind="box", name="box", centre_m=(1, 0), half_size_m=(2, 1), yaw_rad=pi / 2)
    points = np.array([[1, 0], [1, 3], [3, 0], [3, 3]], dtype=float)  # turned: 1 wide in x, 2 long in y
    assert box.distance_m(points) == pytest.approx([-1, 1, 1, sqrt(2)])
    disc = Obstacle(kind="disc", name="disc", centre_m=(0, 0), half_size_m=(2, 2))
    assert disc.distance_m(np.array([[0, 0], [3, 4]])) == pytest.approx([-2, 3])


def test_noise_tiles_and_stays_in_range():
    rng = np.random.default_rng(0)
    field = fractal_noise(rng, 96, 128, 4)
    seam = np.abs(field[:, 0] - field[:, -1]).max()
    assert seam < 3 * np.abs(np.diff(field, axis=1)).max()
    lattice = lattice_noise(rng, 64, 64, 4, 4)
    assert np.abs(lattice).max() <= 1
    stock = stock_noise(np.random.default_rng(1), 200, 300, 40.0, 3, 0.5)
    assert stock.shape == (200, 300)
    again = stock_noise(np.random.default_rng(1), 200, 300, 40.0, 3, 0.5)
    assert stock.tobytes() == again.tobytes()
    assert 0.2 < stock.std() < 0.8


@pytest.mark.parametrize("name", sorted(TILE_M))
def test_surfaces_are_images_that_tile(name):
    image = surface_image(name).astype(int)
    assert image.shape[2] == 3
    assert image.shape[0] == image.shape[1] <= 256
    assert image.std() > 0.5, "a surface has some grain"
    if name not in ("cardboard", "crate"):  # those show one whole face of a box
        inner = np.abs(np.diff(image, axis=1)).mean(axis=(0, 2)).max()
        seam = np.abs(image[:, 0] - image[:, -1]).mean()
        assert seam <= 1.5 * inner + 6


def test_an_unknown_surface_is_named():
    with pytest.raises(WorldError, match="'velvet'"):
        surface_image("velvet")


def test_sky_faces_look_where_the_renderer_looks():
    directions = face_directions(3).reshape(6, 3, 3, 3)
    middles = directions[:, 1, 1]
    assert middles == pytest.approx(
        np.array([[1, 0, 0], [-1, 0, 0], [0, 0, 1], [0, 0, -1], [0, -1, 0], [0, 1, 0]]), abs=1e-6
    )
    for face in (0, 1, 4, 5):
        assert directions[face, 0, 1, 2] > 0, "the first row of an upright face looks up"


@pytest.mark.parametrize("light", sorted(SKY_LOOKS))
def test_the_sun_stands_in_the_sky_where_its_light_comes_from(light):
    sun = towards(0.7, 0.6)
    sky = paint_sky(np.random.default_rng(3), light, "hills", sun, (0.3, 0.3, 0.3)).astype(float)
    bright = sky.sum(axis=-1)
    there = face_directions(sky.shape[1]) @ sun
    if light in ("noon", "morning", "golden hour", "dusk"):
        assert bright[there > 0.999].mean() > bright.mean() + 60
    up = face_directions(sky.shape[1])[..., 2]
    assert np.abs(sky[up < -0.2] - sky[up < -0.2].mean(axis=0)).max() < 2, "below the horizon one even colour"


@pytest.mark.parametrize("mood", [*OUTDOOR_MOODS.values(), *INDOOR_MOODS.values()])
def test_moods_light_white_ground_neither_black_nor_far_beyond_white(mood):
    key, fill, bounce, *lamps = mood_lights(mood, 0.4, [(0, 0, 3), (1, 0, 3)], 1.0, (0.5, 0.5, 0.5))
    upright = 1.0 if key.kind == "point" else -key.direction[2]
    ground = (
        np.array(fill.ambient) + np.array(key.diffuse) * upright + np.array(fill.diffuse) * -fill.direction[2]
    )
    assert 0.2 < ground.mean() < 1.15
    assert bounce.direction == (0.0, 0.0, 1.0)
    assert any(lamp.active for lamp in lamps) == (mood.lamps is not None)


def test_painted_parts_need_a_colour_for_each_face():
    with pytest.raises(WorldError, match="one colour a face"):
        Part(
            name="box",
            mesh=shapes.box(1, 1, 1),
            material=Material(),
            colours=np.zeros((3, 3), dtype=np.uint8),
        )
