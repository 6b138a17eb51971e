"""Rollouts of a tiny model: in one go, saved and resumed, forked and rewound, they are the same, bit for bit."""

import json
from copy import deepcopy

import numpy as np
import pytest
import torch

from models import tiny_text_encoder, tiny_world
from outofsight.errors import CameraError, CheckpointError, InputError, OutputError
from outofsight.geometry.path_expressions import make_path
from outofsight.memory.banks.state import bank_tensors
from outofsight.memory.strategies import strategy
from outofsight.sampling.card_fit import rollout_size
from outofsight.sampling.continuation import SamplingSettings
from outofsight.sampling.plan import VideoSize
from outofsight.sampling.rollout_state import RolloutLimits
from outofsight.sampling.world import WorldModel
from outofsight.types import CameraPath, Intrinsics

FAST = SamplingSettings(num_inference_steps=2, guidance_scale=1.0)
CONTEXT, SIZES = 9, (5, 8, 4, 8)
KINDS = ("window", "hydra", "hybrid", "hybrid+hydra")
BANKS = {"archive_slots": 4, "subject_slots": 2, "top_k": 3, "reader_width": 8, "identity_width": 4}


def changes(kind):
    settings = dict(strategy(kind).settings)
    if settings.get("banks") is not None:
        settings["banks"] = {**settings["banks"], **BANKS}
    return settings


_worlds = {}


def world_of(kind):
    if kind not in _worlds:
        _worlds[kind] = tiny_world(memory_strategy=kind, **changes(kind))
        _worlds[kind].set_progress_bar_config(disable=True)
    return _worlds[kind]


@pytest.fixture(scope="module", params=KINDS)
def world(request):
    return world_of(request.param)


VIDEO = np.random.default_rng(0).integers(0, 256, (CONTEXT, 32, 48, 3), dtype=np.uint8)
PATH = make_path("pan:left:40", CONTEXT + sum(SIZES))
PARTS = [
    PATH[start : start + size]
    for start, size in zip(CONTEXT + np.cumsum((0, *SIZES[:-1])), SIZES, strict=True)
]
PROMPT, LATER = "A fox crosses a yard.", "Snow falls."


def start(world, **options):
    return world.start(VIDEO, PATH[:CONTEXT], PROMPT, seed=3, settings=FAST, **options)


def walk(rollout, parts=PARTS, prompt_at=2):
    shown = []
    for part in parts:
        if rollout.num_steps == prompt_at:
            rollout.prompt = LATER
        shown.append(rollout.step(part))
    return shown


@pytest.fixture(scope="module")
def in_one_go(world):
    return walk(start(world))


def assert_same(shown, expected):
    assert len(shown) == len(expected)
    assert all(np.array_equal(one, other) for one, other in zip(shown, expected, strict=True))


def test_every_step_shows_a_frame_for_each_camera(world, in_one_go):
    assert [frames.shape for frames in in_one_go] == [(size, 32, 48, 3) for size in SIZES]
    rollout = start(world)
    rollout.step(PARTS[0])
    rollout.step(PARTS[1])
    assert (rollout.num_steps, rollout.num_frames) == (2, 13)
    assert np.array_equal(rollout.last_pose, PARTS[1].world_from_camera[-1])
    assert {"denoise", "decode"} <= set(rollout.records[-1].seconds)
    record = rollout.records[-1]
    assert (record.step, record.first_frame, record.num_frames) == (2, 5, 8)
    # Context frames are 0 to 8; step 1 shows 9 to 13, step 2 shows 14 to 21: latent frames of 4 end at 17 and 21.
    assert record.times.tolist() == [17.0, 21.0]


def test_the_first_step_is_what_continuing_at_once_shows(world, in_one_go):
    at_once = world.continue_video(
        VIDEO,
        PATH[:CONTEXT],
        PARTS[0],
        PROMPT,
        SamplingSettings(num_inference_steps=2, guidance_scale=1.0, seed=3),
    )
    assert np.abs(at_once.video.astype(int) - in_one_go[0]).max() <= 1


@pytest.mark.parametrize(
    ("kind", "kept"), [("window", 2), ("hybrid", 3), ("hybrid+hydra", 5), ("ssm", 5), ("concat", 5)]
)
def test_no_more_history_is_kept_than_is_looked_at(kind, kept):
    """Context of 5 latent frames, window of 2; the reader of ``hybrid`` looks 3 back. The frames are the same."""
    world = tiny_world(memory_strategy=kind, **{**changes(kind), "context_recent": 2})
    world.set_progress_bar_config(disable=True)
    video = np.random.default_rng(1).integers(0, 256, (17, 32, 48, 3), dtype=np.uint8)
    path = make_path("pan:left:40", 22)
    rollout = world.start(video, path[:17], PROMPT, seed=3, settings=FAST)
    assert rollout.state.latents.shape[2] == len(rollout.state.poses) == kept
    settings = SamplingSettings(num_inference_steps=2, guidance_scale=1.0, seed=3)
    at_once = world.continue_video(video, path[:17], path[17:], PROMPT, settings)
    assert np.abs(at_once.video.astype(int) - rollout.step(path[17:])).max() <= 1
    assert rollout.state.latents.shape[2] == kept


@pytest.mark.parametrize("step", [0, 1, 3])
def test_saved_and_resumed(world, in_one_go, tmp_path, step):
    rollout = start(world)
    rollout.notes["where"] = step
    shown = walk(rollout, PARTS[:step])
    rollout.save(tmp_path / "walk")
    walk(rollout, PARTS[step:])  # what goes on after saving does not matter
    resumed = world.resume(tmp_path / "walk")
    assert (resumed.num_steps, resumed.notes) == (step, {"where": step})
    assert_same(shown + walk(resumed, PARTS[step:]), in_one_go)


def test_forked(world, in_one_go):
    rollout = start(world)
    shown = walk(rollout, PARTS[:2])
    fork = rollout.fork()
    fork.prompt = "A red bus."
    turned = make_path("pan:right:30", 9, start=rollout.last_pose)[1:]
    assert not np.array_equal(fork.step(turned), in_one_go[2][:1])
    assert_same(shown + walk(rollout, PARTS[2:]), in_one_go)
    assert fork.num_steps == 3


def test_rewound(world, in_one_go):
    rollout = start(world, limits=RolloutLimits(keep_steps=3))
    walk(rollout)
    rollout.rewind(1)
    assert (rollout.num_steps, rollout.prompt, len(rollout.records)) == (1, PROMPT, 1)
    assert_same(walk(rollout, PARTS[1:]), in_one_go[1:])
    with pytest.raises(InputError, match="cannot rewind to step 0: moments 1 to 4 are kept"):
        rollout.rewind(0)
    with pytest.raises(InputError, match="cannot rewind to step 9"):
        rollout.rewind(9)


def test_a_resumed_rollout_can_be_rewound(world, in_one_go, tmp_path):
    rollout = start(world)
    walk(rollout, PARTS[:3])
    rollout.save(tmp_path / "walk")
    resumed = world.resume(tmp_path / "walk")
    resumed.rewind(1)
    assert resumed.num_steps == 1
    assert_same(walk(resumed, PARTS[1:]), in_one_go[1:])


def test_nothing_grows(world, tmp_path):
    rollout = start(world, limits=RolloutLimits(keep_steps=1))
    sizes = []
    pose = rollout.last_pose
    for step in range(9):
        rollout.step(still(pose, 5 if step == 0 else 4))
        rollout.save(tmp_path / "walk")
        sizes.append(sum(path.stat().st_size for path in (tmp_path / "walk").glob("*.safetensors")))
    assert max(sizes[4:]) <= 2 * sizes[0]


def still(pose, frames):
    return CameraPath(world_from_camera=np.repeat(pose[None], frames, axis=0))


def test_the_state_is_as_large_as_counted_on_meta(world):
    rollout = start(world)
    walk(rollout, PARTS[:3])
    state, parts = rollout.state, ("transformer", "vae")
    networks = {name: deepcopy(getattr(world, name)).to("meta") for name in parts}
    size = VideoSize(height=32, width=48, context_frames=CONTEXT, target_frames=5)
    reported = rollout_size(networks, size, 1)
    assert reported.history == state.latents.nbytes
    assert reported.decoder == sum(value.nbytes for value in state.decoded.kept.values())
    banks = {} if state.banks is None else bank_tensors(state.banks)
    assert reported.banks == sum(value.nbytes for value in banks.values())


@pytest.mark.parametrize("keep_in", ["memory", "disk"])
def test_a_save_writes_what_is_new(world, in_one_go, tmp_path, keep_in):
    """And what it finds of it there already, after any kill, it does not write again."""
    rollout = start(world, limits=RolloutLimits(keep_in=keep_in))
    found = [set()]
    for part in PARTS[:3]:
        rollout.step(part)
        rollout.save(tmp_path / "walk")
        found.append(written(tmp_path / "walk"))
    newest = found[3] - found[2]
    assert 0 < size(newest) < 0.5 * size(found[3])  # of the moments after 0, 1, 2 and 3 steps, the last
    resumed = world.resume(tmp_path / "walk")
    resumed.save(tmp_path / "walk")
    assert written(tmp_path / "walk") == found[3]
    assert resumed.limits.keep_in == keep_in
    resumed.rewind(1)
    assert_same(walk(resumed, PARTS[1:]), in_one_go[1:])


def size(files):
    return sum(size for _, size in files)


def written(folder):
    return {(path.name, path.stat().st_size) for path in folder.glob("*.safetensors")}


@pytest.fixture(scope="module")
def hybrid():
    return world_of("hybrid")


@pytest.fixture
def remembering(hybrid):
    """A rollout whose archive holds places, and whose tracker follows one subject, placed there by hand."""
    rollout = start(hybrid)
    tracks = rollout.memory.tracks
    followed = tracks._replace(
        filled=torch.tensor([[True, False]]),
        tentative=torch.tensor([[False, False]]),
        number=torch.tensor([[7, 0]]),
        confidence=torch.tensor([[1.0, 0.0]]),
        identity=torch.eye(4)[:2][None],
        tokens=torch.ones_like(tracks.tokens),
        covariance=torch.full_like(tracks.covariance, 0.25),
        last_seen=torch.tensor([[4.0, 0.0]]),
        position=torch.tensor([[[1.0, 0.5, 6.0], [0.0, 0.0, 0.0]]]),
    )
    rollout.replace_banks(rollout.memory.banks._replace(tracks=followed))
    return rollout


def test_every_step_tells_what_was_retrieved(hybrid):
    rollout = start(hybrid)
    assert rollout.memory.archive.filled.any()  # the context is filed before the first step
    rollout.step(PARTS[0])
    rollout.step(PARTS[1])
    record = rollout.records[-1]
    assert record.scores.shape == (2, BANKS["archive_slots"] + BANKS["subject_slots"])
    torch.testing.assert_close(record.scores.sum(dim=1), torch.ones(2))
    filled = set(record.archive.filled[0].nonzero().flatten().tolist())
    assert 0 < len(record.slots) <= BANKS["top_k"]
    assert {slot for slot in record.slots if slot < BANKS["archive_slots"]} <= filled
    assert record.tracks.position.shape == (2, 2, 3)  # latent frames, subjects
    assert record.archive.tokens.numel() == record.tracks.tokens.numel() == 0
    assert set(record.seconds) == {"retrieve", "keys", "denoise", "observe", "decode"}
    assert float(rollout.memory.banks.time) == record.times[-1]


def test_what_is_remembered_matters(hybrid):
    rollout, forgetful = start(hybrid), start(hybrid)
    for slot in forgetful.memory.archive.filled[0].nonzero().flatten().tolist():
        forgetful.memory.forget(slot=slot)
    assert not np.array_equal(rollout.step(PARTS[0]), forgetful.step(PARTS[0]))


def test_subjects_are_told_and_touched_in_the_world(remembering):
    memory = remembering.memory
    (subject,) = memory.subjects
    anchor = remembering.anchor
    np.testing.assert_allclose(subject.position_m, anchor[:, :3] @ [1.0, 0.5, 6.0] + anchor[:, 3], atol=1e-6)
    assert (subject.number, subject.spread_m, subject.unseen_frames) == (7, 0.5, 4.0)
    memory.edit(7, position_m=[2.0, 3.0, 0.0], velocity_m=[0.1, 0.0, 0.0])
    (moved,) = memory.subjects
    np.testing.assert_allclose(moved.position_m, [2.0, 3.0, 0.0], atol=1e-5)
    np.testing.assert_allclose(moved.velocity_m, [0.1, 0.0, 0.0], atol=1e-6)
    memory.pin(subject=7)
    assert memory.subjects[0].pinned
    memory.forget(subject=7)
    assert memory.subjects == []
    with pytest.raises(InputError, match="no subject 7 is followed"):
        memory.pin(subject=7)
    with pytest.raises(InputError, match="three finite numbers"):
        memory.edit(7, position_m=[1.0, 2.0])


def test_touching_one_rollout_leaves_its_fork_alone(remembering, tmp_path):
    fork = remembering.fork()
    remembering.memory.pin(slot=0)
    remembering.memory.edit_place(0, tokens=torch.zeros_like(remembering.memory.archive.tokens[0, 0]))
    assert remembering.memory.archive.pinned[0, 0]
    assert not fork.memory.archive.pinned[0, 0]
    assert fork.memory.archive.tokens[0, 0].abs().sum() > 0
    remembering.save(tmp_path / "walk")
    resumed = remembering.world.resume(tmp_path / "walk")
    assert resumed.memory.archive.pinned[0, 0]
    assert np.array_equal(resumed.step(PARTS[0]), remembering.step(PARTS[0]))


def test_a_bank_too_small_for_a_frame():
    banks = {**BANKS, "kernel": (1, 3, 3)}
    world = tiny_world(memory_strategy="hybrid", **{**changes("hybrid"), "banks": banks})
    with pytest.raises(InputError, match="3×3 tokens, a frame of 32×48 pixels has 2×3; give a larger video"):
        start(world)


# What does not depend on the strategy is asked of one.


@pytest.fixture(scope="module")
def hydra():
    return world_of("hydra")


@pytest.mark.parametrize(
    "changed", [{"prompt": "A red bus."}, {"seed": 4}, {"settings": SamplingSettings(num_inference_steps=3)}]
)
def test_what_is_given_matters(hydra, changed):
    given = {"prompt": PROMPT, "seed": 3, "settings": FAST, **changed}
    other = hydra.start(VIDEO, PATH[:CONTEXT], given.pop("prompt"), **given)
    assert not np.array_equal(other.step(PARTS[0]), start(hydra).step(PARTS[0]))


def test_with_guidance_and_in_tiles(hydra, tmp_path):
    from outofsight.codec.latent_tiling import LatentTiling  # noqa: PLC0415

    settings = SamplingSettings(num_inference_steps=2, guidance_scale=3.0, negative_prompt="blurry")
    tiling = LatentTiling(tile=(4, 4), stride=(2, 3))
    rollout = hydra.start(VIDEO, PATH[:CONTEXT], PROMPT, settings=settings, tiling=tiling)
    rollout.step(PARTS[0])
    rollout.save(tmp_path / "walk")
    resumed = hydra.resume(tmp_path / "walk")
    assert resumed.settings == settings
    assert np.array_equal(resumed.step(PARTS[1]), rollout.step(PARTS[1]))


def test_history_guidance_draws_from_the_same_generator(tmp_path):
    world = world_of("dfot")
    rollout = start(world)
    rollout.step(PARTS[0])
    rollout.save(tmp_path / "walk")
    assert np.array_equal(world.resume(tmp_path / "walk").step(PARTS[1]), rollout.step(PARTS[1]))


def test_masks_go_on_as_subjects_were_last_seen_to_move(tmp_path):
    world = world_of("segmentation")
    masks = np.zeros((CONTEXT, 32, 48), np.uint8)
    masks[:, 8:24, 16:32] = 1
    rollout = start(world, subject_masks=masks)
    rollout.step(PARTS[0])
    assert rollout.state.masks.shape == (1, 1, 3, 4, 6)
    assert rollout.state.masks[:, :, -1].sum() > 0
    rollout.save(tmp_path / "walk")
    assert np.array_equal(world.resume(tmp_path / "walk").step(PARTS[1]), rollout.step(PARTS[1]))
    with pytest.raises(InputError, match="masks of where subjects will be"):
        start(world_of("oracle"), subject_masks=masks)


def test_retrieval_may_be_recorded(hydra):
    rollout = start(hydra, record_retrieval=True)
    rollout.step(PARTS[0])
    assert rollout.records[-1].slices.shape == (2, 2, 3 + 2, 2)  # steps, layers, latent frames, top_k


def test_progress_is_told(hydra):
    reported = []
    start(hydra, on_progress=lambda *what: reported.append(what)).step(PARTS[0])
    assert ("denoise", 2, 2) in reported
    assert reported[-1] == ("decode", 1, 1)


@pytest.mark.parametrize(
    ("cameras", "says"),
    [
        (
            lambda: PATH[CONTEXT : CONTEXT + 4],
            r"step 1, the coming cameras: expected 4·k \+ 1 .* got 4; .*: 1 or 5",
        ),
        (lambda: still(PATH.world_from_camera[0] + 5.0 * np.eye(3, 4, 3), 5), "do not go on with the path"),
        (lambda: make_path("pan:left:130", 6, start=PATH.world_from_camera[8])[1:], "is 0 m and 26°"),
    ],
)
def test_cameras_that_do_not_fit(hydra, cameras, says):
    rollout = start(hydra, limits=RolloutLimits(max_turn_deg=20))
    before = rollout.state
    with pytest.raises(CameraError, match=says):
        rollout.step(cameras())
    assert rollout.state is before
    assert len(rollout.step(PARTS[0])) == 5


def through(path, fov_x_deg, size=(32, 48)):
    lens = Intrinsics.from_fov(width_px=size[1], height_px=size[0], fov_x_rad=np.deg2rad(fov_x_deg))
    return CameraPath(world_from_camera=path.world_from_camera, intrinsics=lens)


@pytest.fixture(scope="module")
def looking():
    """A model with banks whose tokens know their rays, and so the lens."""
    world = tiny_world(memory_strategy="hybrid", camera_ray_octaves=2, **changes("hybrid"))
    world.set_progress_bar_config(disable=True)
    for block in world.transformer.blocks:
        torch.nn.init.normal_(
            block.attn1.ray_encoder.weight, std=0.2, generator=torch.Generator().manual_seed(0)
        )
    return world


def test_a_walk_is_seen_through_the_contexts_lens(looking, tmp_path):
    """Told by the context alone, it is kept with the state; cameras may repeat it, and have no other."""
    rollout = looking.start(VIDEO, through(PATH[:CONTEXT], 60), PROMPT, seed=3, settings=FAST)
    assert np.degrees(rollout.fov_x_rad) == pytest.approx(60, abs=1e-3)
    before = rollout.state
    with pytest.raises(CameraError, match=r"step 1: the cameras have another lens .*0\.866.*; start it with"):
        rollout.step(through(PARTS[0], 61))
    assert rollout.state is before
    shown = rollout.step(through(PARTS[0], 60, size=(64, 96)))  # the same lens, at twice the size
    rollout.save(tmp_path / "walk")
    assert np.array_equal(looking.resume(tmp_path / "walk").step(PARTS[1]), rollout.step(PARTS[1]))
    unknown = start(looking)
    assert np.degrees(unknown.fov_x_rad) == pytest.approx(90, abs=1e-3)  # as the tiny model is configured
    assert not np.array_equal(unknown.step(PARTS[0]), shown)
    with pytest.raises(CameraError, match="start it with the context's cameras and lens"):
        unknown.step(through(PARTS[1], 60))
    same = looking.start(VIDEO, through(PATH[:CONTEXT], 90), PROMPT, seed=3, settings=FAST)
    assert np.array_equal(same.step(PARTS[0]), start(looking).step(PARTS[0]))  # the default, said aloud


def test_a_lens_of_another_picture_is_refused(hydra):
    with pytest.raises(CameraError, match="a picture of 60×60, but the video has 32×48"):
        hydra.start(VIDEO, through(PATH[:CONTEXT], 60, size=(60, 60)), PROMPT)


def test_later_steps_take_whole_latent_frames(hydra):
    rollout = start(hydra)
    rollout.step(PARTS[0])
    with pytest.raises(
        CameraError, match=r"step 2, the coming cameras: expected 4·k video frames, got 5; .*: 4 or 8"
    ):
        rollout.step(PATH[14:19])


def test_a_closed_rollout(hydra, tmp_path):
    with start(hydra) as rollout:
        rollout.step(PARTS[0])
    for call in (lambda: rollout.step(PARTS[1]), lambda: rollout.save(tmp_path / "w"), rollout.fork):
        with pytest.raises(InputError, match="this rollout is closed"):
            call()
    assert not (tmp_path / "w").exists()


def test_other_refusals(hydra):
    rollout = start(hydra)
    with pytest.raises(InputError, match="empty"):
        rollout.prompt = "  "
    assert rollout.prompt == PROMPT
    with pytest.raises(InputError, match="empty"):
        hydra.start(VIDEO, PATH[:CONTEXT], " ", settings=FAST)
    with pytest.raises(CameraError, match="9 frames, its camera path 5"):
        hydra.start(VIDEO, PATH[:5], PROMPT, settings=FAST)
    with pytest.raises(InputError, match="no banks to look at"):
        rollout.memory.banks  # noqa: B018
    with pytest.raises(InputError, match="keep_steps: expected greater than or equal to 0"):
        RolloutLimits(keep_steps=-1)


def test_a_model_that_remembers_otherwise_by_now(tmp_path):
    world = tiny_world(memory_strategy="hydra", **changes("hydra"))
    world.set_progress_bar_config(disable=True)
    rollout = start(world)
    world.set_memory("window")
    for call in (
        lambda: rollout.step(PARTS[0]),
        lambda: rollout.fork().step(PARTS[0]),
        lambda: rollout.save(tmp_path / "w"),
    ):
        with pytest.raises(InputError, match=r"remembers by hydra, its model by window since; .*set_memory"):
            call()
    assert not (tmp_path / "w").exists()
    world.set_memory("hydra")
    assert rollout.step(PARTS[0]).shape[0] == SIZES[0]


def test_a_step_that_fails_changes_nothing(hydra, monkeypatch):
    rollout, other = start(hydra), start(hydra)
    before = rollout.state
    with monkeypatch.context() as patch:
        patch.setattr("outofsight.sampling.rollout_step.to_uint8", None)
        with pytest.raises(TypeError):
            rollout.step(PARTS[0])
    assert rollout.state is before
    assert np.array_equal(rollout.step(PARTS[0]), other.step(PARTS[0]))


@pytest.fixture
def saved(hydra, tmp_path):
    rollout = start(hydra)
    rollout.step(PARTS[0])
    rollout.save(tmp_path / "walk")
    return tmp_path / "walk"


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def spoil_tensors(folder):
    (path,) = folder.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-7] + b"damaged")


def drop_tensors(folder):
    next(folder.glob("*.safetensors")).unlink()


def truncate_manifest(folder):
    path = folder / "rollout.json"
    path.write_text(path.read_text()[:-100])


def edit_manifest(**changes):
    def edit(folder):
        path = folder / "rollout.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return edit


def drop_from_manifest(name):
    def drop(folder):
        path = folder / "rollout.json"
        facts = json.loads(path.read_text())
        del facts[name]
        path.write_text(json.dumps(facts))

    return drop


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (spoil_tensors, "damaged: its checksum"),
        (drop_tensors, "missing; the state is not whole"),
        (truncate_manifest, "rollout.json: damaged"),
        (edit_manifest(version=9), "version 4, got version 9"),
        (edit_manifest(version=1), "version 4, got version 1; begin the rollout anew"),
        (edit_manifest(version=3), "version 4, got version 3; begin the rollout anew"),  # it was one file
        (edit_manifest(moments=[{}]), "a damaged state"),
        (edit_manifest(moments=[]), "it holds no moment"),
        (edit_manifest(memory=None), "memory is None"),
        (edit_manifest(notes=[1]), r"notes is \[1\]"),
        (drop_from_manifest("weights"), "a damaged state .*'weights'"),
        (edit_manifest(settings={"num_inference_steps": 0}), "a damaged state"),
        (edit_manifest(weights="0" * 64), "the state of another model"),
        (edit_manifest(text_dtype="bfloat16"), "text encoder in bfloat16, this model's is in float32"),
        (edit_manifest(dtype="bfloat16"), "made in bfloat16, this model is in float32"),
        (edit_manifest(memory={"memory_top_k": 5}), "made with memory_top_k=5, this model has 10"),
        (lambda folder: (folder / "rollout.json").unlink(), r"found no rollout\.json"),
    ],
)
def test_a_damaged_or_foreign_state(hydra, saved, spoil, says):
    spoil(saved)
    before = content(saved)
    with pytest.raises(CheckpointError, match=says) as caught:
        hydra.resume(saved)
    assert "\n" not in str(caught.value)
    assert content(saved) == before


def test_another_models_state(saved):
    other = tiny_world(seed=5, memory_strategy="hydra", **changes("hydra"))
    before = content(saved)
    with pytest.raises(CheckpointError, match="the state of another model"):
        other.resume(saved)
    assert content(saved) == before


def test_another_text_encoders_state(hydra, saved):
    """New captions would be told in another tongue than those that the walk knows already."""
    others = {**hydra.components, "text_encoder": tiny_text_encoder(seed=5)}
    before = content(saved)
    with pytest.raises(CheckpointError, match="the state of another model"):
        WorldModel(**others).resume(saved)
    assert content(saved) == before


def fails_on_a_full_disk(rollout, folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("outofsight.files.os.replace", full)
        with pytest.raises(OutputError, match="No space left on device"):
            rollout.save(folder)


def test_a_save_that_fails_leaves_the_state_before(hydra, saved, monkeypatch):
    rollout = hydra.resume(saved)
    rollout.step(PARTS[1])
    before = content(saved)
    fails_on_a_full_disk(rollout, saved, monkeypatch)
    assert content(saved) == before
    rollout.save(saved)
    assert hydra.resume(saved).num_steps == 2


def test_a_save_that_fails_over_a_damaged_state_says_so(hydra, saved, monkeypatch):
    rollout = hydra.resume(saved)
    truncate_manifest(saved)
    before = content(saved)
    fails_on_a_full_disk(rollout, saved, monkeypatch)
    assert content(saved) == before
    rollout.save(saved)
    assert hydra.resume(saved).num_steps == 1


def test_cameras_that_may_jump_as_they_like_are_kept_so(hydra, tmp_path):
    limits = RolloutLimits(max_move_m=float("inf"), max_turn_deg=180.0)
    start(hydra, limits=limits).save(tmp_path / "walk")
    assert "Infinity" not in (tmp_path / "walk" / "rollout.json").read_text()
    assert hydra.resume(tmp_path / "walk").limits == limits


def test_other_things_are_not_overwritten(hydra, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds other things \(mine\.txt\)"):
        start(hydra).save(tmp_path)
    with pytest.raises(OutputError, match="is a file"):
        start(hydra).save(tmp_path / "mine.txt")
    rollout = start(hydra)
    rollout.notes["tensor"] = torch.zeros(1)
    with pytest.raises(InputError, match="expected JSON values"):
        rollout.save(tmp_path / "walk")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_model_is_loaded_by_its_name(tmp_path):
    world_of("window").save_pretrained(tmp_path / "model")
    world = WorldModel.from_pretrained(tmp_path / "model")
    world.set_progress_bar_config(disable=True)
    rollout = start(world)
    rollout.step(PARTS[0])
    rollout.save(tmp_path / "walk")
    resumed = WorldModel.resume(tmp_path / "walk")
    assert resumed.world is not world
    difference = resumed.step(PARTS[1]).astype(int) - rollout.step(PARTS[1])
    assert (
        np.abs(difference).max() <= 1
    )  # weights lie differently in memory: the last bit of a sum may differ
    start(tiny_world(memory_strategy="hydra", **changes("hydra"))).save(tmp_path / "nameless")
    with pytest.raises(CheckpointError, match="does not say where its model is"):
        WorldModel.resume(tmp_path / "nameless")
