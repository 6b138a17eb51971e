"""Draw who plays where, under which camera, and along which way: guesses that the planner then judges."""

from dataclasses import dataclass, replace
from itertools import pairwise
from math import cos, pi, radians, sin, tan

import numpy as np

from outofsight.errors import WorldError
from outofsight.worlds.cameras import (
    HOLD,
    PEAK_SPEED_FACTOR,
    ROUND,
    CameraKind,
    CameraStart,
    Timeline,
    camera_kind,
    camera_starts,
    camera_trajectories,
)
from outofsight.worlds.footprint import circle_middles_m, gap_m, half_width_m, room_m
from outofsight.worlds.paths import GOING_SHARE, path_kind, subject_paths, trace_path
from outofsight.worlds.plan_config import PlanConfig
from outofsight.worlds.scenes import BUILT_IN_SCENES, SceneLayout, lay_out, scene_catalogue
from outofsight.worlds.spec import CameraSpec, PathSpec, SubjectSpec, WorldSpec
from outofsight.worlds.subjects import SubjectKind, subject_catalogue

GAP_M = 0.25  # least free space beside a walking subject, times the scene's scale
MAX_TRAVEL_M_PER_FRAME = 0.22  # of the camera, times the scene's scale
WALK_TRIES = 24  # ways tried for each subject before the placement is given up
AREA_SHARE = 0.72  # of the free area's narrow side that a subject may take up
MOST_SIZE_RATIO = 2.0  # most that the sizes of subjects shown together differ from the first's
PASSING_M = 3.0  # a dolly of more than this passes the stage
EVERY = 7  # a way is first looked at in every so manieth frame


@dataclass(frozen=True, kw_only=True, eq=False)
class Cast:
    """Who plays where under which camera: what is drawn before anything is placed."""

    layout: SceneLayout
    kinds: tuple[SubjectKind, ...]
    camera: CameraKind
    start: CameraStart

    @property
    def crowding(self) -> float:
        """How much wider than for three the stage must be for so many."""
        return max(1.0, float(np.sqrt(len(self.kinds) / 3)))


def draw_layout(generator: np.random.Generator, config: PlanConfig) -> SceneLayout:
    """Draw a scene, a layout of it and a light. Raises ``WorldError`` if the scene has none of the lights asked for."""
    scene = scene_catalogue()[str(generator.choice(config.scenes or BUILT_IN_SCENES))]
    lights = [light for light in scene.lights if not config.lights or light in config.lights]
    if not lights:
        raise WorldError(
            f"the scene {scene.name!r} has none of the lights {', '.join(config.lights)}; "
            f"its own are {', '.join(scene.lights)}"
        )
    return lay_out(scene.name, int(generator.integers(2**31)), str(generator.choice(lights)))


def draw_kinds(
    generator: np.random.Generator, config: PlanConfig, layout: SceneLayout, count: int
) -> tuple[SubjectKind, ...]:
    """Draw subjects that fit the scene, alike enough in size to be shown together.

    Raises ``WorldError`` if none that was asked for fits.
    """
    catalogue = subject_catalogue()
    x0, y0, x1, y1 = layout.free_area
    room = min(x1 - x0, y1 - y0) / layout.subject_scale
    asked = config.kinds or tuple(catalogue)
    fitting = [name for name in asked if 2 * (catalogue[name].radius_m + GAP_M) < AREA_SHARE * room]
    if not fitting:
        raise WorldError(
            f"none of {', '.join(asked)} fits into the scene {layout.scene!r}; ask for smaller subjects"
        )
    first = catalogue[str(generator.choice(fitting))]
    alike = [
        name
        for name in fitting
        if 1 / MOST_SIZE_RATIO < size_of(catalogue[name]) / size_of(first) < MOST_SIZE_RATIO
    ]
    return first, *(catalogue[str(generator.choice(alike))] for _ in range(count - 1))


def draw_cast(
    generator: np.random.Generator, config: PlanConfig, layout: SceneLayout, kinds: tuple[SubjectKind, ...]
) -> Cast:
    """Draw a camera that fits the number of frames, and its start. Raises ``WorldError`` if none fits."""
    starts = list(camera_starts().values())
    return Cast(
        layout=layout, kinds=kinds, camera=_draw_trajectory(generator, config),
        start=starts[int(generator.integers(len(starts)))],
    )  # fmt: skip


def size_of(kind: SubjectKind) -> float:
    """Give how much of a picture a kind takes up: its height, or a good part of its length, in metres."""
    return max(kind.height_m, 0.55 * kind.length_m)


def _draw_trajectory(generator: np.random.Generator, config: PlanConfig) -> CameraKind:
    feasible = [
        camera_kind(name)
        for name in config.trajectories or camera_trajectories()
        if shortest_frames(camera_kind(name), config) <= config.num_frames
    ]
    if not feasible:
        raise WorldError(
            f"{config.num_frames} frames are too few for the camera to turn away and back at "
            f"{config.max_turn_deg_per_frame:g}° a frame; ask for more frames or a faster camera"
        )
    return feasible[int(generator.integers(len(feasible)))]


def move_frames(kind: CameraKind, change: float, config: PlanConfig) -> int:
    """Give the frames that a move by ``change`` of its amount takes at the fastest allowed speed."""
    turn = kind.turn_deg * abs(change) / config.max_turn_deg_per_frame
    travel = kind.travel_m * abs(change) / MAX_TRAVEL_M_PER_FRAME
    return int(np.ceil(PEAK_SPEED_FACTOR * max(turn, travel)))


def shortest_frames(kind: CameraKind, config: PlanConfig) -> int:
    """Give the frames that the whole trajectory takes at the fastest allowed speed."""
    if kind.amounts == ROUND:
        return int(np.ceil(kind.turn_deg / config.max_turn_deg_per_frame * PEAK_SPEED_FACTOR))
    return sum(move_frames(kind, b - a, config) for a, b in pairwise(kind.amounts))


def _draw_keys(generator: np.random.Generator, kind: CameraKind, config: PlanConfig) -> Timeline:
    """Lay the trajectory's moves on the clip: what time is left over is shared out as rests between them."""
    amounts = kind.amounts
    moves = [move_frames(kind, b - a, config) for a, b in pairwise(amounts)]
    last = config.num_frames - 1
    if kind.amounts == ROUND or not any(moves):
        return ((0.0, amounts[0]), (1.0, amounts[-1]))
    lead = int(kind.follows and 0.24 * last)
    spare = max(last - lead - sum(moves), 0)
    slower = 1 + generator.uniform(0, 0.35) * spare / sum(moves)
    moves = [int(move * slower) for move in moves]
    spare = max(last - lead - sum(moves), 0)
    weights = generator.dirichlet(np.ones(len(moves) + 1)) * np.array([0.5, *[1.0] * len(moves)])
    weights[1:-1] += kind.holds * len(moves)
    rests = np.floor(spare * weights / weights.sum()).astype(int)
    frame, keys = lead + int(rests[0]), [(0, amounts[0])]
    if frame > 0:
        keys.append((frame, amounts[0]))
    for index, move in enumerate(moves):
        frame += move
        keys.append((frame, amounts[index + 1]))
        if index < len(moves) - 1 and rests[index + 1] > 0:
            frame += int(rests[index + 1])
            keys.append((frame, amounts[index + 1]))
    if keys[-1][0] < last:
        keys.append((last, amounts[-1]))
    return tuple((1.0 if place >= last else place / last, float(amount)) for place, amount in keys)


def draw_placement(
    generator: np.random.Generator, cast: Cast, config: PlanConfig, seed: int
) -> WorldSpec | str:
    camera, stage_m, distance_m = _draw_camera(generator, cast, config)
    subjects: list[SubjectSpec] = []
    taken: list[tuple[np.ndarray, float]] = []
    for kind in cast.kinds:
        placed = _place_subject(generator, kind, cast, config, (stage_m, distance_m, camera), taken)
        if placed is None:
            return "no free ground for a subject"
        subjects.append(placed)
    return WorldSpec(
        seed=seed, scene=cast.layout.scene, layout_seed=cast.layout.layout_seed, light=cast.layout.light,
        subjects=tuple(subjects), camera=camera, num_context_frames=config.num_context_frames,
        num_target_frames=config.num_target_frames, fps=config.fps, height_px=config.height_px,
        width_px=config.width_px,
    )  # fmt: skip


def _draw_camera(
    generator: np.random.Generator, cast: Cast, config: PlanConfig
) -> tuple[CameraSpec, np.ndarray, float]:
    """Draw a camera that looks at the stage, the stage's middle, and the distance between them."""
    layout, start = cast.layout, cast.start
    scale, fov = layout.subject_scale, radians(generator.uniform(68, 88))
    size_m = float(np.mean([size_of(kind) for kind in cast.kinds])) * scale
    share = generator.uniform(0.38, 0.58)  # of the picture's height that such a subject fills
    aspect = config.width_px / config.height_px
    distance = size_m / (share * 2 * tan(fov / 2) / aspect) * start.distance_factor
    distance = float(np.clip(distance, 2.4 * scale, 11.0 * scale)) * cast.crowding
    low, high = np.array(layout.stage[:2]), np.array(layout.stage[2:])
    stage = generator.uniform(low + 0.25 * (high - low), high - 0.25 * (high - low))
    yaw = generator.uniform(-pi, pi)
    place = stage - distance * np.array([cos(yaw), sin(yaw)])
    lowest, highest = scene_catalogue()[layout.scene].camera_height_m
    height = lowest + (highest - lowest) * float(
        np.clip(start.height_share + generator.uniform(-0.1, 0.1), 0, 1)
    )
    aim = 0.45 * size_m
    camera = CameraSpec(
        trajectory=cast.camera.name, start=start.name, position_m=(float(place[0]), float(place[1]), float(height)),
        yaw_rad=float(yaw - radians(start.bearing_deg)), pitch_rad=float(np.arctan2(aim - height, distance) * 0.7),
        fov_x_rad=float(fov), keys=_draw_keys(generator, cast.camera, config), length_scale=float(scale),
        amplitude=float(generator.uniform(0.96, 1.0)), pivot_m=distance, follows=0 if cast.camera.follows else None,
        seed=int(generator.integers(2**31)),
    )  # fmt: skip
    return camera, stage, distance


def _place_subject(
    generator: np.random.Generator,
    kind: SubjectKind,
    cast: Cast,
    config: PlanConfig,
    stage: tuple[np.ndarray, float, CameraSpec],
    taken: list[tuple[np.ndarray, float]],
) -> SubjectSpec | None:
    """Find a walk about the stage that keeps clear of obstacles and of those who are placed already."""
    layout, scale = cast.layout, cast.layout.subject_scale
    time_s = np.arange(config.num_frames) / config.fps
    radius, gap = half_width_m(kind) * scale, GAP_M * scale
    for attempt in range(WALK_TRIES):
        if (
            cast.camera.amounts == HOLD
            and not taken
            and "there_and_back" in (config.paths or subject_paths())
        ):
            path = _draw_exit(generator, kind, config, stage, scale)
        else:
            path = _draw_path(generator, kind, cast, config, stage, shrink=1 - 0.5 * attempt / WALK_TRIES)
        middles = circle_middles_m(trace_path(path, time_s), kind, scale)
        if any(room_m(some, layout).min() < radius + gap for some in (middles[::EVERY], middles)):
            continue
        if all(gap_m(middles, [other]) >= radius + reach + gap for other, reach in taken):
            taken.append((middles, radius))
            return SubjectSpec(kind=kind.name, look_seed=int(generator.integers(2**31)), path=path)
    return None


def least_bend_m(kind: SubjectKind) -> float:
    """Give the tightest turn that looks right: long vehicles need half their length, legs much less."""
    return (0.5 if kind.category == "vehicle" else 0.15) * kind.length_m


def _draw_path(
    generator: np.random.Generator,
    kind: SubjectKind,
    cast: Cast,
    config: PlanConfig,
    stage: tuple[np.ndarray, float, CameraSpec],
    shrink: float,
) -> PathSpec:
    """Draw a way whose middle lies about the stage's."""
    middle_m, distance_m, camera = stage
    scale = cast.layout.subject_scale
    name = str(generator.choice(config.paths or list(subject_paths())))
    size = float(generator.uniform(0.45, 0.95) * distance_m) * shrink / cast.crowding**1.5
    size = max(size, 0.8 * kind.length_m * scale, least_bend_m(kind) * scale / path_kind(name).bend)
    path = PathSpec(
        name=name, start_m=(0.0, 0.0), heading_rad=float(generator.uniform(-pi, pi)), size_m=size,
        speed_m_s=_draw_pace(generator, kind, name, size, config.num_frames / config.fps, scale),
        mirrored=bool(generator.integers(2)), seed=int(generator.integers(2**31)),
    )  # fmt: skip
    walked = trace_path(path, np.arange(config.num_frames) / config.fps).position_m
    spread = distance_m * cast.crowding * generator.uniform([-0.15, -0.3], [0.45, 0.3])
    if (
        cast.camera.forward_m > PASSING_M
    ):  # who is passed stands aside: to the right of a camera that turns left
        spread[1] = -distance_m * generator.uniform(0.3, 0.5)
    begin = middle_m + _turned(spread, camera.yaw_rad) - (walked.min(axis=0) + walked.max(axis=0)) / 2
    return replace(path, start_m=(float(begin[0]), float(begin[1])))


def _draw_pace(
    generator: np.random.Generator,
    kind: SubjectKind,
    name: str,
    size_m: float,
    duration_s: float,
    scale: float,
) -> float:
    """Draw a speed: the kind's own on closed paths; on open ones slow enough for the way to last most of the clip."""
    fastest = (kind.run_speed_m_s if generator.uniform() < 0.2 else kind.walk_speed_m_s) * scale
    if path_kind(name).closed:
        return float(fastest)
    going = GOING_SHARE if path_kind(name).pauses else 1.0
    return float(min(fastest, size_m / generator.uniform(0.55, 1.0) / duration_s / going))


def _draw_exit(
    generator: np.random.Generator,
    kind: SubjectKind,
    config: PlanConfig,
    stage: tuple[np.ndarray, float, CameraSpec],
    scale: float,
) -> PathSpec:
    """Draw a way out of a still camera's picture and back: from the stage to one side, once there and back."""
    middle_m, distance_m, camera = stage
    side = 1.0 if generator.integers(2) else -1.0
    heading = camera.yaw_rad + side * (pi / 2 + generator.uniform(-0.35, 0.35))
    size = float(generator.uniform(1.25, 1.7) * distance_m)
    lap_s = config.num_frames / config.fps * generator.uniform(0.8, 1.05)
    begin = middle_m + _turned(distance_m * generator.uniform([-0.1, -0.15], [0.2, 0.15]), camera.yaw_rad)
    return PathSpec(
        name="there_and_back", start_m=(float(begin[0]), float(begin[1])), heading_rad=float(heading), size_m=size,
        speed_m_s=float(min(2.2 * size / lap_s, kind.run_speed_m_s * scale)), mirrored=bool(generator.integers(2)),
    )  # fmt: skip


def _turned(ahead_aside_m: np.ndarray, yaw_rad: float) -> np.ndarray:
    """Turn (ahead, to the left) of a camera into world x, y."""
    c, s = cos(yaw_rad), sin(yaw_rad)
    return np.array(
        [c * ahead_aside_m[0] - s * ahead_aside_m[1], s * ahead_aside_m[0] + c * ahead_aside_m[1]]
    )
