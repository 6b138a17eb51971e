"""Every place: its layout is truthful, repeats from its seed, differs with it, and becomes a model."""

from functools import lru_cache

import mujoco
import numpy as np
import pytest

from outofsight.errors import WorldError
from outofsight.worlds.scenes import SceneLayout, add_scene, lay_out, scene_catalogue
from outofsight.worlds.scenes.layout import NUM_LIGHTS
from outofsight.worlds.scenes.mesh import Mesh

SCENES = tuple(scene_catalogue())
_TOLERANCE_M = 0.03
HEADROOM_M, FLAT_M = 2.2, 0.03
"""Nothing hangs lower than the one over walkable ground; what rises less than the other may be walked over."""


@lru_cache(maxsize=17)
def day_layout(scene: str) -> SceneLayout:
    """One layout of a place that several tests look at."""
    return lay_out(scene, 3, scene_catalogue()[scene].lights[0])


def surface_points(mesh: Mesh, step_m: float) -> np.ndarray:
    """Points [n, 3] on every triangle, its corners among them, at most about ``step_m`` apart."""
    corners = mesh.corners
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1).max(axis=1)
    pieces = np.clip(np.ceil(longest / step_m), 1, 400).astype(int)
    points = []
    for count in np.unique(pieces):
        i, j = np.meshgrid(np.arange(count + 1), np.arange(count + 1))
        inside = i + j <= count
        a, b = i[inside] / count, j[inside] / count
        weights = np.stack([1 - a - b, a, b], axis=-1)
        points.append(np.einsum("pk,fkc->fpc", weights, corners[pieces == count]).reshape(-1, 3))
    return np.concatenate(points)


def trespassing_parts(layout: SceneLayout) -> dict[str, float]:
    """Parts that stand on ground called free, and how far from any obstacle or border they reach, in metres."""
    scale = layout.subject_scale
    x0, y0, x1, y1 = layout.free_area
    found = {}
    for part in layout.parts:
        low, high = part.mesh.corners.min(axis=(0, 1)), part.mesh.corners.max(axis=(0, 1))
        overhead = low[2] >= HEADROOM_M * scale or high[2] <= FLAT_M * scale
        if overhead or high[0] < x0 or low[0] > x1 or high[1] < y0 or low[1] > y1:
            continue
        points = surface_points(part.mesh, 0.2 * scale)
        standing = points[(points[:, 2] > FLAT_M * scale) & (points[:, 2] < HEADROOM_M * scale)]
        if len(standing):
            reach = float(layout.clearance_m(standing[:, :2]).max())
            if reach > _TOLERANCE_M * scale:
                found[part.name] = max(reach, found.get(part.name, 0.0))
    return found


@pytest.mark.parametrize("scene", SCENES)
def test_nothing_stands_on_free_ground(scene):
    assert trespassing_parts(day_layout(scene)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES)
def test_nothing_stands_on_free_ground_in_many_layouts(scene):
    for seed in range(100, 112):
        assert trespassing_parts(lay_out(scene, seed, scene_catalogue()[scene].lights[0])) == {}


def test_trespassing_is_noticed_when_an_obstacle_is_missing():
    layout = lay_out("park", 1, "noon")
    bare = SceneLayout(**{**vars(layout), "obstacles": ()})
    assert "trunk" in trespassing_parts(bare)


@pytest.mark.parametrize("scene", SCENES)
def test_the_stage_is_free_and_large_enough_for_walks_before_a_camera(scene):
    kind = scene_catalogue()[scene]
    layout = day_layout(scene)
    x0, y0, x1, y1 = layout.stage
    grid = np.stack(np.meshgrid(np.linspace(x0, x1, 60), np.linspace(y0, y1, 40)), axis=-1)
    assert layout.clearance_m(grid).min() >= 0
    assert (x1 - x0) >= 7 * kind.subject_scale
    assert (y1 - y0) >= 4 * kind.subject_scale
    fx0, fy0, fx1, fy1 = layout.free_area
    area = np.stack(np.meshgrid(np.linspace(fx0, fx1, 90), np.linspace(fy0, fy1, 70)), axis=-1)
    assert (layout.clearance_m(area) > 0.3 * kind.subject_scale).mean() > 0.4


@pytest.mark.parametrize("scene", SCENES)
def test_same_seed_same_bytes_other_seed_other_place(scene):
    light = scene_catalogue()[scene].lights[0]
    first, again, other = day_layout(scene), lay_out(scene, 3, light), lay_out(scene, 4, light)
    assert [p.name for p in first.parts] == [p.name for p in again.parts]
    for one, two in zip(first.parts, again.parts, strict=True):
        assert one.mesh.corners.tobytes() == two.mesh.corners.tobytes()
        assert one.material == two.material
    for name, image in first.textures.items():
        assert image.tobytes() == again.textures[name].tobytes()
    assert first.sky.tobytes() == again.sky.tobytes()
    assert first.obstacles == again.obstacles != other.obstacles
    ground = {name: image for name, image in first.textures.items() if name == "ground"}["ground"]
    assert np.abs(ground.astype(int) - other.textures["ground"]).mean() > 3  # levels of 255


@pytest.mark.parametrize("scene", SCENES)
def test_a_place_keeps_its_shape_in_every_light_and_looks_different(scene):
    kind = scene_catalogue()[scene]
    day, night = day_layout(scene), lay_out(scene, 3, kind.lights[-1])
    assert day.obstacles == night.obstacles
    corners = [np.concatenate([part.mesh.corners for part in layout.parts]) for layout in (day, night)]
    assert corners[0].shape == corners[1].shape
    assert np.abs(corners[0].sum(axis=(0, 1)) - corners[1].sum(axis=(0, 1))).max() < 1e-6 * len(corners[0])
    for layout in (day, night):
        assert len(layout.lights) == NUM_LIGHTS
        assert [light.casts_shadow for light in layout.lights] == [True] + [False] * (NUM_LIGHTS - 1)
    assert day.lights[0] != night.lights[0]
    assert np.abs(day.sky.astype(int) - night.sky).mean() > 10


@pytest.mark.parametrize("scene", SCENES)
def test_every_direction_meets_something_or_a_painted_sky(scene):
    """Level rays from the middle of the stage end at scenery, or at a horizon that is not one flat colour."""
    kind = scene_catalogue()[scene]
    layout = day_layout(scene)
    spec = mujoco.MjSpec()
    add_scene(spec, layout)
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    x0, y0, x1, y1 = layout.stage
    eye = np.array([(x0 + x1) / 2, (y0 + y1) / 2, np.mean(kind.camera_height_m)])
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    hit, below = [], []
    for angle in angles:
        for sink, found in ((0.02, hit), (-0.35, below)):
            ray = np.array([np.cos(angle), np.sin(angle), sink])
            geom = np.array([-1], dtype=np.int32)
            mujoco.mj_ray(model, data, eye, ray / np.linalg.norm(ray), None, 1, -1, geom)
            found.append(int(geom[0]))
    assert min(below) >= 0, "looking down must meet ground"
    if kind.indoors:
        walls = np.array(hit) >= 0
        assert walls.mean() > 0.6, "indoors most directions end at a wall; the rest are windows"
    horizon = layout.sky.reshape(6, layout.sky.shape[1], layout.sky.shape[1], 3)[[0, 1, 4, 5]]
    middle = horizon[:, horizon.shape[1] // 3 : horizon.shape[1] // 2]
    assert middle.astype(float).std(axis=(1, 2)).max() > 3


@pytest.mark.parametrize("scene", SCENES)
def test_becomes_a_model_without_collisions_and_with_a_fixed_extent(scene):
    layout = day_layout(scene)
    spec = mujoco.MjSpec()
    add_scene(spec, layout)
    model = spec.compile()
    names = [model.geom(k).name for k in range(model.ngeom)]
    assert all(name.startswith("scene/") for name in names)
    assert names == [f"scene/{k} {part.name}" for k, part in enumerate(layout.parts)]
    assert model.ngeom < 300
    assert not model.geom_contype.any()
    assert not model.geom_conaffinity.any()
    assert model.nlight == NUM_LIGHTS
    assert model.stat.extent == 10.0
    faces = sum(len(part.mesh) for part in layout.parts)
    assert model.nmeshface == faces  # nothing was lost or welded
    assert model.geom_bodyid.max() == 0


def test_the_catalogue_has_seventeen_places_two_of_them_held_out():
    catalogue = scene_catalogue()
    assert len(catalogue) == 17
    assert [name for name, kind in catalogue.items() if kind.held_out] == ["harbour", "museum"]
    assert catalogue["table-top"].subject_scale == 0.1
    assert all(len(kind.lights) == len(set(kind.lights)) >= 3 for kind in catalogue.values())


@pytest.mark.parametrize(
    ("scene", "seed", "light", "message"),
    [
        ("moon", 0, "noon", "expected one of street, plaza"),
        ("street", 0, "white tubes", "expected a light of noon"),
        ("street", -1, "noon", "layout seed of 0 or more, got -1"),
    ],
)
def test_impossible_requests_say_what_is_possible(scene, seed, light, message):
    with pytest.raises(WorldError, match=message):
        lay_out(scene, seed, light)


def test_every_painted_face_finds_its_own_colour_in_the_palette():
    layout = day_layout("playground")
    spec = mujoco.MjSpec()
    add_scene(spec, layout)
    model = spec.compile()
    palette = model.texture("scene/palette")
    start, (side,) = int(palette.adr[0]), palette.height
    image = model.tex_data[start : start + 3 * side * side].reshape(side, side, 3)
    for k, part in enumerate(layout.parts):
        if part.colours is not None:
            mesh = int(model.geom_dataid[k])
            first, count = int(model.mesh_texcoordadr[mesh]), int(model.mesh_texcoordnum[mesh])
            where = np.floor(model.mesh_texcoord[first : first + count] * side).astype(int)
            faces = model.mesh_facetexcoord[model.mesh_faceadr[mesh] :][: model.mesh_facenum[mesh], 0]
            assert (image[where[faces, 1], where[faces, 0]] == part.colours).all()
