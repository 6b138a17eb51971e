"""Both banks on the way through a video: bounded, float32, whole = streamed, and told what to believe."""

import pytest
import torch

from models import lens, turned_cameras
from outofsight.errors import InputError
from outofsight.memory.banks.scene_reader import reading_from_truth, shares_of_boxes
from outofsight.memory.banks.state import BankSettings, SceneReading, bank_tensors
from outofsight.memory.banks.two_banks import TwoBankMemory, latent_times
from outofsight.types import LatentGrid

GRID = LatentGrid(frames=1, height=4, width=6)
SETTINGS = BankSettings(archive_slots=3, subject_slots=2, top_k=4, reader_width=8, identity_width=4)
DIM = 12
LENS = lens(78, 4, 6)


def memory(**changes) -> TwoBankMemory:
    torch.manual_seed(0)
    settings = BankSettings(**{**SETTINGS.__dict__, **changes})
    return TwoBankMemory(settings, DIM, channels=16, patch=(2, 2))


def video(frames: int, batch: int = 1, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Tokens, latents, a camera that turns 30° a frame, so that every frame is another place; times and its lens."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(batch, frames, 24, DIM, generator=generator)
    latents = torch.randn(batch, 16, frames, 8, 12, generator=generator)
    poses = turned_cameras(*[30.0 * i for i in range(frames)]).expand(batch, -1, -1)
    return tokens, latents, poses, latent_times(frames, 0)[0].expand(batch, -1), LENS.expand(batch, -1)


def somebody(frames: int, batch: int = 1) -> SceneReading:
    """One subject, plain to see, 5 m ahead of the first camera, in the token at row 2, column 3, in every frame."""
    shape = (batch, frames, 4, 6)
    dynamic = torch.full(shape, -8.0)
    dynamic[:, :, 2, 3] = 8.0
    identity = torch.zeros(*shape, 4)
    identity[..., 0] = 1
    return SceneReading(
        dynamic=dynamic, distance=torch.full(shape, 5.0).log(), offset=torch.zeros(*shape, 2), identity=identity,
        clarity=torch.full(shape, 4.0), noise=torch.full(shape, 0.02).log(),
    )  # fmt: skip


def test_times_of_latent_frames():
    context, target = latent_times(3, 2)
    assert context.tolist() == [0, 4, 8]
    assert target.tolist() == [9, 13]
    assert latent_times(0, 2)[1].tolist() == [0, 4]


@torch.no_grad()
def test_the_banks_never_grow():
    model = memory()
    before = model.empty(1, GRID)
    tokens, latents, poses, times, _ = video(8)
    banks, observed = model.observe(before, tokens, latents, poses, times, LENS, reading=somebody(8))
    assert banks.archive.filled.all()
    for name, value in bank_tensors(banks).items():
        assert value.shape == bank_tensors(before)[name].shape, name
        assert value.dtype == bank_tensors(before)[name].dtype, name
    assert observed.assigned.shape == (1, 8, 2, 4, 6)
    assert observed.tracks.number.shape == (1, 8, 2)
    assert banks.time.tolist() == [28.0]


@torch.no_grad()
def test_one_by_one_is_all_at_once_and_clips_do_not_meet():
    model = memory()
    given = [(*video(6, seed=seed)[:4], lens(fov, 4, 6)) for seed, fov in enumerate((40, 100))]
    both = [torch.cat(part) for part in zip(*given, strict=True)]
    whole, observed = model.observe(model.empty(2, GRID), *both)
    for clip, (tokens, latents, poses, times, reported) in enumerate(given):
        banks = model.empty(1, GRID)
        for i in range(6):
            seen = slice(max(i - model.history, 0), i + 1)
            banks, one = model.observe(
                banks, tokens[:, [i]], latents[:, :, seen], poses[:, [i]], times[:, [i]], reported
            )
            expected = observed.reading.dynamic[[clip], i]
            torch.testing.assert_close(one.reading.dynamic[:, 0], expected, rtol=1e-4, atol=1e-5)
        for name, value in bank_tensors(banks).items():
            expected = bank_tensors(whole)[name][[clip]]
            torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5, msg=name)


@torch.no_grad()
def test_who_is_seen_is_tracked_and_is_no_part_of_the_place():
    model = memory()
    tokens, latents, poses, times, _ = video(3)
    poses = poses[:, :1].expand(-1, 3, -1)  # the camera stands still
    banks, observed = model.observe(
        model.empty(1, GRID), tokens, latents, poses, times, LENS, reading=somebody(3)
    )
    assert banks.tracks.filled.tolist() == [[True, False]]
    assert banks.births.tolist() == [1]
    assert observed.assigned[0, 2, 0, 2, 3] > 0.9
    static = banks.archive.static[0, 0]
    assert static[2 * 6 + 3] < 0.01
    assert static[0] > 0.99
    # A second frame of the same place goes into the same slot, unless it shows another place: random tokens do.
    same = tokens[:, :1].expand(-1, 3, -1, -1)
    banks, _ = model.observe(model.empty(1, GRID), same, latents, poses, times, LENS, reading=somebody(3))
    assert banks.archive.filled.tolist() == [[True, False, False]]


@torch.no_grad()
def test_one_that_does_not_count_yet_is_neither_foretold_nor_recalled():
    model = memory()
    tokens, latents, poses, times, _ = video(1)
    banks, _ = model.observe(model.empty(1, GRID), tokens, latents, poses, times, LENS, reading=somebody(1))
    assert banks.tracks.tentative.tolist() == [[True, False]]
    coming = torch.tensor([[4.0]])
    retrieved = model.retrieve(banks, poses, coming, LENS, GRID, first_time_index=1)
    assert retrieved.scores[0, 0, banks.archive.filled.shape[1] :].tolist() == [0, 0]
    assert not (retrieved.known & retrieved.subjects).any()
    assert not model.tracker.predict(banks.tracks, banks.time, coming).filled.any()


@pytest.mark.parametrize(
    ("times", "says"),
    [
        ([0.0, 4.0, 4.0], "clip 0: frame 1 is at 4, frame 2 is at 4"),
        ([0.0, 8.0, 4.0], "clip 0: frame 1 is at 8, frame 2 is at 4"),
        ([-1.0, 0.0, 4.0], "clip 0: the banks were at -1, frame 0 is at -1"),
        ([0.0, float("nan"), 4.0], "clip 0: frame 0 is at 0, frame 1 is at nan"),
    ],
)
def test_times_must_rise(times, says):
    model = memory()
    tokens, latents, poses, *_ = video(3)
    with pytest.raises(InputError, match=f"times of new frames to rise, {says}"):
        model.observe(
            model.empty(1, GRID), tokens, latents, poses, torch.tensor([times]), LENS, reading=somebody(3)
        )


@torch.no_grad()
def test_a_frame_is_not_shown_twice():
    model = memory()
    tokens, latents, poses, times, _ = video(3)
    banks, _ = model.observe(model.empty(1, GRID), tokens, latents, poses, times, LENS, reading=somebody(3))
    with pytest.raises(InputError, match="the banks were at 8, frame 0 is at 0"):
        model.observe(banks, tokens, latents, poses, times, LENS, reading=somebody(3))


@torch.no_grad()
def test_recall_brings_the_place_that_is_looked_at_and_the_subject_where_it_will_be():
    model = memory(archive_slots=8)
    tokens, latents, poses, times, _ = video(5)
    still = somebody(5)
    tokens[:, 1], poses[:, 1] = tokens[:, 0], poses[:, 0]
    still.dynamic[:, 2:] = -8.0  # seen in the first two frames, which are alike
    banks, _ = model.observe(model.empty(1, GRID), tokens, latents, poses, times, LENS, reading=still)
    coming = turned_cameras(0.0, 5.0)
    retrieved = model.retrieve(banks, coming, torch.tensor([[17.0, 21.0]]), LENS, GRID, first_time_index=5)
    assert retrieved.scores.shape == (1, 2, 8 + 2)
    torch.testing.assert_close(retrieved.scores.sum(dim=-1), torch.ones(1, 2))
    assert retrieved.scores[0, 0, :8].argmax() == 0  # the slot of the frames that looked ahead
    subject = retrieved.known & retrieved.subjects
    assert subject.sum() == 2 * 9  # in view in both frames, 3×3 identity tokens each
    assert retrieved.frames[subject].unique().tolist() == [0, 1]
    assert retrieved.slots[subject].unique().tolist() == [8]
    first = retrieved.places[subject & (retrieved.frames == 0)]
    assert first[:, 0].unique().tolist() == [5.0]
    assert abs(float(first[:, 2].mean()) - 3) < 1  # where it was seen: column 3
    away = model.retrieve(
        banks, turned_cameras(180.0), torch.tensor([[17.0]]), LENS, GRID, first_time_index=5
    )
    assert not (away.known & away.subjects).any()
    used = model.note_use(banks, retrieved).archive.use - banks.archive.use
    torch.testing.assert_close(used, retrieved.scores[..., :8].mean(dim=1))


def test_losses_reach_every_part():
    model = memory()
    tokens, latents, poses, times, _ = video(4)
    still = poses[:, :1].expand(-1, 4, -1)
    tokens = (tokens[:, :1] + 0.1 * tokens).requires_grad_()  # one place, seen a little otherwise: merges
    reading = somebody(4)
    banks, _ = model.observe(model.empty(1, GRID), tokens, latents, still, times, LENS, reading=reading)
    retrieved = model.retrieve(banks, still[:, :2], torch.tensor([[13.0, 17.0]]), LENS, GRID, 4)
    (retrieved.tokens.square().sum() + retrieved.scores.square().sum()).backward()
    learned = {
        name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()
    }
    assert {"tokenizer", "archivist", "retrieval"} <= learned
    assert tokens.grad[:, 0].abs().sum() > 0


def test_weights_are_moved_but_not_cast():
    model = memory().to(torch.bfloat16).half()
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert next(memory().to("meta").parameters()).device.type == "meta"


@torch.no_grad()
def test_coarser_slices():
    model = memory(kernel=(1, 2, 3))
    banks, _ = model.observe(model.empty(1, GRID), *video(2))
    assert banks.archive.tokens.shape == (1, 3, 2 * 2, DIM)
    tokens = video(2)[0]
    corner = tokens[0, 0].unflatten(0, (4, 6))[:2, :3].mean(dim=(0, 1))
    torch.testing.assert_close(banks.archive.tokens[0, 0, 0], corner)  # it begins as the mean
    with pytest.raises(InputError, match="a memory token covers 1 frames × 8 rows"):
        memory(kernel=(1, 8, 8)).empty(1, GRID)


@torch.no_grad()
def test_a_true_lens_places_a_subject_rightly_where_the_default_errs():
    """2 m to the right, 5 m ahead, through a lens 60° wide (f = 0.866): it stands 0.4 · 0.866 right of the middle.
    Taken for one of 78° (f = 0.617), that is a direction of tangent 0.561: at √29 m the place (2.63, 4.70), 0.7 m off.
    """
    true = lens(60, 4, 6)
    position = torch.tensor([2.0, 0.0, 5.0]).expand(1, 1, 3, 3)
    still = turned_cameras(0.0, 0.0, 0.0)
    shares = shares_of_boxes(position, torch.tensor([[[0.0, 0.0, 0.8, 0.8]]]), still, (4, 6), true)
    reported = reading_from_truth(position, torch.eye(4)[:1].expand(1, 1, 3, 4), shares, still, true)
    model, (tokens, latents, _, times, _) = memory(), video(3)
    held = []
    for believed in (true, LENS):
        banks, _ = model.observe(
            model.empty(1, GRID), tokens, latents, still, times, believed, reading=reported
        )
        assert banks.tracks.filled.tolist() == [[True, False]]
        held.append(banks.tracks.position[0, 0])
    torch.testing.assert_close(held[0], torch.tensor([2.0, 0.0, 5.0]), atol=0.01, rtol=0)
    torch.testing.assert_close(held[1], torch.tensor([2.63, 0.0, 4.70]), atol=0.02, rtol=0)
