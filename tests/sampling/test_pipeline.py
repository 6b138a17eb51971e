"""The pipeline as diffusers' users call it: batches, schedulers, callbacks, embeddings, output types, refusals."""

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchHeunDiscreteScheduler,
    UniPCMultistepScheduler,
)
from PIL import Image

from models import tiny_world
from outofsight.errors import InputError
from outofsight.geometry.path_expressions import make_path
from outofsight.memory.strategies import strategy
from outofsight.sampling.continuation import SamplingSettings
from outofsight.sampling.denoising import ready
from outofsight.sampling.world import WorldModel

CONTEXT, TARGET = 9, 5
FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 5.0}


@pytest.fixture(scope="module")
def world():
    world = tiny_world()
    world.set_progress_bar_config(disable=True)
    return world


def a_video(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (CONTEXT, 32, 48, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def given():
    context = make_path("pan:left:20", CONTEXT)
    return {
        "video": a_video(),
        "context_cameras": context,
        "target_cameras": make_path("pan:right:20", TARGET, start=context.world_from_camera[-1]),
        "num_inference_steps": 2,
    }


def seeded(*seeds: int):
    made = [torch.Generator().manual_seed(seed) for seed in seeds]
    return made[0] if len(made) == 1 else made


def test_it_is_what_continue_video_shows(world, given):
    settings = SamplingSettings(num_inference_steps=2, seed=3)
    cameras = given["context_cameras"], given["target_cameras"]
    shown = world.continue_video(given["video"], *cameras, "A fox.", settings).video
    frames = world("A fox.", **given, generator=seeded(3)).frames
    assert frames.shape == (1, TARGET, 32, 48, 3)
    assert np.array_equal((frames[0] * 255).round().astype(np.uint8), shown)


def test_a_users_script(world, given):
    """UniPC, a callback that sees latents, a generator, two prompts in a batch."""
    seen = []

    def look(pipe, step, timestep, tensors):
        seen.append((step, float(timestep), tensors["latents"].shape, pipe.num_timesteps))
        return tensors

    own, world.scheduler = world.scheduler, UniPCMultistepScheduler(**FLOW)
    try:
        frames = world(
            prompt=["A fox.", "A red bus."],
            negative_prompt="blurry",
            **given,
            generator=seeded(3),
            callback_on_step_end=look,
        ).frames
    finally:
        world.scheduler = own
    assert frames.shape == (2, TARGET, 32, 48, 3)
    assert [(step, shape, total) for step, _, shape, total in seen] == [
        (step, (2, 16, 2, 4, 6), 2) for step in range(2)
    ]
    assert seen[0][1] > seen[1][1]
    assert not np.allclose(frames[0], frames[1])


@pytest.mark.parametrize(
    "scheduler",
    [
        UniPCMultistepScheduler(**FLOW),
        DPMSolverMultistepScheduler(**FLOW),
        FlowMatchHeunDiscreteScheduler(shift=5.0),
    ],
    ids=lambda scheduler: type(scheduler).__name__,
)
def test_every_flow_scheduler_goes_where_many_euler_steps_go(scheduler):
    """With the exact velocity towards one clean video, all arrive there."""
    clean, noise = torch.randn(2, 1, 16, 2, 4, 6, generator=torch.Generator().manual_seed(0))
    for shift, strength in ((None, 1.0), (2.0, 1.0), (None, 0.5)):
        stepping = ready(scheduler, 6, shift=shift, strength=strength)
        assert abs(float(stepping.sigmas[0]) - strength) < 0.01
        latents = strength * noise + (1 - strength) * clean
        for timestep in stepping.timesteps:
            latents = stepping.step(noise - clean, timestep, latents, return_dict=False)[0]
        torch.testing.assert_close(latents, clean, rtol=0, atol=2e-2)


def test_a_batch_is_its_parts(world, given):
    """Each video of a batch is the one that it would be alone."""
    both = {**given, "video": np.stack((a_video(0), a_video(1)))}
    turned = make_path("pan:left:30", TARGET, start=given["context_cameras"].world_from_camera[-1])
    both["target_cameras"] = [given["target_cameras"], turned]
    frames = world(["A fox.", "A bus."], **both, generator=seeded(3, 4), output_type="pt").frames
    for index, (prompt, seed) in enumerate((("A fox.", 3), ("A bus.", 4))):
        own = {**both, "video": both["video"][index], "target_cameras": both["target_cameras"][index]}
        alone = world(prompt, **own, generator=seeded(seed), output_type="pt").frames
        torch.testing.assert_close(frames[index], alone[0], rtol=0, atol=2e-3)


def test_several_videos_a_prompt(world, given):
    frames = world(
        ["A fox.", "A bus."], **given, num_videos_per_prompt=2, generator=seeded(1, 2, 3, 4), output_type="pt"
    ).frames
    alone = world("A fox.", **given, generator=seeded(2), output_type="pt").frames
    assert frames.shape == (4, TARGET, 3, 32, 48)
    torch.testing.assert_close(frames[1], alone[0], rtol=0, atol=2e-3)


def test_output_types(world, given):
    made = {
        kind: world("A fox.", **given, generator=seeded(3), output_type=kind, return_dict=False)[0]
        for kind in ("np", "pt", "pil", "latent")
    }
    assert isinstance(made["pil"][0][0], Image.Image)
    assert np.array_equal(np.array(made["pil"][0][1]), (made["np"][0, 1] * 255).round().astype(np.uint8))
    assert np.array_equal(made["pt"][0].permute(0, 2, 3, 1).numpy(), made["np"][0])
    decoded = world.decode_latents(made["latent"]) / 2 + 0.5
    assert torch.equal(decoded, made["pt"])


def test_texts_may_be_encoded_before(world, given):
    plain = world("A fox.", "blurry", **given, generator=seeded(3)).frames
    states = world.encode_text(["A fox."]), world.encode_text(["blurry"])
    ready = world(
        prompt_embeds=states[0], negative_prompt_embeds=states[1], **given, generator=seeded(3)
    ).frames
    assert np.array_equal(plain, ready)


def test_latents_may_be_given(world, given):
    noise = torch.randn(1, 16, 2, 4, 6, generator=seeded(3))
    assert np.array_equal(
        world("A fox.", **given, latents=noise).frames, world("A fox.", **given, generator=seeded(3)).frames
    )


def test_a_call_leaves_the_scheduler_as_it_was(given):
    world = tiny_world()
    world.set_progress_bar_config(disable=True)
    before = (dict(world.scheduler.config), world.scheduler.timesteps.clone(), world.scheduler.sigmas.clone())
    scheduler = world.scheduler
    world("A fox.", **given, generator=seeded(3), shift=2.0, strength=0.5)
    assert world.scheduler is scheduler
    assert dict(scheduler.config) == before[0]
    assert torch.equal(scheduler.timesteps, before[1])
    assert torch.equal(scheduler.sigmas, before[2])
    assert scheduler.step_index is None


def test_an_interruption_is_one_calls(world, given):
    def stop(pipe, step, timestep, tensors):
        done.append(step)
        pipe._interrupt = True
        return {}

    done = []
    world("A fox.", **given, generator=seeded(3), callback_on_step_end=stop)
    assert done == [0]
    assert world.interrupt
    whole = world("A fox.", **given, generator=seeded(3)).frames
    assert not world.interrupt
    assert np.array_equal(whole, world("A fox.", **given, generator=seeded(3)).frames)


def test_a_video_may_be_a_list_of_pictures(world, given):
    pictures = [Image.fromarray(frame) for frame in given["video"]]
    shown = world("A fox.", **given, generator=seeded(3)).frames
    for video in (pictures, [pictures], list(given["video"])):
        assert np.array_equal(world("A fox.", **{**given, "video": video}, generator=seeded(3)).frames, shown)


def test_a_callback_changes_tensors_and_stops(world, given):
    world_calls = []

    def halve(pipe, step, timestep, tensors):
        world_calls.append(step)
        pipe._interrupt = step == 0
        return {"latents": tensors["latents"] / 2}

    options = {**given, "num_inference_steps": 3, "output_type": "latent", "guidance_scale": 1.0}
    stopped = world("A fox.", **options, generator=seeded(3), callback_on_step_end=halve).frames
    assert world_calls == [0]
    first = []
    world(
        "A fox.", **options, generator=seeded(3),
        callback_on_step_end=lambda pipe, step, t, tensors: first.append(tensors["latents"]) or {},
    )  # fmt: skip
    assert torch.equal(stopped, first[0] / 2)
    assert len(first) == 3  # the interruption was the other call's


def test_a_caption_may_change_under_way_with_banks(given):
    """Keys that the banks' tokens got with the caption of before are made anew."""
    banks = {"archive_slots": 4, "subject_slots": 2, "top_k": 3, "reader_width": 8, "identity_width": 4}
    world = tiny_world(memory_strategy="hybrid", **{**strategy("hybrid").settings, "banks": banks})
    world.set_progress_bar_config(disable=True)
    other = world.encode_text(["A red bus."])
    made = []
    keys = world.transformer.memory_keys
    world.transformer.memory_keys = lambda *args: made.append(1) or keys(*args)

    def change(pipe, step, timestep, tensors):
        return {"prompt_embeds": other} if step == 0 else {}

    options = {**given, "guidance_scale": 1.0, "generator": None}
    for callback, times in ((None, 1), (change, 2)):
        made.clear()
        world(
            "A fox.", **{**options, "generator": seeded(3)}, callback_on_step_end=callback,
            callback_on_step_end_tensor_inputs=["prompt_embeds"],
        )  # fmt: skip
        assert len(made) == times


def test_one_precision_for_all_parts(tmp_path):
    tiny_world().save_pretrained(tmp_path)
    parts = ("transformer", "vae", "text_encoder")
    for dtype in (None, torch.bfloat16):
        loaded = WorldModel.from_pretrained(tmp_path, **({} if dtype is None else {"dtype": dtype}))
        assert {getattr(loaded, part).dtype for part in parts} == {dtype or torch.float32}
    mini = WorldModel.from_pretrained("mini")
    assert {getattr(mini, part).dtype for part in parts} == {torch.float32}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"prompt": ["A fox.", " "]}, "prompt 1 is empty"),
        ({"prompt": ["a", "b"], "video": [a_video()] * 3}, "one for each of 3 videos, got 2"),
        ({"prompt": None}, "either prompt or prompt_embeds"),
        ({"prompt": []}, "prompt: expected one, or one for each of 1 videos, got 0"),
        ({"prompt": [3]}, "expected one caption as text, got a int"),
        ({"negative_prompt": 3}, "expected one caption as text, got a int"),
        ({"negative_prompt": ["a", None]}, "expected one caption as text, got a NoneType"),
        (
            {"num_inference_steps": 0},
            "^sampling settings: num_inference_steps: expected greater than or equal to 1, got 0",
        ),
        ({"guidance_scale": -1.0}, "guidance_scale: expected greater than or equal to 0, got -1"),
        ({"guidance_scale": float("nan")}, "guidance_scale: expected a finite number, got nan"),
        ({"strength": 0.0}, "strength: expected greater than 0, got 0"),
        ({"shift": 0.0}, "shift: expected greater than 0, got 0"),
        ({"history_guidance": -1.0}, "history_guidance: expected greater than or equal to 0, got -1"),
        ({"output_type": "mp4"}, "output_type: expected one of np, pt, pil, latent, got 'mp4'"),
        ({"callback_on_step_end_tensor_inputs": ["noise"]}, "expected some of latents"),
        ({"generator": seeded(1, 2)}, "one for each of 1 videos, got 2"),
        ({"num_videos_per_prompt": 0}, "expected ≥ 1"),
    ],
)
def test_refusals(world, given, changes, says):
    with pytest.raises(InputError, match=says) as caught:
        world(**{"prompt": "A fox.", **given, **changes})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("scheduler", "says"),
    [
        (DDIMScheduler(), "DDIMScheduler makes no flow as it is set .*'epsilon'"),
        (UniPCMultistepScheduler(), "UniPCMultistepScheduler makes no flow"),
    ],
)
def test_a_scheduler_that_makes_no_flow_is_refused(given, scheduler, says):
    world = tiny_world()
    world.scheduler = scheduler
    with pytest.raises(InputError, match=says):
        world("A fox.", **given)
