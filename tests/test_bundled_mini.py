"""The mini that this checkout carries: whole, small enough, described, packed into wheels, and at work."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from outofsight.demo.unseen_clip import UnseenRequest, unseen_clip
from outofsight.evaluation.case import case_from_clip
from outofsight.evaluation.image_metrics import frame_psnr
from outofsight.model_folders import MODELS, read_use
from outofsight.sampling.continuation import SamplingSettings
from outofsight.sampling.world import WorldModel
from outofsight.worlds.presets import mini_plan

MINI = MODELS / "mini"
PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"

pytestmark = pytest.mark.skipif(not MINI.is_dir(), reason="this checkout carries no weights of the mini")


def test_weights_have_at_most_20_mb():
    assert sum(path.stat().st_size for path in MINI.rglob("*.safetensors")) <= 20_000_000


def test_every_file_goes_into_a_wheel():
    with PYPROJECT.open("rb") as file:
        settings = tomllib.load(file)["tool"]["setuptools"]
    assert "namespaces" not in settings["packages"]["find"]  # folders without code are packages too
    packed = {path for glob in settings["package-data"]["*"] for path in MINI.rglob(glob)}
    assert {path for path in MINI.rglob("*") if path.is_file()} == packed


def test_it_is_used_as_its_world_is_built():
    use, plan = read_use("mini"), mini_plan()
    assert use.frames == (plan.num_context_frames, plan.num_target_frames)
    assert use.size == (plan.height_px, plan.width_px)
    assert use.fps == plan.fps


def test_the_card_tells_what_was_measured():
    card = (MINI / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlicense: apache-2.0\n")
    assert "Not measured when this card was written" not in card
    assert "was not at hand" not in card


def test_it_continues_an_unseen_clip_better_than_a_frozen_picture():
    clip = unseen_clip(UnseenRequest(seed=5))
    case, use = case_from_clip(clip), read_use("mini")
    split = clip.num_context_frames
    made = WorldModel.from_pretrained("mini").continue_video(
        case.context,
        clip.cameras[:split],
        clip.cameras[split:],
        clip.caption,
        SamplingSettings(num_inference_steps=use.num_inference_steps, guidance_scale=use.guidance_scale),
        on_progress=lambda stage, done, total: None,
    )
    frozen = np.repeat(case.context[-1:], case.num_target_frames, axis=0)
    assert frame_psnr(made.video, case.truth).mean() > frame_psnr(frozen, case.truth).mean()
