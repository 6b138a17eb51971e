"""Planning: the same seed gives the same world, and every accepted world keeps its promises."""

import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from outofsight.errors import WorldError
from outofsight.worlds.cameras import camera_kind, camera_trajectories
from outofsight.worlds.clip import cast_plan
from outofsight.worlds.events import reentries
from outofsight.worlds.footprint import circle_middles_m, circle_offsets_m, gap_m, half_width_m, room_m
from outofsight.worlds.motion import move_world
from outofsight.worlds.plan import judge_world, plan_world, predicted_visibility
from outofsight.worlds.plan_config import PlanConfig
from outofsight.worlds.scenes import scene_catalogue
from outofsight.worlds.staging import shortest_frames
from outofsight.worlds.subjects import subject_catalogue

SEEDS = range(6)


@pytest.fixture(scope="module")
def plans():
    return [plan_world(seed, PlanConfig(scenes=("desert", "table-top"))) for seed in SEEDS]


def test_the_catalogues_are_complete():
    assert (len(scene_catalogue()), len(subject_catalogue()), len(camera_trajectories())) == (17, 49, 28)
    assert sum(kind.held_out for kind in scene_catalogue().values()) == 2
    assert sum(kind.held_out for kind in subject_catalogue().values()) == 6


def test_the_same_seed_gives_the_same_world(plans):
    again = plan_world(2, PlanConfig(scenes=("desert", "table-top")))
    assert again.spec == plans[2].spec
    assert again.num_drawn == plans[2].num_drawn
    assert len({plan.spec for plan in plans}) == len(plans)


def test_accepted_worlds_keep_clear(plans):
    for plan in plans:
        motion, scale = move_world(plan.spec), plan.layout.subject_scale
        kinds = [subject_catalogue()[subject.kind] for subject in plan.spec.subjects]
        bodies = [
            (circle_middles_m(path, kind, scale), half_width_m(kind) * scale)
            for path, kind in zip(motion.paths, kinds, strict=True)
        ]
        for middles, radius in bodies:
            assert room_m(middles, plan.layout).min() > radius
        for (one, first), (two, second) in combinations(bodies, 2):
            assert gap_m(one, [two]) > first + second
        assert room_m(motion.world_from_camera[:, :2, 3], plan.layout).min() > 0


@pytest.mark.parametrize("name", subject_catalogue())
def test_a_body_lies_within_its_circles(name):
    """The box of its length and width, corners drawn in as bodies' are, is covered by the circles along it."""
    kind = subject_catalogue()[name]
    radius, offsets = half_width_m(kind), np.array(circle_offsets_m(kind))
    along, beside = np.meshgrid(
        np.linspace(-0.5, 0.5, 41) * kind.length_m, np.linspace(-0.7, 0.7, 9) * radius
    )
    distance = np.hypot(along[..., None] - offsets, beside[..., None]).min(axis=-1)
    assert distance.max() <= 1.3 * radius


def test_somebody_leaves_and_returns_in_the_target(plans):
    rule = PlanConfig().rule
    for plan in plans:
        motion = move_world(plan.spec)
        spans = [
            reentries(
                predicted_visibility(
                    motion, i, subject_catalogue()[s.kind], plan.layout, plan.spec.intrinsics
                ),
                rule,
            )
            for i, s in enumerate(plan.spec.subjects)
        ]
        kept = [span for found in spans for span in found]
        assert kept
        assert all(span.entry_frame >= 77 and span.num_out_of_view >= 8 for span in kept)


def test_the_camera_never_turns_faster_than_asked(plans):
    for plan in plans:
        if camera_kind(plan.spec.camera.trajectory).shake:
            continue
        forward = move_world(plan.spec).world_from_camera[:, :, 2]
        turn = np.degrees(np.arccos(np.clip((forward[1:] * forward[:-1]).sum(-1), -1, 1)))
        assert turn.max() <= 3.02


def test_planning_is_about_geometry_alone(plans):
    """A world that was accepted is accepted again; moved into a wall it is not."""
    plan = plans[0]
    assert judge_world(plan.spec, plan.layout, PlanConfig().rule) is None
    subject = plan.spec.subjects[0]
    away = replace(subject, path=replace(subject.path, start_m=(900.0, 0.0)))
    moved = replace(plan.spec, subjects=(away, *plan.spec.subjects[1:]))
    assert judge_world(moved, plan.layout, PlanConfig().rule) == "subject meets an obstacle"


def test_crowds_can_be_asked_for():
    plan = plan_world(
        3, PlanConfig(scenes=("desert",), kinds=("chicken", "cat"), min_subjects=16, max_subjects=16)
    )
    assert len(plan.spec.subjects) == 16


def test_a_coat_comes_off_only_while_nobody_sees_it():
    config = PlanConfig(scenes=("desert",), kinds=("businessman",), max_subjects=1, shed_share=1.0)
    plan = plan_world(1, config)
    (subject,) = plan.spec.subjects
    assert subject.sheds in subject_catalogue()["businessman"].removable
    visibility = predicted_visibility(
        move_world(plan.spec), 0, subject_catalogue()["businessman"], plan.layout, plan.spec.intrinsics
    )
    (span,) = [
        s
        for s in reentries(visibility, config.rule)
        if s.exit_frame <= subject.sheds_at_frame < s.entry_frame
    ]
    assert span.num_out_of_view == span.num_frames


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"max_subjects": 17}, "1 ≤ least ≤ most ≤ 16"),
        ({"min_subjects": 3, "max_subjects": 2}, "1 ≤ least ≤ most"),
        ({"num_target_frames": 0}, "≥ 1 of context"),
        ({"scenes": ("moon",)}, "unknown scene 'moon'; known are street"),
        ({"lights": ("strobe",)}, "unknown light 'strobe'"),
        ({"kinds": ("unicorn",)}, "unknown subject 'unicorn'"),
        ({"trajectories": ("zoom",)}, "unknown camera trajectory 'zoom'"),
        ({"paths": ("moonwalk",)}, "unknown subject path 'moonwalk'"),
    ],
)
def test_impossible_wishes_are_refused_at_once(changes, says):
    with pytest.raises(WorldError, match=says):
        PlanConfig(**changes)


def test_what_cannot_be_shown_is_said():
    with pytest.raises(WorldError, match="20 frames are too few for the camera"):
        plan_world(
            0,
            PlanConfig(
                scenes=("desert",),
                trajectories=("pan_left_right",),
                num_context_frames=12,
                num_target_frames=8,
            ),
        )
    with pytest.raises(WorldError, match="none of bus fits into the scene 'table-top'"):
        plan_world(0, PlanConfig(scenes=("table-top",), kinds=("bus",)))
    crowd = PlanConfig(
        scenes=("table-top",), kinds=("dog",), min_subjects=16, max_subjects=16, max_attempts=3
    )
    with pytest.raises(WorldError, match=r"no world with a re-entry in 3 draws \(3 × no free ground"):
        plan_world(0, crowd)


def test_all_trajectories_fit_the_default_clip():
    late = [name for name in camera_trajectories() if shortest_frames(camera_kind(name), PlanConfig()) > 154]
    assert late == []


def test_casting_keeps_the_held_out_apart():
    known, scene, subjects = (
        cast_plan(PlanConfig(), casting) for casting in ("known", "held_out_scene", "held_out_subjects")
    )
    assert (len(known.scenes), len(known.kinds)) == (15, 43)
    assert (len(scene.scenes), len(scene.kinds)) == (2, 49)
    assert (len(subjects.scenes), len(subjects.kinds)) == (15, 6)
    assert not set(known.kinds) & set(subjects.kinds)
    assert cast_plan(PlanConfig(), "anyone") == PlanConfig()
    with pytest.raises(
        WorldError, match=re.escape("no scene that was asked for may appear in a held out scene clip")
    ):
        cast_plan(PlanConfig(scenes=("desert",)), "held_out_scene")


def test_scenes_are_lit_by_the_lights_asked_for() -> None:
    config = PlanConfig(scenes=("desert", "museum"), lights=("overcast", "daylight"))
    lit = {(plan.spec.scene, plan.spec.light) for plan in (plan_world(seed, config) for seed in range(6))}
    assert lit == {("desert", "overcast"), ("museum", "daylight")}


def test_a_scene_without_any_light_asked_for_says_which_it_has() -> None:
    with pytest.raises(WorldError, match="'museum' has none of the lights dusk; its own are daylight"):
        plan_world(0, PlanConfig(scenes=("museum",), lights=("dusk",)))
