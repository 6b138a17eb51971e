"""Named worlds: the mini's is the one that its training data was built in."""

import dataclasses
import json
from pathlib import Path

import pytest

from outofsight.cli.world import _configs
from outofsight.errors import InputError, WorldError
from outofsight.worlds.clip import cast_plan
from outofsight.worlds.events import reentries
from outofsight.worlds.motion import move_world
from outofsight.worlds.plan import plan_world, predicted_visibility
from outofsight.worlds.presets import PRESETS, mini_long_plan, mini_plan, preset
from outofsight.worlds.render import RenderSettings
from outofsight.worlds.subjects import subject_catalogue

RECIPE = Path(__file__).parents[1] / "fixtures" / "mini" / "recipe.json"
"""The recipe in the data card of the clips that the bundled mini learned from."""


def test_the_mini_plan_is_what_its_clips_were_built_with():
    recipe = {"plan": dataclasses.asdict(mini_plan()), "render": dataclasses.asdict(RenderSettings())}
    assert json.loads(json.dumps(recipe)) == json.loads(RECIPE.read_text())


def test_what_is_held_out_of_the_mini_is_never_cast_in_training():
    known, unseen_place, unseen_subject = (
        cast_plan(mini_plan(), casting) for casting in ("known", "held_out_scene", "held_out_subjects")
    )
    assert known.scenes == ("desert", "snow village")
    assert not {"camel", "tractor", "wizard"} & set(known.kinds)
    assert unseen_place.scenes == ("harbour", "museum")
    assert unseen_subject.kinds == ("camel", "tractor", "wizard")


def test_a_name_that_is_not_known():
    with pytest.raises(WorldError, match="unknown preset 'maxi'; known are mini"):
        preset("maxi")
    assert preset("mini") == PRESETS["mini"]()


def test_the_command_line_takes_a_preset_and_what_agrees_with_it():
    plan, render = _configs("64x96", "41+41", ["plan.fps=10", "render.depth=true"], "mini")
    assert plan == mini_plan()
    assert render.depth


@pytest.mark.parametrize(
    ("size", "frames", "pairs", "says"),
    [
        ("96x160", None, [], "--preset mini has height_px = 64, but 96 was asked for"),
        (None, "77+41", [], "--preset mini has num_context_frames = 41, but 77 was asked for"),
        (None, None, ["plan.max_subjects=2"], "--preset mini has max_subjects = 1, but 2 was asked for"),
    ],
)
def test_what_contradicts_a_preset_is_refused(size, frames, pairs, says):
    with pytest.raises(InputError, match=says):
        _configs(size, frames, pairs, "mini")


def test_the_long_preset_is_the_mini_with_absences_of_84_frames_and_more():
    long, mini = mini_long_plan(), mini_plan()
    assert dataclasses.replace(long, num_target_frames=41, min_hidden_frames=mini.min_hidden_frames) == mini
    plan = plan_world(5000, long)
    kind = subject_catalogue()[plan.spec.subjects[0].kind]
    seen = predicted_visibility(move_world(plan.spec), 0, kind, plan.layout, plan.spec.intrinsics)
    absences = reentries(seen, long.rule)
    assert absences
    assert min(absence.num_out_of_view for absence in absences) >= 84
    assert plan.spec.num_frames == 162
