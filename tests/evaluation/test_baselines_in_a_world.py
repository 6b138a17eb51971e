"""The baselines on a rendered world, judged by the bundled recogniser: no stand-in for anything."""

from dataclasses import dataclass

import pytest

from outofsight.evaluation.association import gallery_of, observe, observe_truth, references_of
from outofsight.evaluation.baselines import frozen
from outofsight.evaluation.case import ClipCase, Video, case_from_clip
from outofsight.evaluation.engine_baselines import engine_swapped, engine_vanished
from outofsight.evaluation.evidence import Detections, Gallery
from outofsight.evaluation.metrics import measure_clip
from outofsight.perception.recogniser import Recogniser
from outofsight.worlds.clip import render_clip
from outofsight.worlds.model import build_world
from outofsight.worlds.plan import plan_world
from outofsight.worlds.plan_config import PlanConfig
from outofsight.worlds.render import RenderSettings

SETTINGS = RenderSettings(supersampling=2)


@dataclass(frozen=True)
class Stage:
    """A clip with all that judges it, and the same world with nobody and with a bus in it."""

    case: ClipCase
    recogniser: Recogniser
    truth: Detections
    vanished: Video
    swapped: Video
    gallery: Gallery

    def judged(self, video: Video) -> dict[str, float | None]:
        seen = observe(self.recogniser, video, references_of(self.case, self.truth))
        measured = measure_clip(
            self.case, video, observed=seen, truth_observed=self.truth, features=self.recogniser,
            gallery=self.gallery,
        )  # fmt: skip
        return {name: value.value for name, value in measured.items()}


@pytest.fixture(scope="module")
def stage() -> Stage:
    """A cow leaves the view of a panning camera and comes back."""
    config = PlanConfig(
        scenes=("desert",), lights=("noon",), kinds=("cow",), num_context_frames=13, num_target_frames=13, fps=10.0,
        height_px=64, width_px=96, max_turn_deg_per_frame=10.0, min_hidden_frames=6, min_seen_frames=4,
        max_subjects=1, trajectories=("pan_left_right", "pan_right_left"), shed_share=0.0,
    )  # fmt: skip
    plan = plan_world(1, config)
    clip = render_clip("cow", build_world(plan.spec, plan.layout), SETTINGS, config.rule)
    case, recogniser = case_from_clip(clip), Recogniser.from_pretrained("mini")
    truth = observe_truth(recogniser, case)
    swapped = engine_swapped(clip, ("bus",), SETTINGS)
    bus = observe(recogniser, swapped, references_of(case, truth))
    gallery = gallery_of({"cow": truth[: case.num_context_frames], "bus": bus})
    return Stage(case, recogniser, truth, engine_vanished(clip, SETTINGS), swapped, gallery)


def test_the_truth_passes(stage):
    score = stage.judged(stage.case.truth)
    assert score["return_gate"] == 1
    assert score["detection_rate"] > 0.8
    assert score["reentry_time_error"] <= 0.2
    assert score["identity_accuracy"] > 0.8
    assert score["dsc_gt"] > 0.7


def test_frozen_does_not_move(stage):
    score = stage.judged(frozen(stage.case))
    assert score["camera_error"] == pytest.approx(1, abs=1e-9)
    assert score["return_gate"] == 0
    assert score["relative_motion_missing_0"] in (None, pytest.approx(0, abs=1e-9))


def test_vanished_does_not_come_back(stage):
    score = stage.judged(stage.vanished)
    assert score["return_gate"] == 0
    assert score["detection_rate"] < 0.2
    assert score["psnr_hidden"] > 30


def test_swapped_is_somebody_else(stage):
    true, score = stage.judged(stage.case.truth), stage.judged(stage.swapped)
    assert score["detection_rate"] > 0.5
    assert score["identity_accuracy"] < 0.2
    assert score["identity_likeness"] < true["identity_likeness"] - 0.3
    assert score["dsc_gt"] < true["dsc_gt"] - 0.2


def test_the_clip_is_what_the_tests_take_it_for(stage):
    seen = stage.case.foreground.any(axis=(1, 2))
    assert seen[:13].any()
    assert (~seen).sum() >= 6
    assert seen[-1]
