"""Feet: planted soles stay where they are, nobody walks under the ground, and toys whose steps one can count."""

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outofsight.errors import WorldError
from outofsight.worlds.subjects import add_subject, animate, subject_catalogue
from outofsight.worlds.subjects.catalogue import recipes
from outofsight.worlds.subjects.gait import Drive, Gait, Leg, bend_to, stride_length, take_steps

LEGGED = [name for name, recipe in recipes().items() if recipe.legs]
CONTACT_M = 0.004  # a sole lower than this bears on the ground
WALKER = Gait(walk_m_s=1.0, run_m_s=3.0, walk_stride_m=1.0, run_stride_m=2.0, walk_duty=0.5)
LEG = Leg(
    name="l",
    hip_m=(0, 0, 1.0),
    upper_m=0.5,
    lower_m=0.5,
    ankle_m=(0, 0.05),
    ball_x_m=0,
    walk_phase=0,
    run_phase=0,
)


def feet_in_world(
    kind: str,
    distance_m: np.ndarray,
    speed_m_s: np.ndarray,
    time_s: np.ndarray,
    course: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """World positions [n, points, 3] of ball and heel of every foot, by MuJoCo's own kinematics.

    ``course`` [n, (x, y, heading)]: where the root goes; along the x axis without it.
    """
    spec = mujoco.MjSpec()
    body = add_subject(spec, kind, prefix="s/", look_seed=3)
    model = spec.compile()
    data = mujoco.MjData(model)
    heading = None if course is None else course[:, 2]
    places = np.column_stack([distance_m, 0 * time_s, 0 * time_s]) if course is None else course
    angles, offset = animate(
        kind, distance_m=distance_m, speed_m_s=speed_m_s, time_s=time_s, heading_rad=heading
    )
    columns = [model.jnt_qposadr[model.joint(name).id] for name in body.joints]
    legs = recipes()[kind].legs
    found: dict[str, list[np.ndarray]] = {leg.name: [] for leg in legs}
    for frame in range(len(time_s)):
        x, y, yaw = places[frame]
        data.qpos[:7] = (x, y, offset[frame], np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))
        data.qpos[columns] = angles[frame]
        mujoco.mj_kinematics(model, data)
        for leg in legs:
            foot = data.body(f"s/foot_{leg.name}")
            ball = np.array([-leg.ankle_m[0], 0.0, -leg.ankle_m[1]])
            soles = np.stack([ball, ball + np.array([leg.heel_x_m, 0.0, 0.0])])
            found[leg.name].append(foot.xpos + soles @ foot.xmat.reshape(3, 3).T)
    return {name: np.stack(points) for name, points in found.items()}


def largest_drift(points: np.ndarray) -> tuple[float, int]:
    """Longest way in metres from touchdown during any one contact of one sole point [n, 3]; number of contacts."""
    low = np.concatenate([[False], points[:, 2] < CONTACT_M, [False]])
    starts, ends = np.flatnonzero(~low[:-1] & low[1:]), np.flatnonzero(low[:-1] & ~low[1:])
    ways = [
        np.linalg.norm(points[a:b, :2] - points[a, :2], axis=1).max()
        for a, b in zip(starts, ends, strict=True)
    ]
    return max(ways, default=0.0), len(ways)


@pytest.mark.parametrize("pace", ["walk", "run"])
@pytest.mark.parametrize("kind", LEGGED)
def test_planted_soles_do_not_slide(kind: str, pace: str) -> None:
    record = subject_catalogue()[kind]
    speed = record.walk_speed_m_s if pace == "walk" else record.run_speed_m_s
    time = np.arange(0.0, 4.0, 1 / 60)
    feet = feet_in_world(kind, speed * time, np.full_like(time, speed), time)
    for points in feet.values():
        for sole in range(2):
            drift, contacts = largest_drift(points[:, sole])
            assert contacts >= 2
            assert drift < 0.01
        assert points[:, :, 2].min() > -0.02


@pytest.mark.parametrize("kind", ["hiker", "dog", "goose", "robot_dog"])
def test_soles_do_not_slide_while_speed_changes(kind: str) -> None:
    record = subject_catalogue()[kind]
    time = np.arange(0.0, 8.0, 1 / 60)
    speed = record.walk_speed_m_s * (0.75 + 0.5 * np.sin(0.9 * time))
    distance = np.concatenate([[0.0], np.cumsum(0.5 * (speed[1:] + speed[:-1]) / 60)])
    for points in feet_in_world(kind, distance, speed, time).values():
        drift, contacts = largest_drift(points[:, 0])
        assert contacts >= 4
        assert drift < 0.02


@pytest.mark.parametrize("kind", LEGGED)
@pytest.mark.parametrize("left", [1.0, -1.0])
def test_soles_do_not_slide_in_a_curve(kind: str, left: float) -> None:
    """Round a circle of three body lengths' radius, heel and ball stay in place: the leg turns and splays."""
    record = subject_catalogue()[kind]
    speed, radius = record.walk_speed_m_s, 3 * record.length_m
    time = np.arange(0.0, 4.0, 1 / 60)
    turn = left * speed * time / radius
    course = np.column_stack([radius * np.sin(turn) * left, radius * left * (1 - np.cos(turn)), turn])
    feet = feet_in_world(kind, speed * time, np.full_like(time, speed), time, course)
    straight = feet_in_world(kind, speed * time, np.full_like(time, speed), time)
    for name, points in feet.items():
        for sole in range(2):
            drift, contacts = largest_drift(points[:, sole])
            assert contacts == largest_drift(straight[name][:, sole])[1]
            assert drift < 0.01


@pytest.mark.parametrize("kind", LEGGED)
def test_a_subject_that_stands_keeps_all_feet_on_the_ground(kind: str) -> None:
    time = np.arange(0.0, 3.0, 0.1)
    still = np.zeros_like(time)
    for points in feet_in_world(kind, still + 2.0, still, time).values():
        assert np.abs(points[:, 0, 2]).max() < 1e-6
        assert np.abs(points - points[0]).max() < 1e-9


def test_a_walker_with_a_stride_of_a_metre_plants_its_foot_at_every_metre() -> None:
    """Duty one half, phase zero: cycle k lasts from metre k to k + 1; P_k is where the hip is a quarter later."""
    metres = np.arange(0.0, 4.0, 0.125)
    steps = take_steps([LEG], WALKER, Drive(distance_m=metres, speed_m_s=np.ones(32), time_s=metres))
    np.testing.assert_allclose(steps.cycle[:, 0], metres)
    np.testing.assert_array_equal(steps.planted[:, 0], metres % 1.0 < 0.5)
    flat = steps.planted[:, 0] & (steps.pitch_rad[:, 0] == 0)
    np.testing.assert_allclose(
        (metres + steps.ankle_x_m[:, 0])[flat], (np.floor(metres) + 0.25)[flat], atol=1e-12
    )


def test_stride_grows_with_speed() -> None:
    speeds = np.linspace(0.0, 6.0, 100)
    strides = stride_length(WALKER, speeds)
    assert (np.diff(strides) > 0).all()
    np.testing.assert_allclose(stride_length(WALKER, np.array([1.0, 3.0])), [1.0, 2.0])


@given(st.floats(-0.6, 0.6), st.floats(-0.95, -0.3), st.booleans())
def test_inverse_kinematics_brings_the_ankle_to_its_target(x: float, z: float, forward: bool) -> None:
    leg = Leg(
        name="l",
        hip_m=(0, 0, 1),
        upper_m=0.6,
        lower_m=0.5,
        ankle_m=(0, 0),
        ball_x_m=0,
        walk_phase=0,
        run_phase=0,
        knee_forward=forward,
    )
    hip, knee = bend_to(leg, np.array(x), np.array(z))
    found = (
        0.6 * np.sin(hip) + 0.5 * np.sin(hip + knee),
        -0.6 * np.cos(hip) - 0.5 * np.cos(hip + knee),
    )
    if np.hypot(x, z) <= 1.1:
        np.testing.assert_allclose(found, (x, z), atol=1e-6)
    else:
        np.testing.assert_allclose(np.cross(np.array([*found, 0]), np.array([x, z, 0]))[2], 0, atol=1e-4)
    assert (knee <= 0) == forward or np.hypot(x, z) >= 1.1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["hiker", "horse", "kangaroo"]))
def test_any_frame_may_start_the_clip_at_a_steady_speed(seed: int, kind: str) -> None:
    """At constant speed the pose depends on where the subject is, not on which frames were asked for."""
    speed = subject_catalogue()[kind].walk_speed_m_s
    start = np.random.default_rng(seed).uniform(0, 5)
    time = start + np.arange(40) / 15
    whole = animate(kind, distance_m=speed * time, speed_m_s=np.full(40, speed), time_s=time)
    part = animate(kind, distance_m=speed * time[17:], speed_m_s=np.full(23, speed), time_s=time[17:])
    for ours, theirs in zip(part, whole, strict=True):
        np.testing.assert_allclose(ours, theirs[17:], atol=1e-9)


def test_angles_are_smooth_at_video_rate() -> None:
    """No joint of a walking person jumps by more than 0.7 rad between frames of 15 fps."""
    time = np.arange(77) / 15
    angles, offset = animate("hiker", distance_m=1.35 * time, speed_m_s=np.full(77, 1.35), time_s=time)
    assert np.abs(np.diff(angles, axis=0)).max() < 0.7
    assert np.abs(np.diff(offset)).max() < 0.05


@pytest.mark.parametrize(
    ("distance", "speed", "time", "message"),
    [
        ([0, 1], [1, 1, 1], [0, 1], "one length"),
        ([1, 0], [1, 1], [0, 1], "must not decrease"),
        ([0, 1], [1, -1], [0, 1], "must not be negative"),
        ([0, np.nan], [1, 1], [0, 1], "finite"),
        ([], [], [], "length ≥ 1"),
    ],
)
def test_impossible_motions_are_named(distance: list, speed: list, time: list, message: str) -> None:
    with pytest.raises(WorldError, match=message):
        animate("dog", distance_m=distance, speed_m_s=speed, time_s=time)
