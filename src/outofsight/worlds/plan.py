"""Draw worlds from a seed until one shows what it must: somebody leaves, moves on unseen, and returns.

Everything here is arithmetic on a few arrays, milliseconds a draw; no model is built and nothing is rendered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import WorldError
from outofsight.types import Intrinsics, Visibility
from outofsight.worlds.events import (
    ReentryRule,
    blocked,
    hidden_spans,
    inside_frame,
    reentries,
    to_pixels,
    visibility_from_points,
)
from outofsight.worlds.footprint import circle_middles_m, gap_m, half_width_m, room_m
from outofsight.worlds.motion import WorldMotion, box_points, ground_poses, move_world
from outofsight.worlds.plan_config import PlanConfig
from outofsight.worlds.scenes import SceneLayout
from outofsight.worlds.spec import WorldSpec
from outofsight.worlds.staging import GAP_M, Cast, draw_cast, draw_kinds, draw_layout, draw_placement
from outofsight.worlds.subjects import SubjectKind, subject_catalogue

PLACEMENTS_PER_CAMERA = 6  # placements tried before another camera is drawn
PLACEMENTS_PER_LAYOUT = 48  # and before another scene and other subjects are; their number stays
CAMERA_GAP_M = 0.45  # least free space beside the camera, times the scene's scale
SUBJECT_TO_CAMERA_M = 1.1  # least distance of a body's side from the camera, likewise


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """An accepted world. ``num_drawn``: placements looked at, this one included; ``rejections``: why, how often."""

    spec: WorldSpec
    layout: SceneLayout
    num_drawn: int
    rejections: Mapping[str, int] = field(default_factory=dict)


def plan_world(seed: int, config: PlanConfig) -> Plan:
    """Draw worlds until one is accepted. The same seed and config give the same plan.

    Raises ``WorldError`` if ``config.max_attempts`` draws bring none, with the reasons counted.
    """
    generator = np.random.default_rng(np.random.SeedSequence([seed, 0x0075]))
    rejections: dict[str, int] = {}
    count = int(generator.integers(config.min_subjects, config.max_subjects + 1))
    for attempt in range(config.max_attempts):
        if attempt % PLACEMENTS_PER_LAYOUT == 0:
            layout = draw_layout(generator, config)
            kinds = draw_kinds(generator, config, layout, count)
        if attempt % PLACEMENTS_PER_CAMERA == 0:
            cast = draw_cast(generator, config, layout, kinds)
        outcome = draw_placement(generator, cast, config, seed)
        reason = outcome if isinstance(outcome, str) else judge_world(outcome, cast.layout, config.rule)
        if reason is None and isinstance(outcome, WorldSpec):
            spec = _with_shedding(generator, outcome, cast, config)
            return Plan(spec=spec, layout=layout, num_drawn=attempt + 1, rejections=rejections)
        rejections[str(reason)] = rejections.get(str(reason), 0) + 1
    counted = ", ".join(
        f"{count} × {reason}" for reason, count in sorted(rejections.items(), key=lambda i: -i[1])
    )
    raise WorldError(
        f"no world with a re-entry in {config.max_attempts} draws ({counted}); "
        f"ask for more frames, fewer subjects, a faster camera or a shorter absence"
    )


def judge_world(spec: WorldSpec, layout: SceneLayout, rule: ReentryRule) -> str | None:
    """Say why a world is not acceptable, or ``None`` if it is. Geometry alone; masks confirm it later."""
    motion = move_world(spec)
    kinds = [subject_catalogue()[subject.kind] for subject in spec.subjects]
    return _collision(motion, kinds, layout) or _no_reentry(spec, motion, kinds, layout, rule)


def _collision(motion: WorldMotion, kinds: Sequence[SubjectKind], layout: SceneLayout) -> str | None:
    scale, camera_m = layout.subject_scale, motion.world_from_camera[:, :2, 3]
    if room_m(camera_m, layout).min() < CAMERA_GAP_M * scale:
        return "camera meets an obstacle"
    if motion.world_from_camera[:, 2, 3].min() < 0.05 * scale:
        return "camera sinks into the ground"
    placed: list[tuple[NDArray[np.float64], float]] = []
    for path, kind in zip(motion.paths, kinds, strict=True):
        middles, radius = circle_middles_m(path, kind, scale), half_width_m(kind) * scale
        if room_m(middles, layout).min() < radius + GAP_M * scale:
            return "subject meets an obstacle"
        if gap_m(middles, [camera_m[:, None]]) < radius + SUBJECT_TO_CAMERA_M * scale:
            return "subject meets the camera"
        if any(gap_m(middles, [other]) < radius + reach + GAP_M * scale for other, reach in placed):
            return "subjects meet each other"
        placed.append((middles, radius))
    return None


def predicted_visibility(
    motion: WorldMotion, index: int, kind: SubjectKind, layout: SceneLayout, intrinsics: Intrinsics
) -> NDArray[np.int8]:
    """Foretell one subject's visibility [n] from its bounding body, the cameras and the obstacles."""
    scale = layout.subject_scale
    extents = (kind.length_m / 2 * scale, half_width_m(kind) * scale, kind.height_m / 2 * scale)
    points = box_points(ground_poses(motion.paths[index]), extents)
    pixels, _ = to_pixels(points, motion.world_from_camera, intrinsics)
    inside = inside_frame(pixels, intrinsics)
    eyes = motion.world_from_camera[:, :, 3]
    return visibility_from_points(inside, blocked(points, eyes, layout.obstacles) & inside)


def _no_reentry(
    spec: WorldSpec, motion: WorldMotion, kinds: Sequence[SubjectKind], layout: SceneLayout, rule: ReentryRule
) -> str | None:
    returned = False
    for index, kind in enumerate(kinds):
        visibility = predicted_visibility(motion, index, kind, layout, spec.intrinsics)
        if not (visibility != Visibility.OUT_OF_VIEW).any():
            return "a subject is never in view"
        returned = returned or bool(reentries(visibility, rule))
    return None if returned else "nobody leaves and returns in time"


def _with_shedding(
    generator: np.random.Generator, spec: WorldSpec, cast: Cast, config: PlanConfig
) -> WorldSpec:
    """In some clips let something come off a subject halfway through its first long absence."""
    if generator.uniform() >= config.shed_share:
        return spec
    motion = move_world(spec)
    for index, kind in enumerate(cast.kinds):
        if not kind.removable:
            continue
        visibility = predicted_visibility(motion, index, kind, cast.layout, spec.intrinsics)
        for span in hidden_spans(visibility):
            if span.num_out_of_view == span.num_frames >= config.min_hidden_frames:
                subjects = list(spec.subjects)
                subjects[index] = replace(
                    subjects[index],
                    sheds=str(generator.choice(kind.removable)),
                    sheds_at_frame=(span.exit_frame + span.entry_frame) // 2,
                )
                return replace(spec, subjects=tuple(subjects))
    return spec
