"""Continuations and rollouts of a tiny model that is shown rendered memory."""

import numpy as np
import pytest
import torch

from models import tiny_text_encoder, tiny_transformer, tiny_world
from outofsight.codec.patch_autoencoder import PatchVideoAutoencoder
from outofsight.errors import CameraError, InputError
from outofsight.geometry.conditioning import camera_conditioning
from outofsight.geometry.path_expressions import make_path
from outofsight.memory.banks.mask_reader import MaskReader
from outofsight.memory.banks.state import bank_tensors
from outofsight.memory.strategies import strategy
from outofsight.sampling.continuation import SamplingSettings, rendered_memory
from outofsight.sampling.remembered import Coming, render_target, subject_share
from outofsight.sampling.rollout_state import RolloutLimits
from outofsight.types import CameraPath, Intrinsics

CONTEXT, SIZES, HEIGHT, WIDTH = 9, (5, 8, 4), 32, 48
BANKS = {"archive_slots": 4, "subject_slots": 2, "top_k": 3, "reader_width": 8, "identity_width": 4}
FAST = SamplingSettings(num_inference_steps=1, guidance_scale=1.0, seed=3)
LENS = Intrinsics.from_fov(width_px=WIDTH, height_px=HEIGHT, fov_x_rad=1.3)
PROMPT = "A fox crosses a yard."


def path(expression: str, frames: int, start=None) -> CameraPath:
    made = make_path(expression, frames) if start is None else make_path(expression, frames, start=start)
    return CameraPath(world_from_camera=made.world_from_camera, intrinsics=LENS)


VIDEO = np.kron(
    np.random.default_rng(0).integers(0, 256, (CONTEXT, 4, 6, 3), dtype=np.uint8),
    np.ones((1, 8, 8, 1), np.uint8),
)
PATH = path("pan:left:40", CONTEXT + sum(SIZES))
STARTS = CONTEXT + np.cumsum((0, *SIZES[:-1]))
PARTS = [PATH[start : start + size] for start, size in zip(STARTS, SIZES, strict=True)]
MASKS = np.zeros((CONTEXT, HEIGHT, WIDTH), np.uint8)
MASKS[:, 8:24, 8:24] = 1

_worlds = {}


def world_of(name: str, **changes):
    """A model whose rendered memory has an effect; masks read by chance."""
    key = (name, repr(changes))
    if key not in _worlds:
        settings = dict(strategy(name).settings)
        if settings["banks"] is not None:
            settings["banks"] = {**BANKS, **settings["banks"], **changes.pop("banks", {})}
        rendering = changes.pop("rendering", {"gate_width": 4, "mask_width": 4})
        world = tiny_world(memory_strategy=name, rendering=rendering, **settings, **changes)
        memory = world.transformer.rendered_memory
        with torch.no_grad():
            generator = torch.Generator().manual_seed(0)
            memory.embed.normal_(std=0.1, generator=generator)
            if memory.gate is not None:
                memory.gate.strength.fill_(0.6)
        world.set_progress_bar_config(disable=True)
        _worlds[key] = world
    return _worlds[key]


@pytest.fixture(scope="module")
def world():
    return world_of("hybrid")


def continued(world, settings=FAST, **more):
    return world.continue_video(VIDEO, PATH[:CONTEXT], PARTS[0], PROMPT, settings, **more)


def start(world, **options):
    return world.start(VIDEO, PATH[:CONTEXT], PROMPT, settings=FAST, **options)


def same_banks(one, other) -> bool:
    first, second = bank_tensors(one), bank_tensors(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@torch.no_grad()
def coverage(world, masks: np.ndarray, lens: Intrinsics = LENS) -> np.ndarray:
    """What of the first coming frames memory knows: [frames, height, width]."""
    cameras = CameraPath(world_from_camera=PATH[:CONTEXT].world_from_camera, intrinsics=lens)
    state = world.start(VIDEO, cameras, PROMPT, settings=FAST, subject_masks=masks).state
    times = CONTEXT + torch.arange(len(PARTS[0])).float()
    coming = Coming(PARTS[0].world_from_camera, times, None, state.anchor.numpy())
    made = render_target(
        world, state.banks, coming, state.intrinsics[None], (HEIGHT, WIDTH), torch.Generator()
    )
    return made.given[0, :, 3].numpy()


# At once


def test_a_continuation_gives_what_memory_renders(world):
    result = continued(world)
    assert result.rendered.shape == result.video.shape == (5, HEIGHT, WIDTH, 3)
    assert result.rendered.dtype == np.uint8
    again = continued(world)
    assert np.array_equal(again.video, result.video)
    assert np.array_equal(again.rendered, result.rendered)
    alone = rendered_memory(world, VIDEO, PATH[:CONTEXT], PARTS[0], 3)
    assert np.array_equal(alone, result.rendered)


def test_what_is_rendered_matters():
    world = world_of("warp")
    shown = continued(world)
    world.transformer.set_memory("off", {"banks": {**BANKS, "rendered": "none", "top_k": 0}})
    try:
        plain = continued(world)
        assert plain.rendered is None
        with pytest.raises(InputError, match=r"this model \(off\) renders no memory"):
            rendered_memory(world, VIDEO, PATH[:CONTEXT], PARTS[0])
    finally:
        world.transformer.set_memory("warp", {"banks": {**BANKS, **strategy("warp").settings["banks"]}})
    assert not np.array_equal(plain.video, shown.video)
    assert np.array_equal(continued(world).video, shown.video)


def test_the_strategy_says_what_is_rendered():
    world = world_of("hybrid+hydra")
    found = {}
    for name in ("hydra", "hybrid", "warp", "hybrid+hydra"):
        settings = dict(strategy(name).settings)
        if settings["banks"] is not None:
            settings["banks"] = {**BANKS, **settings["banks"]}
        world.transformer.set_memory(name, settings)
        found[name] = continued(world)
    assert found["hydra"].rendered is None
    assert found["hydra"].retrieved is None
    assert found["warp"].retrieved.known.sum() == 0
    assert found["hybrid"].retrieved.known.sum() > 0
    assert np.array_equal(found["hybrid"].rendered, found["hybrid+hydra"].rendered)


def test_it_may_begin_at_the_render():
    world = world_of("hybrid")
    noise = continued(world).video
    weak = SamplingSettings(num_inference_steps=2, guidance_scale=1.0, seed=3, strength=0.1)
    strong = SamplingSettings(num_inference_steps=2, guidance_scale=1.0, seed=3, strength=0.999)
    assert not np.array_equal(continued(world, weak).video, noise)
    near = np.abs(continued(world, strong).video.astype(int) - noise).mean()
    far = np.abs(continued(world, weak).video.astype(int) - noise).mean()
    assert near < far


def test_masks_that_a_user_gives_are_believed():
    """Nobody anywhere: all that was seen is scenery. Somebody everywhere: nothing is."""
    world = world_of("warp")
    nobody = continued(world, subject_masks=np.zeros_like(MASKS)).rendered
    everywhere = continued(world, subject_masks=np.ones_like(MASKS)).rendered
    some = continued(world, subject_masks=MASKS).rendered
    assert (everywhere == 128).all()  # grey: nothing at all is known
    assert not np.array_equal(some, nobody)
    shares = [coverage(world, masks).mean() for masks in (np.zeros_like(MASKS), MASKS, np.ones_like(MASKS))]
    assert shares[0] > shares[1] > shares[2] == 0


@pytest.mark.parametrize(
    "masks", [MASKS[:5], MASKS[:, :16], MASKS[..., None]], ids=["frames", "size", "dimensions"]
)
def test_masks_that_do_not_fit_the_video_are_refused_in_one_line(masks):
    for show in (continued, start):
        with pytest.raises(InputError, match=r"expected subject_masks uint8 \[9, 32, 48\]") as caught:
            show(world_of("warp"), subject_masks=masks)
        assert "\n" not in str(caught.value)


def test_a_model_that_reads_no_masks_is_given_them():
    world = world_of("hybrid", rendering={"gate_width": 4, "mask_width": 0})
    with pytest.raises(InputError, match="does not read who is a subject"):
        continued(world)
    assert continued(world, subject_masks=MASKS).rendered.shape == (5, HEIGHT, WIDTH, 3)
    with pytest.raises(InputError, match="does not read who is a subject"):
        start(world, subject_masks=MASKS)


def test_the_conditioning_of_latent_frames_is_refused_in_one_line():
    cameras = camera_conditioning(PATH[:CONTEXT], PARTS[0])
    with pytest.raises(CameraError, match="needs the pose of every video frame") as caught:
        world_of("hybrid").continue_video(VIDEO, None, cameras, PROMPT, FAST)
    assert "\n" not in str(caught.value)


def test_the_lens_decides_what_is_seen():
    """A pan by 40° in 22 frames: a wider lens saw more of what comes."""
    shares = []
    for degrees in (40.0, 90.0):
        lens = Intrinsics.from_fov(width_px=WIDTH, height_px=HEIGHT, fov_x_rad=np.deg2rad(degrees))
        shares.append(coverage(world_of("warp"), np.zeros_like(MASKS), lens).mean())
    assert shares[0] < shares[1]


@torch.no_grad()
def test_a_still_camera_is_shown_the_last_thing_it_saw():
    """Rendered memory of a view that is in memory is that view; its latents are the codec's."""
    world = world_of("warp")
    still = CameraPath(
        world_from_camera=np.repeat(PATH.world_from_camera[:1], CONTEXT + 5, axis=0), intrinsics=LENS
    )
    video = np.repeat(VIDEO[:1], CONTEXT, axis=0)
    result = world.continue_video(
        video, still[:CONTEXT], still[CONTEXT:], PROMPT, FAST, subject_masks=np.zeros_like(MASKS)
    )
    assert np.array_equal(result.rendered, np.repeat(VIDEO[:1], 5, axis=0))


@torch.no_grad()
def test_a_chunk_that_goes_on_has_as_many_latent_frames_as_it_needs():
    """5 frames are 2 latent frames the first time; 4 and 8 later ones are 1 and 2, behind the frame before them."""
    world = world_of("hybrid")
    rollout = start(world, subject_masks=MASKS)
    banks, lens = rollout.state.banks, torch.from_numpy(LENS.normalized)[None]
    for frames, before, expected in ((5, None, 2), (4, rollout.last_pose, 1), (8, rollout.last_pose, 2)):
        cameras = PATH[CONTEXT : CONTEXT + frames].world_from_camera
        coming = Coming(cameras, CONTEXT + torch.arange(frames).float(), before, rollout.anchor)
        made = render_target(world, banks, coming, lens, (HEIGHT, WIDTH), torch.Generator())
        assert made.condition.shape == (1, 24, expected, HEIGHT // 8, WIDTH // 8)
        assert made.given.shape == (1, frames, 5, HEIGHT, WIDTH)
        assert made.pixels.shape == (frames, HEIGHT, WIDTH, 3)
        # Each latent frame's coverage is that of the four frames that it stands for (the first alone the first time).
        coverage = made.given[0, :, 3].unflatten(1, (-1, 8)).unflatten(3, (-1, 8)).mean(dim=(2, 4))
        folded = made.condition[0, 16:20, -1]
        torch.testing.assert_close(folded, coverage[-4:], rtol=1e-4, atol=1e-4)


def test_who_is_where_is_drawn_by_the_seed():
    """A subject put into the banks by hand, its place uncertain by 0.5 m."""
    shown = {}
    for draw in (0.0, 1.0):
        world = world_of("hybrid", banks={"place_draw": draw})
        for seed in (1, 1, 2):
            banks = start(world, subject_masks=MASKS).state.banks
            tracks = banks.tracks._replace(
                filled=torch.tensor([[True, False]]), tentative=torch.zeros(1, 2, dtype=torch.bool),
                position=torch.tensor([[[0.0, 0.5, 5.0], [0.0, 0, 0]]]),
                covariance=torch.full_like(banks.tracks.covariance, 0.25),
            )  # fmt: skip
            cutouts = banks.cutouts._replace(quality=torch.ones_like(banks.cutouts.quality))
            cutouts.pixels[:, 0] = 255
            cutouts.box[..., 2:] = 0.5
            pose, times = torch.eye(3, 4).reshape(1, 1, 12), torch.full((1, 1), 9.0)
            drawn = world.transformer.render(
                banks._replace(tracks=tracks, cutouts=cutouts), pose, times, torch.from_numpy(LENS.normalized)[None],
                (HEIGHT, WIDTH), torch.Generator().manual_seed(seed),
            )  # fmt: skip
            shown.setdefault(draw, []).append(drawn.subject)
    assert all(part.any() for part in (*shown[0.0], shown[1.0][0]))
    assert torch.equal(shown[0.0][0], shown[0.0][2])
    assert torch.equal(shown[1.0][0], shown[1.0][1])
    assert not torch.equal(shown[1.0][0], shown[1.0][2])


def test_banks_without_pictures_are_not_rendered():
    world = world_of("hybrid")
    banks, _ = world.transformer.observe_context(
        torch.zeros(1, 16, 1, 4, 6), torch.eye(3, 4).reshape(1, 1, 12)
    )
    with pytest.raises(InputError, match="keep no pictures"):
        world.transformer.render(
            banks, torch.eye(3, 4).reshape(1, 1, 12), torch.ones(1, 1), torch.ones(1, 4), (8, 8)
        )


def test_the_share_of_latent_frames():
    masks = np.arange(13, dtype=np.uint8)[:, None, None].repeat(2, axis=1)
    share = subject_share(masks, torch.zeros(1, 9, 3, 2, 1), 4)
    assert share[0, :, 0, 0].tolist() == [0, 1, 1]
    assert subject_share(None, torch.zeros(1, 9, 3, 2, 1), 4) is None


def test_the_skip_is_shown_the_render():
    torch.manual_seed(0)
    world = world_of("warp")
    vae = PatchVideoAutoencoder(width=8, num_layers=1, skip_width=4).eval()
    made = type(world)(
        transformer=world.transformer, vae=vae, text_encoder=tiny_text_encoder(), tokenizer=world.tokenizer,
        scheduler=world.scheduler,
    )  # fmt: skip
    made.set_progress_bar_config(disable=True)
    masks = np.zeros_like(MASKS)
    plain = continued(made, subject_masks=masks)
    vae.skip.strength.data.fill_(1.0)
    vae.skip.told.bias.data[0] = 50.0
    through = continued(made, subject_masks=masks)
    covered = coverage(made, masks) > 0.999
    assert covered.mean() > 0.5
    assert np.abs(through.video.astype(int) - through.rendered)[covered].max() <= 1
    assert not np.array_equal(plain.video, through.video)
    stepped = start(made, subject_masks=masks).step(PARTS[0])
    assert np.abs(stepped.astype(int) - through.video).max() <= 1


# Step by step


@pytest.fixture(scope="module")
def in_one_go(world):
    rollout = start(world)
    shown = [rollout.step(part) for part in PARTS]
    return shown, rollout.state.banks, [record.rendered for record in rollout.records]


def test_every_step_renders_before_it_generates(world, in_one_go):
    shown, banks, rendered = in_one_go
    assert [frames.shape for frames in shown] == [(size, HEIGHT, WIDTH, 3) for size in SIZES]
    assert [frames.shape for frames in rendered] == [frames.shape for frames in shown]
    assert torch.equal(banks.views.filled, banks.archive.filled)
    assert torch.equal(banks.views.times[banks.views.filled], banks.archive.times[banks.archive.filled])
    rollout = start(world)
    rollout.step(PARTS[0])
    assert {"render", "keys"} <= set(rollout.records[-1].seconds)


def test_warp_walks_without_keys():
    rollout = start(world_of("warp"))
    shown = [rollout.step(part) for part in PARTS[:2]]
    assert [len(frames) for frames in shown] == [5, 8]
    assert "keys" not in rollout.records[-1].seconds
    assert rollout.records[-1].slots == ()
    assert np.abs(continued(world_of("warp")).video.astype(int) - shown[0]).max() <= 1


def test_the_first_step_is_what_continuing_at_once_shows(world, in_one_go):
    result = continued(world)
    assert np.abs(result.rendered.astype(int) - in_one_go[2][0]).max() <= 1
    assert np.abs(result.video.astype(int) - in_one_go[0][0]).max() <= 1


@pytest.mark.parametrize("step", [0, 2])
def test_saved_and_resumed_to_the_bit(world, in_one_go, tmp_path, step):
    rollout = start(world)
    for part in PARTS[:step]:
        rollout.step(part)
    rollout.save(tmp_path / "walk")
    resumed = world.resume(tmp_path / "walk")
    assert same_banks(resumed.state.banks, rollout.state.banks)
    assert resumed.state.banks.views is not None
    shown = [resumed.step(part) for part in PARTS[step:]]
    assert all(np.array_equal(one, other) for one, other in zip(shown, in_one_go[0][step:], strict=True))
    assert same_banks(resumed.state.banks, in_one_go[1])
    assert np.array_equal(resumed.records[-1].rendered, in_one_go[2][-1])


def test_forked_and_rewound_to_the_bit(world, in_one_go):
    rollout = start(world, limits=RolloutLimits(keep_steps=3))
    rollout.step(PARTS[0])
    fork = rollout.fork()
    fork.step(path("pan:right:20", 9, start=rollout.last_pose)[1:])
    for part in PARTS[1:]:
        rollout.step(part)
    assert same_banks(rollout.state.banks, in_one_go[1])
    rollout.rewind(1)
    shown = [rollout.step(part) for part in PARTS[1:]]
    assert all(np.array_equal(one, other) for one, other in zip(shown, in_one_go[0][1:], strict=True))
    assert same_banks(rollout.state.banks, in_one_go[1])
    assert not same_banks(fork.state.banks, in_one_go[1])


def test_the_state_stays_as_large_as_it_is():
    rollout = start(world_of("hybrid"), limits=RolloutLimits(keep_steps=0))
    sizes = []
    for step in range(4):
        pose = rollout.last_pose
        frames = 5 if step == 0 else 4
        rollout.step(CameraPath(world_from_camera=np.repeat(pose[None], frames, axis=0), intrinsics=LENS))
        sizes.append({name: tuple(value.shape) for name, value in bank_tensors(rollout.state.banks).items()})
    assert sizes[1:] == sizes[:-1]


@pytest.mark.parametrize(("way", "born"), [("pan:left:112", False), ("still", True)])
def test_what_is_invented_where_nothing_was_known_is_no_subject(world, monkeypatch, way, born):
    """Mist that a reader takes for a subject by its looks would be left out of the views, and never settle."""
    monkeypatch.setattr(MaskReader, "shares", lambda _, evidence: torch.ones_like(evidence[:, 0]))
    rollout = start(world, subject_masks=np.zeros_like(MASKS))
    rollout.step(path(way, 5, start=rollout.last_pose))
    views, last = rollout.state.banks.views, rollout.memory.archive.times[0].argmax()
    assert born or (views.static[0, last] == 255).all()
    assert (rollout.memory.tracks.last_seen[0].max() >= views.times[0, last]) == born


def test_what_is_forgotten_is_rendered_no_more():
    world = world_of("warp")
    rollout = start(world, subject_masks=np.zeros_like(MASKS))
    for slot in rollout.memory.archive.filled[0].nonzero().flatten().tolist():
        rollout.memory.forget(slot=slot)
    rollout.step(PARTS[0])
    assert (rollout.records[-1].rendered == 128).all()


def test_a_model_without_rendered_memory_keeps_no_pictures():
    settings = {**strategy("hybrid").settings, "banks": BANKS}
    world = tiny_world(memory_strategy="hybrid", **settings)
    world.set_progress_bar_config(disable=True)
    rollout = start(world)
    rollout.step(PARTS[0])
    assert rollout.state.banks.views is None
    assert rollout.records[-1].rendered is None
    assert not tiny_transformer(memory_strategy="hybrid", **settings).shows_rendered
