"""The scene reader: what it may look at, and that it can learn."""

from math import log

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from models import lens
from outofsight.errors import InputError
from outofsight.memory.banks.placing import positions_told
from outofsight.memory.banks.scene_reader import LEAST_NOISE, MOST_NOISE, SceneReader, frame_of
from outofsight.memory.banks.sighting import FrameSeen
from outofsight.memory.banks.state import BankSettings, empty_banks
from outofsight.memory.banks.tracker import Tracker

LENS = lens(78, 8, 12, 2)


def reader(seed: int = 0, width: int = 16) -> SceneReader:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return SceneReader(4, width, 8, (2, 2))


def latents(frames: int = 7, size: tuple[int, int] = (8, 12), batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 4, frames, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("size", "grid"), [((8, 12), (4, 6)), ((2, 2), (1, 1)), ((12, 20), (6, 10))])
def test_every_token_is_read_whatever_the_size(size, grid):
    with torch.no_grad():
        reading = reader()(latents(size=size), lens(78, *size, 2))
    for name, shape in (("offset", (2,)), ("identity", (8,))):
        assert getattr(reading, name).shape == (2, 7, *grid, *shape)
    for name in ("dynamic", "distance", "clarity", "noise"):
        assert getattr(reading, name).shape == (2, 7, *grid)
    torch.testing.assert_close(reading.identity.norm(dim=-1), torch.ones(2, 7, *grid))
    assert frame_of(reading, 3).offset.shape == (2, *grid, 2)


def test_nothing_ahead_and_nothing_older_than_its_history_is_looked_at():
    whole, model, changed = latents(), reader(), 2
    other = whole.clone()
    other[:, :, changed] += 1
    with torch.no_grad():
        before, after = model(whole, LENS), model(other, LENS)
    differs = (before.dynamic != after.dynamic).flatten(2).any(dim=2).any(dim=0)
    assert differs.tolist() == [changed <= frame <= changed + model.history for frame in range(7)]


def test_read_in_pieces_as_in_the_whole():
    whole, model = latents(frames=9), reader()
    with torch.no_grad():
        at_once = model(whole, LENS)
        for begin, end in ((0, 2), (2, 5), (5, 9)):
            first = max(0, begin - model.history)
            piece = model(whole[:, :, first:end], LENS)
            for told, expected in zip(piece, at_once, strict=True):
                torch.testing.assert_close(
                    told[:, begin - first :], expected[:, begin:end], atol=1e-5, rtol=1e-4
                )


def test_clips_of_a_batch_do_not_touch_each_other():
    whole, model = latents(), reader()
    with torch.no_grad():
        together, alone = model(whole, LENS), model(whole[1:], LENS[1:])
    for first, second in zip(together, alone, strict=True):
        torch.testing.assert_close(first[1:], second, atol=1e-5, rtol=1e-4)


def test_an_untaught_reader_gives_birth_to_nobody():
    model, settings = SceneReader(16, 64, 32, (2, 2)), BankSettings()
    told = 3 * torch.randn(1, 16, 6, 8, 12, generator=torch.Generator().manual_seed(2))
    banks, mover, before = empty_banks(settings, 24, 5), Tracker(settings), torch.tensor([-1.0])
    tracks, births, level = banks.tracks, banks.births, torch.eye(3, 4).flatten()[None]
    with torch.no_grad():
        reading = model(told, LENS[:1])
        assert reading.dynamic.sigmoid().max() < 0.2
        for index in range(6):
            frame = FrameSeen(
                torch.zeros(1, 24, 5), frame_of(reading, index), level, torch.tensor([4.0 * index]), LENS[:1]
            )
            tracks, births, _ = mover.observe(tracks, births, frame, before)
            before = frame.time
    assert births.item() == 0
    assert not tracks.filled.any()


def test_latents_that_are_no_whole_number_of_tokens_are_refused():
    with pytest.raises(InputError, match="7×12 pixels are no whole number of tokens of 2×2"):
        reader()(latents(size=(7, 12)), LENS)


def test_what_is_told_stays_within_bounds():
    model = reader()
    with torch.no_grad():
        model.told.weight.mul_(1e4)
        reading = model(latents(), LENS)
    assert reading.noise.min() >= log(LEAST_NOISE) - 1e-6
    assert reading.noise.max() <= log(MOST_NOISE) + 1e-6
    assert positions_told(reading, torch.eye(3, 4).flatten().expand(2, 7, 12), LENS[:, None]).isfinite().all()


def test_autocast_reads_much_the_same():
    model, whole = reader(), latents()
    with torch.no_grad():
        plain = model(whole, LENS)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            cast = model(whole, LENS)
    for first, second in zip(plain, cast, strict=True):
        assert second.dtype == torch.float32
        torch.testing.assert_close(first, second, atol=0.1, rtol=0.1)


def test_it_learns_which_tokens_show_a_subject():
    """A subject is a bright patch that moves by a token a frame; the background is noise."""
    generator = torch.Generator().manual_seed(3)
    whole = torch.randn(8, 4, 4, 8, 12, generator=generator)
    truth = torch.zeros(8, 4, 4, 6)
    for clip in range(8):
        for frame in range(4):
            row, column = clip % 4, (clip + frame) % 6
            whole[clip, :2, frame, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] += 2.5
            truth[clip, frame, row, column] = 1
    model = reader()
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(40):
        optimiser.zero_grad()
        loss = binary_cross_entropy_with_logits(model(whole, lens(78, 8, 12, 8)).dynamic, truth)
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        found = model(whole, lens(78, 8, 12, 8)).dynamic > 0
    assert (found == truth.bool()).float().mean() > 0.98
