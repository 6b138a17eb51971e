"""A world as a ``Clip``: pictures, masks and everything that is true of it, seen or unseen."""

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import WorldError
from outofsight.types import CameraPath, Clip, SubjectTrack
from outofsight.worlds.captions import captions
from outofsight.worlds.events import (
    HiddenSpan,
    ReentryRule,
    hidden_spans,
    inside_frame,
    picture_boxes,
    reentries,
    to_pixels,
    visibility_from_masks,
)
from outofsight.worlds.model import SubjectModel, World, WorldPoses, build_world, pose_world, surface_points
from outofsight.worlds.motion import ground_poses, ground_velocities
from outofsight.worlds.plan import PlanConfig, plan_world
from outofsight.worlds.render import Rendering, RenderSettings, render_world
from outofsight.worlds.scenes import Drawer, own_drawers, scene_catalogue
from outofsight.worlds.spec import WorldSpec, spec_to_dict
from outofsight.worlds.subjects import subject_catalogue

CONFIRM_ATTEMPTS = 12
CASTINGS = ("known", "held_out_scene", "held_out_subjects", "anyone")


class ClipRequest(Protocol):
    """What a builder of data sets says about the clip it wants: its name, its seed, and who may be cast."""

    @property
    def name(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def casting(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class ClipMaker:
    """Make clips by request: plan, render, confirm. A function of the request, whoever calls it, in any order."""

    plan: PlanConfig
    render: RenderSettings
    drawers: tuple[Drawer, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # of scenes of one's own: a worker that is sent them imports their module, which makes them known there
        object.__setattr__(self, "drawers", own_drawers(self.plan.scenes))

    def __call__(self, request: ClipRequest) -> Clip:
        """Make one clip. Raises ``WorldError`` if no world is accepted.

        Masks have the last word: a world whose re-entry they do not confirm is dropped, and the next one is drawn.
        """
        config, num_drawn = cast_plan(self.plan, request.casting), 0
        for attempt in range(CONFIRM_ATTEMPTS):
            plan = plan_world(attempt_seed(request.seed, attempt), config)
            num_drawn += plan.num_drawn
            clip = render_clip(request.name, build_world(plan.spec, plan.layout), self.render, config.rule)
            if any(reentries(subject.visibility, config.rule) for subject in clip.subjects):
                acceptance = {"num_drawn": num_drawn, "num_rendered": attempt + 1}
                return replace(clip, extra={**clip.extra, "acceptance": acceptance})
        raise WorldError(
            f"{request.name} (seed {request.seed}): the masks of {CONFIRM_ATTEMPTS} rendered worlds confirmed no "
            f"re-entry; ask for larger pictures, fewer subjects or more frames"
        )


def cast_plan(config: PlanConfig, casting: str) -> PlanConfig:
    """Narrow a plan to who may be cast: ``known``, ``held_out_scene``, ``held_out_subjects``, or ``anyone``.

    Raises ``WorldError`` if nothing that was asked for is left.
    """
    if casting not in CASTINGS:
        raise WorldError(f"unknown casting {casting!r}; known are {', '.join(CASTINGS)}")
    if casting == "anyone":
        return config
    scenes, kinds = scene_catalogue(), subject_catalogue()
    held_scene = casting == "held_out_scene"
    places = [name for name in config.scenes or scenes if scenes[name].held_out == held_scene]
    cast = [
        name
        for name in config.kinds or kinds
        if held_scene or kinds[name].held_out == (casting == "held_out_subjects")
    ]
    for what, left in (("scene", places), ("subject", cast)):
        if not left:
            raise WorldError(
                f"no {what} that was asked for may appear in a {casting.replace('_', ' ')} clip; "
                f"name more {what}s, or build with splits that do not need it"
            )
    return replace(config, scenes=tuple(places), kinds=tuple(cast))


def attempt_seed(seed: int, attempt: int) -> int:
    """Give the planner's seed of the n-th attempt at a clip."""
    return seed if attempt == 0 else int(np.random.SeedSequence([seed, attempt]).generate_state(1)[0])


def clip_from_spec(name: str, spec: WorldSpec, settings: RenderSettings | None = None) -> Clip:
    """Render a spec as it is, whatever it shows."""
    rule = ReentryRule(num_context_frames=spec.num_context_frames)
    return render_clip(name, build_world(spec), settings or RenderSettings(), rule)


def render_clip(name: str, world: World, settings: RenderSettings, rule: ReentryRule) -> Clip:
    """Render a world and write down everything that is known about it."""
    poses = pose_world(world)
    rendering = render_world(world, poses, settings)
    spec, phrasings = world.spec, captions(world)
    tracks = tuple(_track(world, poses, rendering, subject) for subject in world.subjects)
    return Clip(
        name=name,
        video=rendering.rgb,
        num_context_frames=spec.num_context_frames,
        fps=spec.fps,
        cameras=CameraPath(world_from_camera=world.motion.world_from_camera, intrinsics=spec.intrinsics),
        caption=phrasings[0],
        masks=rendering.ids,
        masks_are_instances=True,
        depth_m=rendering.depth_m,
        subjects=tracks,
        extra=_annotation(world, rendering, tracks, rule, phrasings),
    )


def _track(world: World, poses: WorldPoses, rendering: Rendering, subject: SubjectModel) -> SubjectTrack:
    points = surface_points(world, poses, subject)
    pixels, _ = to_pixels(points, world.motion.world_from_camera, world.spec.intrinsics)
    inside = inside_frame(pixels, world.spec.intrinsics)
    path = world.motion.paths[subject.subject_id - 1]
    return SubjectTrack(
        subject_id=subject.subject_id,
        name=subject.kind.name,
        category=subject.kind.category,
        visibility=visibility_from_masks(rendering.ids, subject.subject_id, inside),
        world_from_subject=ground_poses(path),
        velocity_m_s=ground_velocities(path),
        box_px=picture_boxes(pixels, world.spec.intrinsics),
    )


def _annotation(
    world: World,
    rendering: Rendering,
    tracks: tuple[SubjectTrack, ...],
    rule: ReentryRule,
    phrasings: tuple[str, ...],
) -> dict[str, Any]:
    spec, scenes = world.spec, scene_catalogue()
    held_out_subjects = [subject.kind.name for subject in world.subjects if subject.kind.held_out]
    return {
        "spec": spec_to_dict(spec),
        "captions": list(phrasings),
        "scene": {"name": spec.scene, "noun": scenes[spec.scene].noun, "light": spec.light},
        "held_out": {"scene": scenes[spec.scene].held_out, "subjects": held_out_subjects},
        "reentry_rule": {
            "min_hidden_frames": rule.min_hidden_frames,
            "min_seen_frames": rule.min_seen_frames,
        },
        "subjects": [
            _subject_record(world, subject, track, rendering.ids, rule)
            for subject, track in zip(world.subjects, tracks, strict=True)
        ],
    }


def _subject_record(
    world: World, subject: SubjectModel, track: SubjectTrack, ids: NDArray[np.uint8], rule: ReentryRule
) -> dict[str, Any]:
    described = world.spec.subjects[subject.subject_id - 1]
    return {
        "id": subject.subject_id,
        "noun": subject.before.noun,
        "path": described.path.name,
        "appearance_change": None
        if subject.after is None
        else {"frame": subject.sheds_at_frame, "sheds": described.sheds, "noun": subject.after.noun},
        "hidden": [_span_record(span) for span in hidden_spans(track.visibility)],
        "reentries": [_span_record(span) for span in reentries(track.visibility, rule)],
        "mask_px": (ids == subject.subject_id).sum(axis=(1, 2)).tolist(),
    }


def _span_record(span: HiddenSpan) -> dict[str, int]:
    return {
        "exit_frame": span.exit_frame,
        "entry_frame": span.entry_frame,
        "num_frames": span.num_frames,
        "num_out_of_view": span.num_out_of_view,
    }
