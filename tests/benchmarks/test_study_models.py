"""Studies that ask a model: coats that come off, costs of banks, walks that stay flat."""

import argparse
from dataclasses import replace

import numpy as np
import pytest
import torch

import rollouts
import studies
import study_coats
import study_cost
from models import tiny_world
from outofsight.errors import InputError
from outofsight.evaluation.tracked_positions import TrackedPositions, phases_of_sight
from outofsight.types import CameraPath, Clip, Intrinsics
from outofsight.worlds.clip import clip_from_spec
from outofsight.worlds.presets import mini_plan
from outofsight.worlds.render import RenderSettings
from rolled_worlds import forth_and_back, plan_for
from study_coats import Watched, change_figures, change_in_view, coat_plan, shedding_worlds, twins

SMALL = replace(mini_plan(), kinds=("king",), shed_share=1.0, height_px=32, width_px=48)


def places(seen, numbers) -> TrackedPositions:
    numbers = np.array(numbers)[:, None]
    seen = np.array(seen)[:, None]
    error = np.where(numbers >= 0, 1.0, np.nan)
    return TrackedPositions(
        numbers=numbers, error_m=error, velocity_error_m=error, deviations=error, phases=phases_of_sight(seen),
        returns=np.zeros_like(seen),
    )  # fmt: skip


def standing_clip(num_frames=9) -> Clip:
    """Noise before a camera that stands still; nobody is annotated."""
    generator = np.random.default_rng(0)
    video = generator.integers(0, 255, (num_frames, 32, 48, 3), dtype=np.uint8)
    still = np.tile(np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.6]]), (num_frames, 1, 1))
    lens = Intrinsics.from_fov(width_px=48, height_px=32, fov_x_rad=1.36)
    return Clip(
        name="noise", video=video, num_context_frames=num_frames, fps=10.0, caption="Noise.",
        cameras=CameraPath(world_from_camera=still, intrinsics=lens),
    )  # fmt: skip


# --- coats


def test_a_clip_that_sheds_is_the_one_with_the_part_and_then_the_one_without():
    """What the study joins from two renders is, to the last pixel and mask, what the engine renders."""
    spec = next(iter(shedding_worlds(SMALL, 1)))
    frame = spec.subjects[0].sheds_at_frame
    plain = RenderSettings(supersampling=1)
    on, off, shed = (clip_from_spec("coat", one, plain) for one in (*twins(spec), spec))
    for part in ("video", "masks"):
        joined = np.concatenate((getattr(on, part)[:frame], getattr(off, part)[frame:]))
        assert (joined == getattr(shed, part)).all()
    assert (on.video != off.video).any()
    assert (on.cameras.world_from_camera == off.cameras.world_from_camera).all()


def test_coat_plans_refuse_who_can_shed_nothing():
    with pytest.raises(InputError, match="nothing comes off elephant; subjects that can shed are"):
        coat_plan("mini", ["king", "elephant"])
    plan = coat_plan("mini", None)
    assert plan.kinds == ("king", "wizard")
    assert (plan.num_frames - plan.num_context_frames) % 4 == 1


def test_looks_change_in_the_longest_sight_between_two_latent_frames():
    times = np.array([0.0, 4, 8, 9, 13, 17, 21])
    seen = np.array([True, False, True, True, True, True, False])
    assert change_in_view(seen, times) == 10  # moments 2 and 3 (frames 8, 9) show the old looks


def test_change_figures_by_hand():
    """Old looks (1, 0), new (0, 1); seen, hidden, seen three times; the slot goes by 0.25, 0.75 and 1."""
    seen = np.array([True, False, True, True, True])
    on, off = torch.tensor([[1.0, 0]] * 5), torch.tensor([[0.0, 1]] * 5)
    shed = torch.tensor([[1.0, 0], [1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    kept = places(seen, [0, 0, 0, 0, 0])
    three = [Watched(held, 2 * held[:, None], kept) for held in (shed, on, off)]
    reported = change_figures(*three, seen, 1)
    assert reported["likeness"] == 0
    assert (reported["same_number"], reported["same_number_kept"]) == (1, 1)
    for name in ("", "tokens_"):
        assert reported[f"{name}frames_to_follow"] == 2
        assert reported[f"{name}followed_after_1"] == pytest.approx(0.25)
        assert reported[f"{name}followed_after_3"] == reported[f"{name}followed_in_the_end"] == 1
        assert reported[f"{name}followed_after_5"] is None
    lost = Watched(shed, 2 * shed[:, None], places(seen, [0, 0, 7, 7, 7]))
    again = change_figures(lost, three[1], three[2], seen, 1)
    assert (again["same_number"], again["frames_to_follow"]) == (0, None)


def test_coats_are_measured_by_a_model_that_reads_for_itself(monkeypatch, tmp_path):
    world = tiny_world(memory_strategy="hybrid", banks={"identity_width": 8, "reader_width": 8})
    world.save_pretrained(tmp_path / "banked")
    monkeypatch.setattr(study_coats, "plan_for", lambda model: SMALL)
    monkeypatch.setattr(study_coats, "RenderSettings", lambda: RenderSettings(supersampling=1))
    rows = study_coats.coat_rows(str(tmp_path / "banked"), 1, None)
    assert [row["change"] for row in rows] == ["in view", "hidden"]
    assert sum(rows[0]["parts"].values()) == 1
    assert set(study_coats.SHOWN) <= set(rows[0])
    assert all(len(row["same_number"]) == 1 for row in rows)


# --- costs and walks


def test_rounds_go_forth_and_back():
    assert [*forth_and_back(3, 0), *forth_and_back(3, 1)] == [0, 1, 2, 2, 1, 0]


def test_clips_are_as_a_model_says_it_is_used(tmp_path):
    (tmp_path / "generation_config.json").write_text(
        '{"num_context_frames": 21, "num_target_frames": 33, "size": [32, 64], "fps": 8.0}'
    )
    plan = plan_for(str(tmp_path))
    assert (plan.num_context_frames, plan.num_target_frames) == (21, 33)
    assert (plan.height_px, plan.width_px, plan.fps) == (32, 64, 8.0)
    (tmp_path / "generation_config.json").unlink()
    assert plan_for(str(tmp_path)) == mini_plan()


def test_costs_are_compared_in_the_same_round():
    worlds = [tiny_world(), tiny_world(memory_strategy="hybrid", banks={"archive_slots": 2})]
    for world in worlds:
        world.set_progress_bar_config(disable=True)
    options = argparse.Namespace(denoising_steps=1, latent_frames=1, timed=2)
    plain, banked = study_cost.timed(worlds, standing_clip(), options)
    assert plain["over_window"] == [1.0, 1.0]
    ratios = [a / b for a, b in zip(banked["step_ms"], plain["step_ms"], strict=True)]
    assert banked["over_window"] == pytest.approx(ratios)
    assert plain["observe_ms"] == [0.0, 0.0]
    assert all(0 < share < 1 for share in banked["observe_share"])
    assert banked["state_kilobytes"] > plain["state_kilobytes"]


def test_all_strategies_walk_at_once_and_are_compared_beside_each_other(tmp_path):
    worlds = {
        "hydra": tiny_world(),
        "hybrid": tiny_world(memory_strategy="hybrid", banks={"archive_slots": 2}),
    }
    for world in worlds.values():
        world.set_progress_bar_config(disable=True)
    options = argparse.Namespace(steps=14, latent_frames=1, denoising_steps=1)
    reported = rollouts.walk(worlds, standing_clip(), options)
    assert list(reported["strategies"]) == ["hydra", "hybrid"]
    for figures in reported["strategies"].values():
        assert len(figures["seconds"]) == 14
        assert len(figures["seconds_beside"]) == rollouts.WARM_UP + 2
        assert figures["last_over_first"]["n"] == 2
        assert figures["state_last_over_first"] == 1
        assert len(set(figures["state_bytes"][rollouts.WARM_UP :])) == 1
    assert len(reported["process"]["resident_bytes"]) == 14
    rollouts.draw(reported["strategies"], tmp_path / "walks.svg")
    assert b"<svg" in (tmp_path / "walks.svg").read_bytes()


# --- the command


@pytest.mark.parametrize("name", list(studies.QUESTIONS))
def test_every_study_takes_a_model_and_a_file_to_write(name):
    given = [name, "--model", "somewhere", "--out", "figures.json"]
    parsed = studies.arguments().parse_args([*given, "--data", "clips"] if name == "places" else given)
    assert (parsed.study, parsed.model, parsed.out.name) == (name, "somewhere", "figures.json")
    assert getattr(parsed, "scenes", 24) == 24


def test_a_model_without_banks_is_one_line_and_status_2(monkeypatch, capsys, tmp_path):
    tiny_world().save_pretrained(tmp_path / "plain")
    monkeypatch.setattr("sys.argv", ["studies.py", "coats", "--model", str(tmp_path / "plain")])
    with pytest.raises(SystemExit) as ended:
        studies.main()
    assert ended.value.code == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert "no banks to study" in line
