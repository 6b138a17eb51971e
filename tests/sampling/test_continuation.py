"""A whole continuation with a tiny model: lengths, seeds, precision, refusals."""

import numpy as np
import pytest
import torch
from safetensors import safe_open

from models import tiny_world
from outofsight.errors import CameraError, InputError, VideoError
from outofsight.geometry.conditioning import camera_conditioning
from outofsight.geometry.path_expressions import make_path
from outofsight.sampling.continuation import SamplingSettings
from outofsight.sampling.inputs import to_uint8
from outofsight.sampling.world import WorldModel
from outofsight.types import CameraPath, Intrinsics

FAST = SamplingSettings(num_inference_steps=2)
CONTEXT, TARGET = 9, 13


@pytest.fixture(scope="module")
def world():
    world = tiny_world()
    world.set_progress_bar_config(disable=True)
    return world


def seen(path, height, width, fov_x_rad=1.0):
    lens = Intrinsics.from_fov(width_px=width, height_px=height, fov_x_rad=fov_x_rad)
    return CameraPath(world_from_camera=path.world_from_camera, intrinsics=lens)


@pytest.fixture(scope="module")
def given():
    video = np.random.default_rng(0).integers(0, 256, (CONTEXT, 32, 48, 3), dtype=np.uint8)
    context = make_path("pan:left:20", CONTEXT)
    return {
        "video": video,
        "context_cameras": context,
        "target_cameras": make_path("pan:right:20", TARGET, start=context.world_from_camera[-1]),
        "prompt": "A fox crosses a yard.",
    }


def test_result(world, given, tmp_path):
    stages = []
    result = world.continue_video(
        **given, settings=FAST, record_retrieval=True, on_progress=lambda *args: stages.append(args)
    )
    assert result.video.shape == (TARGET, 32, 48, 3)
    assert result.video.dtype == np.uint8
    assert set(result.seconds) == {"text", "encode", "denoise", "decode"}
    assert ("denoise", 2, 2) in stages
    assert result.retrieval.slices.shape == (2, 2, 3 + 4, 2)  # steps, layers, latent frames, top_k
    assert result.retrieval.num_context_latent_frames == 3
    result.retrieval.save(tmp_path / "retrieval.safetensors")
    with safe_open(tmp_path / "retrieval.safetensors", framework="pt") as file:
        assert torch.equal(file.get_tensor("slices"), result.retrieval.slices)
        assert {"frames_per_slice": "2", "num_context_latent_frames": "3"}.items() <= file.metadata().items()


def test_same_seed_same_video(world, given):
    first, second = (world.continue_video(**given, settings=FAST) for _ in range(2))
    other = world.continue_video(**given, settings=SamplingSettings(num_inference_steps=2, seed=7))
    assert np.array_equal(first.video, second.video)
    assert not np.array_equal(first.video, other.video)


def test_everything_it_is_given_matters(world, given):
    base = world.continue_video(**given, settings=FAST).video
    turned = make_path("pan:left:60", TARGET, start=given["context_cameras"].world_from_camera[-1])
    for changed in (
        {"prompt": "A red bus."},
        {"target_cameras": turned},
        {"video": given["video"][::-1].copy()},
        {"settings": SamplingSettings(num_inference_steps=2, guidance_scale=1.0)},
        {"settings": SamplingSettings(num_inference_steps=2, negative_prompt="blurry")},
        {"settings": SamplingSettings(num_inference_steps=2, shift=1.0)},
    ):
        assert not np.array_equal(
            world.continue_video(**{"settings": FAST, **given, **changed}).video, base
        ), changed


def test_a_float_video_and_a_pixel_video_are_the_same(world, given):
    floats = torch.from_numpy(given["video"]).permute(0, 3, 1, 2) / 127.5 - 1
    base = world.continue_video(**given, settings=FAST).video
    assert np.array_equal(world.continue_video(**{**given, "video": floats}, settings=FAST).video, base)


def test_conditioning_may_be_given_ready_made(world, given):
    ready = camera_conditioning(given["context_cameras"], given["target_cameras"])
    base = world.continue_video(**given, settings=FAST).video
    changed = {**given, "context_cameras": None, "target_cameras": ready}
    assert np.array_equal(world.continue_video(**changed, settings=FAST).video, base)


def test_bf16_runs(given, tmp_path):
    tiny_world().save_pretrained(tmp_path)
    world = WorldModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert world.transformer.dtype == torch.bfloat16
    world.set_progress_bar_config(disable=True)
    assert world.continue_video(**given, settings=FAST).video.shape == (TARGET, 32, 48, 3)


def test_a_saved_model_continues_the_same(world, given, tmp_path):
    world.save_pretrained(tmp_path)
    loaded = WorldModel.from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    one, other = (each.continue_video(**given, settings=FAST).video.astype(int) for each in (world, loaded))
    assert (
        np.abs(one - other).max() <= 1
    )  # weights lie differently in memory: the last bit of a sum may differ


def test_pixels_are_rounded_not_cut():
    levels = torch.tensor([-1.0, 0.0, 0.999, 1.0]).reshape(4, 1, 1, 1).expand(4, 3, 1, 1)
    assert to_uint8(levels)[:, 0, 0, 0].tolist() == [0, 128, 255, 255]


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"video": np.zeros((9, 40, 48, 3), np.uint8)}, VideoError, "divisible by 16, got 40×48; try 32×48"),
        ({"video": np.zeros((9, 32, 48), np.uint8)}, VideoError, "expected a uint8 video"),
        ({"video": np.zeros((9, 32, 48, 3), np.float32)}, VideoError, "expected a uint8 video"),
        ({"video": np.zeros((10, 32, 48, 3), np.uint8)}, InputError, "got 10"),
        ({"context_cameras": None}, CameraError, "context's camera path"),
        ({"context_cameras": make_path("still", 13)}, CameraError, "9 frames, its camera path 13"),
        ({"target_cameras": make_path("still", 12)}, InputError, "got 12"),
        ({"prompt": "   "}, InputError, "empty"),
        (
            {"context_cameras": seen(make_path("still", 9), 60, 60)},
            CameraError,
            "picture of 60×60, but .* 32×48",
        ),
        (
            {
                "context_cameras": seen(make_path("still", 9), 32, 48),
                "target_cameras": seen(make_path("still", 5), 32, 48, 2.0),
            },
            CameraError,
            "two lenses",
        ),
    ],
)
def test_refusals(world, given, changes, error, says):
    with pytest.raises(error, match=says):
        world.continue_video(**{**given, **changes}, settings=FAST)


@pytest.mark.parametrize(
    "bad", [{"num_inference_steps": 0}, {"guidance_scale": -1}, {"seeds": 3}, {"shift": "much"}]
)
def test_impossible_settings_are_refused_in_one_line(bad):
    with pytest.raises(InputError, match="sampling settings") as caught:
        SamplingSettings(**bad)
    assert "\n" not in str(caught.value)


def test_a_model_that_looks_at_the_lens_is_told_it_by_either_half(given):
    """At any size of the video's shape; where nobody tells it, the configured one stands in."""
    world = tiny_world(
        memory_affinity="fov_overlap", memory_top_k=1, camera_ray_octaves=2, camera_fov_x_deg=60.0
    )
    world.set_progress_bar_config(disable=True)
    for block in world.transformer.blocks:
        torch.nn.init.normal_(block.attn1.ray_encoder.weight, std=0.2)
    halves = {name: given[name] for name in ("context_cameras", "target_cameras")}

    def shown(**cameras):
        return world.continue_video(**{**given, **cameras}, settings=FAST).video

    unknown = shown()
    for name, path in halves.items():
        assert np.array_equal(shown(**{name: seen(path, 320, 480, np.pi / 3)}), unknown)
    wide = shown(context_cameras=seen(halves["context_cameras"], 32, 48, 1.6))
    assert not np.array_equal(wide, unknown)
    assert np.array_equal(shown(target_cameras=seen(halves["target_cameras"], 32, 48, 1.6)), wide)
    ready = camera_conditioning(seen(halves["context_cameras"], 32, 48, 1.6), halves["target_cameras"])
    assert np.array_equal(shown(context_cameras=None, target_cameras=ready), wide)


def test_a_published_model_is_told_poses_alone(world, given):
    reported = world.continue_video(
        **{**given, "context_cameras": seen(given["context_cameras"], 32, 48)}, settings=FAST
    )
    assert np.array_equal(reported.video, world.continue_video(**given, settings=FAST).video)
