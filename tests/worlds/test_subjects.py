"""The catalogue, looks, bodies in a spec, and the parts that come off."""

import re
from collections import Counter

import mujoco
import numpy as np
import pytest

from outofsight.errors import WorldError
from outofsight.worlds.subjects import add_subject, animate, subject_catalogue
from outofsight.worlds.subjects.catalogue import joint_order, recipes, subject_look, walking_box
from outofsight.worlds.subjects.figure import Bone, Figure, Hinge
from outofsight.worlds.subjects.outfits import PARTS
from outofsight.worlds.subjects.shapes import INKS, ball

KINDS = tuple(subject_catalogue())


def compiled(kind: str, *, seed: int = 0, scale: float = 1.0, without: frozenset[str] = frozenset()):
    spec = mujoco.MjSpec()
    body = add_subject(spec, kind, prefix="a/", look_seed=seed, scale=scale, without=without)
    return spec.compile(), body


def test_there_are_49_kinds_and_six_are_held_out_from_every_category() -> None:
    kinds = subject_catalogue()
    assert len(kinds) == 49
    assert Counter(kind.category for kind in kinds.values()) == {
        "person": 23,
        "animal": 15,
        "vehicle": 7,
        "robot": 4,
    }
    held_out = {name: kind.category for name, kind in kinds.items() if kind.held_out}
    assert len(held_out) == 6
    assert set(held_out.values()) == {"person", "animal", "vehicle", "robot"}
    assert all(name == kind.name for name, kind in kinds.items())
    assert len({kind.noun for kind in kinds.values()}) == 49


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_is_one_floating_root_with_hinges_that_touches_nothing(kind: str) -> None:
    model, body = compiled(kind)
    root = model.body(body.root)
    assert root.parentid[0] == 0
    assert model.joint(body.root).type[0] == mujoco.mjtJoint.mjJNT_FREE
    assert all(model.joint(name).type[0] == mujoco.mjtJoint.mjJNT_HINGE for name in body.joints)
    assert model.nq == 7 + len(body.joints)
    addresses = [int(model.joint(name).qposadr[0]) for name in body.joints]
    assert sorted(addresses) == list(range(7, model.nq))
    assert model.ngeom == len(body.geoms) <= 20
    assert not model.geom_contype.any()
    assert not model.geom_conaffinity.any()
    assert all(name.startswith("a/") for name in (*body.geoms, *body.joints, body.root))
    assert body.joints == tuple(f"a/{name}" for name in joint_order(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_the_record_states_the_size_the_body_has(kind: str) -> None:
    """Sizes were measured over three looks and rounded up to 5 cm; nothing sinks into the ground."""
    record, recipe = subject_catalogue()[kind], recipes()[kind]
    boxes = [walking_box(recipe, recipe.figure(subject_look(kind, seed))) for seed in range(3)]
    low = np.min([box[0] for box in boxes], axis=0)
    high = np.max([box[1] for box in boxes], axis=0)
    assert -0.02 < low[2] < 0.01
    measured = (
        high[2],
        high[0] - low[0],
        2 * np.abs([low[1], high[1]]).max(),
        np.abs([low[:2], high[:2]]).max(),
    )
    stated = (record.height_m, record.length_m, record.width_m, record.radius_m)
    assert all(-1e-9 <= ours - theirs <= 0.05 + 1e-9 for ours, theirs in zip(stated, measured, strict=True))
    assert 0 < record.walk_speed_m_s < record.run_speed_m_s


@pytest.mark.parametrize("kind", KINDS)
def test_looks_differ_within_a_kind_and_repeat_by_seed(kind: str) -> None:
    def look(seed: int) -> tuple:
        figure = recipes()[kind].figure(subject_look(kind, seed))
        shapes = tuple(bone.shape.inks.tobytes() for bone in figure.bones if bone.shape is not None)
        return tuple(sorted(figure.palette.items())), shapes

    assert look(5) == look(5)
    assert len({look(seed) for seed in range(5)}) >= 3


@pytest.mark.parametrize("kind", KINDS)
def test_all_looks_of_a_kind_share_their_joints(kind: str) -> None:
    recipe = recipes()[kind]
    parts = frozenset(recipe.kind.removable)
    for seed in range(3):
        assert recipe.figure(subject_look(kind, seed)).joints == joint_order(kind)
    assert recipe.figure(subject_look(kind, 1, parts)).joints == joint_order(kind)


def test_every_removable_part_changes_the_body_and_nothing_else() -> None:
    """Without a part the noun or the shape differs, the palette stays; the noun does not mention what is gone."""
    for name, recipe in recipes().items():
        whole = recipe.figure(subject_look(name, 4))
        for part in recipe.kind.removable:
            bare = recipe.figure(subject_look(name, 4, frozenset({part})))
            assert bare.palette == whole.palette
            shapes = [
                [bone.shape for bone in figure.bones if bone.shape is not None] for figure in (whole, bare)
            ]
            assert sum(len(shape.faces) for shape in shapes[0]) > sum(len(shape.faces) for shape in shapes[1])
            assert bare.noun != whole.noun or part not in whole.noun
            assert len(bare.noun) <= len(whole.noun) + 12


def test_a_noun_drops_what_is_left_off() -> None:
    model_noun = re.compile(r"a hiker in an? [\w ]+ jacket with an? [\w ]+ backpack and a walking stick")
    whole = compiled("hiker", seed=2)[1].noun
    assert model_noun.fullmatch(whole)
    no_pack = compiled("hiker", seed=2, without=frozenset({"backpack"}))[1].noun
    assert no_pack == re.sub(r" with an? [\w ]+ backpack and", " with", whole)
    shirt = compiled("businessman", seed=2, without=frozenset({"coat", "briefcase"}))[1].noun
    assert re.fullmatch(r"a businessman in a [\w ]+ shirt and a tie", shirt)


def test_removable_parts_are_parts_that_exist() -> None:
    for kind in subject_catalogue().values():
        assert set(kind.removable) <= set(PARTS)
        assert kind.category == "person" or not kind.removable


@pytest.mark.parametrize("kind", ["hiker", "elephant", "bus", "robot_dog"])
def test_scale_scales_the_body_and_its_motion(kind: str) -> None:
    full, half = compiled(kind)[1], compiled(kind, scale=0.5)[1]
    np.testing.assert_allclose(np.array(half.half_extents_m), 0.5 * np.array(full.half_extents_m), rtol=1e-9)
    time = np.arange(10) / 15
    angles, offset = animate(kind, distance_m=time, speed_m_s=np.ones(10), time_s=time)
    small_angles, small_offset = animate(
        kind, distance_m=0.5 * time, speed_m_s=np.full(10, 0.5), time_s=time, scale=0.5
    )
    np.testing.assert_allclose(small_angles, angles)
    np.testing.assert_allclose(small_offset, 0.5 * offset)


def test_wheels_turn_by_distance_over_radius() -> None:
    """A car's wheels are 0.33 m: after 2π · 0.33 m they have turned once; a bus' 0.48 m."""
    for kind, radius in (("car", 0.33), ("bus", 0.48)):
        metres = np.array([0.0, 2 * np.pi * radius])
        angles, offset = animate(kind, distance_m=metres, speed_m_s=np.ones(2), time_s=metres)
        wheels = [place for place, name in enumerate(joint_order(kind)) if name.startswith("wheel")]
        assert len(wheels) == 4
        np.testing.assert_allclose(np.diff(angles[:, wheels], axis=0), 2 * np.pi)
        assert not offset.any()


def test_front_wheels_steer_into_the_curve() -> None:
    """On a circle of 10 m the front wheels of a car with a base of 2.58 m stand at atan(0.258), the rear ones at 0."""
    metres = np.linspace(0.0, 5.0, 20)
    names = joint_order("car")
    angles, _ = animate(
        "car", distance_m=metres, speed_m_s=np.full(20, 2.0), time_s=metres / 2, heading_rad=metres / 10
    )
    steered = [place for place, name in enumerate(names) if name.startswith("steer")]
    assert [names[place] for place in steered] == ["steer_lf", "steer_rf"]
    np.testing.assert_allclose(angles[:, steered], np.arctan(0.258))
    rear, _ = animate("forklift", distance_m=metres, speed_m_s=metres, time_s=metres, heading_rad=metres / 10)
    place = joint_order("forklift").index("steer_lb")
    np.testing.assert_allclose(rear[:, place], -np.arctan(0.12))


def test_a_rolling_wheel_touches_the_ground_with_a_point_at_rest() -> None:
    """The lowest point of a wheel's rim has no speed in the world, by MuJoCo's kinematics."""
    model, body = compiled("car")
    data = mujoco.MjData(model)
    columns = [int(model.joint(name).qposadr[0]) for name in body.joints]
    step = 1e-4
    places = []
    rim = None
    for metres in (0.0, step):
        angles, _ = animate("car", distance_m=[metres], speed_m_s=[0.0], time_s=[0.0])
        data.qpos[:7] = (metres, 0, 0, 1, 0, 0, 0)
        data.qpos[columns] = angles[0]
        mujoco.mj_kinematics(model, data)
        wheel = data.body("a/wheel_lf")
        if rim is None:
            rim = wheel.xmat.reshape(3, 3).T @ np.array([0, 0, -0.33])
        places.append(wheel.xpos + wheel.xmat.reshape(3, 3) @ rim)
    assert np.linalg.norm(places[1] - places[0]) < 0.01 * step


def test_the_cyclists_feet_stay_on_the_pedals() -> None:
    model, body = compiled("bicycle")
    data = mujoco.MjData(model)
    columns = [int(model.joint(name).qposadr[0]) for name in body.joints]
    metres = np.linspace(0, 6, 40)
    angles, _ = animate("bicycle", distance_m=metres, speed_m_s=np.full(40, 2.0), time_s=metres / 2)
    leg = recipes()["hiker"].legs[0]
    gaps = []
    for frame in range(40):
        data.qpos[columns] = angles[frame]
        mujoco.mj_kinematics(model, data)
        crank = data.body("a/crank")
        for side, sign in (("l", 1.0), ("r", -1.0)):
            pedal = crank.xpos + crank.xmat.reshape(3, 3) @ np.array([0, 0, sign * 0.165])
            foot = data.body(f"a/foot_{side}")
            ball_of_foot = foot.xpos + foot.xmat.reshape(3, 3) @ np.array(
                [-leg.ankle_m[0], 0, -leg.ankle_m[1]]
            )
            gaps.append(np.linalg.norm((ball_of_foot - pedal)[[0, 2]]))
    assert max(gaps) < 0.05


def test_three_subjects_compile_well_under_a_second_and_share_meshes() -> None:
    spec = mujoco.MjSpec()
    bodies = [
        add_subject(spec, kind, prefix=f"s{index}/", look_seed=index)
        for index, kind in enumerate(("horse", "king", "king"))
    ]
    model = spec.compile()
    assert len({geom for body in bodies for geom in body.geoms}) == model.ngeom
    assert model.nmesh < model.ngeom  # limbs of the two kings are the same meshes
    assert model.nmeshface < 12_000


def test_posed_vertices_agree_with_mujoco() -> None:
    """The figure's own forward kinematics puts every bone where MuJoCo does."""
    recipe = recipes()["camel"]
    figure = recipe.figure(subject_look("camel", 0))
    model, body = compiled("camel")
    data = mujoco.MjData(model)
    angles, offset = animate("camel", distance_m=[1.0, 1.3], speed_m_s=[1.0, 1.0], time_s=[0.0, 0.3])
    data.qpos[:7] = (0, 0, offset[1], 1, 0, 0, 0)
    data.qpos[[int(model.joint(name).qposadr[0]) for name in body.joints]] = angles[1]
    mujoco.mj_kinematics(model, data)
    ours = figure.posed_vertices(dict(zip(figure.joints, angles[1], strict=True)), float(offset[1]))
    theirs = []
    for name in body.geoms:
        geom = model.geom(name)
        mesh = geom.dataid[0]
        start, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
        local = model.mesh_vert[start : start + count]
        placed = data.geom(name)
        theirs.append(local @ placed.xmat.reshape(3, 3).T + placed.xpos)
    stacked = np.concatenate(theirs)
    np.testing.assert_allclose(stacked.min(axis=0), ours.min(axis=0), atol=1e-5)
    np.testing.assert_allclose(stacked.max(axis=0), ours.max(axis=0), atol=1e-5)


def test_the_palette_puts_every_ink_under_its_faces() -> None:
    """A face's texture coordinate, looked up in the palette texture, gives the ink's colour."""
    model, _ = compiled("chicken", seed=1)
    figure = recipes()["chicken"].figure(subject_look("chicken", 1))
    pixels = model.tex_data.reshape(model.tex_height[0], model.tex_width[0], 3)
    mesh = model.geom("a/head").dataid[0]
    coordinates = model.mesh_texcoord[model.mesh_texcoordadr[mesh] :]
    head = next(bone.shape for bone in figure.bones if bone.name == "head")
    corners = model.mesh_facetexcoord[
        model.mesh_faceadr[mesh] : model.mesh_faceadr[mesh] + len(head.faces), 0
    ]
    columns = np.floor(coordinates[corners, 0] * model.tex_width[0]).astype(int)
    expected = np.array([figure.palette[INKS[ink]] for ink in head.inks])
    np.testing.assert_array_equal(pixels[1, columns], np.round(255 * expected))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        ({"kind_name": "unicorn"}, "unknown kind of subject 'unicorn'"),
        ({"without": frozenset({"tail"})}, "cannot leave off tail"),
        ({"scale": 0.0}, "positive"),
        ({"scale": float("nan")}, "positive"),
        ({"look_seed": -1}, "0 or more"),
    ],
)
def test_impossible_requests_are_named(ask: dict, message: str) -> None:
    request = {"kind_name": "hiker", "prefix": "a/", "look_seed": 0} | ask
    with pytest.raises(WorldError, match=message):
        add_subject(mujoco.MjSpec(), **request)


def test_a_prefix_serves_one_subject_only() -> None:
    spec = mujoco.MjSpec()
    add_subject(spec, "dog", prefix="a/", look_seed=0)
    with pytest.raises(WorldError, match="prefix 'a/' is in use"):
        add_subject(spec, "cat", prefix="a/", look_seed=0)


def test_a_figure_names_the_inks_it_has_no_colour_for() -> None:
    bone = Bone(
        name="body", origin_m=(0, 0, 0), hinges=(Hinge(name="turn"),), shape=ball((0, 0, 0), 1.0, "fur")
    )
    with pytest.raises(WorldError, match="no colour for fur"):
        Figure(bones=(bone,), palette={"skin": (1, 1, 1)}, noun="a thing")
