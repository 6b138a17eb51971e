"""Where slices go and how they merge, worked by hand: tokens of width 2, slices of two tokens, a 90° lens."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import lens, turned_cameras
from outofsight.memory.banks.archivist import (
    GATE_BIAS,
    LEAST_STATIC,
    USE_HALF_LIFE_FRAMES,
    Archivist,
    Choice,
    Slice,
    choose_slot,
    common_view,
    decay_use,
    least_useful,
    likeness,
    merge_weight,
    note_use,
    relevance,
    usefulness,
    write_slice,
)
from outofsight.memory.banks.state import Archive, BankSettings, empty_banks

VIEW = lens(90, 1, 1)
"""A square picture, 90° wide: the tangents of half the fields of view are 1."""

BRICKS = [[1.0, 0.0], [1.0, 0.0]]
GRASS = [[0.0, 1.0], [0.0, 1.0]]


def bank(slots: int, **changes) -> tuple[Archive, BankSettings]:
    chosen = BankSettings(archive_slots=slots, **changes)
    return empty_banks(chosen, 2, 2).archive, chosen


def looked(tokens=BRICKS, *, degrees: float = 0.0, static=(1.0, 1.0), time: float = 0.0) -> Slice:
    """One slice seen by a camera at the origin, turned to the right by so much."""
    pose = turned_cameras(degrees)[:, 0]
    return Slice(torch.tensor([tokens]), torch.tensor([static]), pose, torch.tensor([time]))


def moved(right: float = 0.0, ahead: float = 0.0) -> torch.Tensor:
    pose = turned_cameras(0.0)[:, 0]
    pose[:, 3], pose[:, 11] = right, ahead
    return pose


def filed(archive: Archive, chosen: BankSettings, new: Slice, gate: float = 1.0) -> Archive:
    return write_slice(archive, new, choose_slot(archive, new, chosen, VIEW), torch.tensor([gate]), chosen)


def goes(archive: Archive, *, degrees: float = 45.0) -> int:
    """The slot that would make room for a view turned so far."""
    return int(least_useful(archive, usefulness(archive, turned_cameras(degrees)[:, 0], VIEW)))


def test_a_slice_in_an_empty_bank_is_kept_as_it_is():
    archive, chosen = bank(3)
    archive = filed(archive, chosen, looked([[0.1, 0.7], [0.3, 0.9]], degrees=20, static=(0.6, 0.4), time=7))
    assert archive.filled.tolist() == [[True, False, False]]
    assert archive.tokens[0, 0].tolist() == torch.tensor([[0.1, 0.7], [0.3, 0.9]]).tolist()
    assert archive.static[0, 0].tolist() == torch.tensor([0.6, 0.4]).tolist()
    assert torch.equal(archive.poses[0, 0], turned_cameras(20.0)[0, 0])
    assert archive.times[0, 0] == 7


def test_a_slot_merges_with_the_stated_numbers():
    """α = 0.2, g = 0.5, both wholly static: w = 1 / (0.2 + 0.8) = 1, so m' = m + 0.1·(c − m)."""
    archive, chosen = bank(3, archive_rate=0.2)
    archive = filed(archive, chosen, looked([[1.0, 0.0], [1.0, 0.0]], time=0))
    archive = filed(archive, chosen, looked([[1.0, 0.3], [2.0, 0.0]], degrees=2, time=4), gate=0.5)
    assert archive.filled.sum() == 1
    assert archive.tokens[0, 0].flatten().tolist() == pytest.approx([1.0, 0.03, 1.1, 0.0])
    assert archive.times[0, 0] == 4  # the place was seen again
    assert torch.equal(archive.poses[0, 0], turned_cameras(0.0)[0, 0])  # and its slot does not wander


def test_what_is_not_static_weighs_less():
    """α = 0.2, g = 1. Left token: new 0.5, old 1: w = 0.5 / (0.1 + 0.8) = 5/9, step 1/9, c − m = 9: 1 + 1 = 2.

    Right token: new 1, old 0: w = 1 / 0.2 = 5, step 1: all new.
    """
    archive, chosen = bank(1)
    archive = filed(archive, chosen, looked([[1.0, 0.0], [5.0, 5.0]], static=(1.0, 0.0)))
    archive = filed(archive, chosen, looked([[10.0, 0.0], [3.0, 3.0]], static=(0.5, 1.0)))
    assert archive.tokens[0, 0].flatten().tolist() == pytest.approx([2.0, 0.0, 3.0, 3.0])
    # static: left 1 + (0.5 − 1)/9 = 17/18, right 0 + 1·(1 − 0) = 1
    assert archive.static[0, 0].tolist() == pytest.approx([17 / 18, 1.0])


def test_a_subject_before_the_place_overwrites_nothing_of_it():
    archive, chosen = bank(1)
    archive = filed(archive, chosen, looked(BRICKS))
    after = filed(archive, chosen, looked([[1.0, 0.2], [9.0, 9.0]], static=(1.0, 0.0)))
    assert after.tokens[0, 0, 0, 1] > 0  # the token beside it is merged
    assert torch.equal(after.tokens[0, 0, 1], archive.tokens[0, 0, 1])  # the one that it covers is not
    assert after.static[0, 0, 1] == 1


def test_a_slice_that_shows_nothing_but_a_subject_is_not_written():
    archive, chosen = bank(2)
    archive = filed(archive, chosen, looked(BRICKS))
    for degrees in (0.0, 90.0):  # where a slot is relevant, and where one is free
        covered = looked(GRASS, degrees=degrees, static=(LEAST_STATIC / 2, LEAST_STATIC / 2), time=4)
        after = filed(archive, chosen, covered)
        assert all(torch.equal(*pair) for pair in zip(after, archive, strict=True))


def test_merge_weight_is_a_mean_weighted_by_how_static_both_are():
    new, old = torch.tensor([[1.0, 0.5, 0.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.5, 1.0, 0.0, 0.0]])
    assert merge_weight(new, old, 0.25).tolist()[0] == pytest.approx([1, 1, 0, 4, 0])


def test_places_that_look_alike_in_other_directions_are_told_apart():
    archive, chosen = bank(4)
    for index, degrees in enumerate((0.0, 90.0, 180.0, 30.0)):
        archive = filed(archive, chosen, looked(BRICKS, degrees=degrees, time=index))
    assert archive.filled.all()
    scores = relevance(archive, looked(BRICKS, degrees=90.0), VIEW)[0]
    assert scores[1] == pytest.approx(1)
    assert scores[0] == scores[2] == 0
    # Of 24 columns at tan = −23/24 … 23/24, a camera turned by 60° sees those right of tan 15° = 0.268: 9 of 24 …
    # … and of each column less than all rows; the angle between their x axes is 60°.
    assert 0 < scores[3] <= 9 / 24 * 0.5


def test_views_of_one_direction_from_far_positions_are_told_apart():
    poses = torch.cat([moved(), moved(right=20.0), moved(ahead=20.0), moved(ahead=-20.0)])[None]
    shares = common_view(poses, moved(), VIEW)[0]
    assert shares[0] == 1
    # Depths 1.76, 5.48 and 17.0 m: 20 m aside, only the farthest is common, and of its 34 m a share of 14/34.
    assert shares[1] == pytest.approx(14 / 34 / 3, abs=0.02)
    # 20 m ahead, not one of the three lies before the camera; nor, for the camera behind, of its own before the other.
    assert shares[2] == 0
    assert shares[3] == 0


def test_a_camera_on_its_side_shows_another_picture():
    on_side = torch.tensor([[0.0, -1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0]])
    assert common_view(on_side[None], moved(), VIEW)[0, 0] == 0


def test_another_content_at_the_same_place_is_not_relevant():
    archive, chosen = bank(2)
    archive = filed(archive, chosen, looked(BRICKS))
    assert relevance(archive, looked(GRASS), VIEW).tolist() == [[pytest.approx(0, abs=1e-5), 0]]
    archive = filed(archive, chosen, looked(GRASS, time=4))
    assert archive.filled.all()


def test_likeness_asks_only_where_both_are_static():
    archive, chosen = bank(1)
    archive = filed(archive, chosen, looked([[1.0, 0.0], [0.0, 1.0]], static=(1.0, 0.2)))
    assert likeness(archive, torch.tensor([[[2.0, 0.0], [7.0, 0.0]]]), torch.tensor([[1.0, 0.0]])) == 1
    assert likeness(archive, torch.tensor([[[-1.0, 0.0], [0.0, 0.0]]]), torch.tensor([[1.0, 0.0]])) == 0
    # Nothing in common: nothing contradicts.
    assert likeness(archive, torch.tensor([[[-1.0, 0.0], [0.0, 0.0]]]), torch.zeros(1, 2)) == 1
    # w = (1, 0.2·0.5): new mean (1, 0.1), old mean (1, 0.1)
    assert likeness(
        archive, torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.tensor([[1.0, 0.5]])
    ) == pytest.approx(1)


def test_autocast_does_not_round_likeness():
    """A slice is merged from a relevance of 0.9 on: bfloat16 knows it to 0.004 only."""
    generator = torch.Generator().manual_seed(3)
    archive, chosen = bank(3)
    for step in range(2):
        tokens = torch.randn(2, 2, generator=generator).tolist()
        archive = filed(archive, chosen, looked(tokens, degrees=90.0 * step, static=(0.7, 0.9), time=step))
    new = looked([[0.3, 1.1], [0.7, -0.2]], static=(0.37, 0.81))
    plain = likeness(archive, new.tokens, new.static)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(likeness(archive, new.tokens, new.static), plain)
    assert bool((plain[0, :2] > 0).any())


def test_a_full_archive_drops_the_least_used_and_of_those_the_oldest():
    archive, chosen = bank(4)
    for index, degrees in enumerate((0.0, 90.0, 180.0, 270.0)):
        archive = filed(archive, chosen, looked(BRICKS, degrees=degrees, time=4.0 * index))
    # Retrieval: slots 0 and 3 were asked for, 1 and 2 were not; 1 is older than 2.
    archive = note_use(archive, torch.tensor([[[0.7, 0.0, 0.0, 0.3, 0.0], [0.5, 0.0, 0.0, 0.3, 0.2]]]))
    assert archive.use[0].tolist() == pytest.approx([0.6, 0, 0, 0.3])
    assert goes(archive) == 1
    archive = filed(archive, chosen, looked(GRASS, degrees=45.0, time=16))
    assert archive.tokens[0, 1].tolist() == GRASS
    assert archive.times[0].tolist() == [0, 16, 8, 12]
    # It begins with the mean use, (0.6 + 0 + 0 + 0.3) / 4. A view turned by 225° then comes: slots 0 and 1 have as
    # much in common with each other, 45° apart, as slots 2 and 3 with it. So use decides: 0.6, 0.225, 0 or 0.3.
    assert archive.use[0, 1] == pytest.approx(0.225)
    assert goes(archive, degrees=225.0) == 2
    pinned = archive._replace(pinned=torch.tensor([[False, False, True, False]]))
    assert goes(pinned, degrees=225.0) == 1


def test_what_another_slot_shows_too_goes_before_what_nobody_asks_for():
    """Slots turned by 0°, 10° and 180°; use 1, 2, 0, mean 1; a view turned by −85° comes, which has nothing in common.

    Of 6 columns at tan = ±1/6, ±3/6, ±5/6, a camera turned by 10° does not see the outermost: two views 10° apart have
    5/6 · cos 10° = 0.82 in common, and each is alone with 0.18.
    """
    archive, chosen = bank(3)
    for index, degrees in enumerate((0.0, 10.0, 180.0)):
        archive = filed(archive, chosen, looked(BRICKS, degrees=degrees, time=4.0 * index))
    archive = archive._replace(use=torch.tensor([[1.0, 2.0, 0.0]]))
    useful = usefulness(archive, turned_cameras(-85.0)[:, 0], VIEW)[0]
    alone = 1 - 5 / 6 * math.cos(math.radians(10))
    assert useful.tolist() == pytest.approx([alone * 2, alone * 3, 1.0], abs=1e-3)
    assert goes(archive, degrees=-85.0) == 0


def test_a_long_walk_keeps_a_trail_back_to_its_beginning():
    """48 views, 1 m apart, in a bank of 8. By age alone, those of the last 8 m would stay."""
    archive, chosen = bank(8, relevance=0.99)
    for index in range(48):
        new = looked(BRICKS, time=4.0 * index)
        archive = filed(archive, chosen, new._replace(pose=moved(ahead=float(index))))
    ahead = archive.poses[0, :, 11].sort().values
    assert ahead[0] == 0
    assert ahead[-1] == 47
    assert (ahead.diff() >= 2).sum() >= 6  # and nearly every second view or more was left out


def test_a_pinned_slot_stays_and_goes_on_learning():
    archive, chosen = bank(1)
    archive = filed(archive, chosen, looked(BRICKS))._replace(pinned=torch.tensor([[True]]))
    elsewhere = filed(archive, chosen, looked(GRASS, degrees=90.0, time=4))
    assert all(torch.equal(*pair) for pair in zip(elsewhere, archive, strict=True))  # nowhere to go
    again = filed(archive, chosen, looked([[1.0, 0.1], [1.0, 0.1]], time=4))
    assert again.tokens[0, 0, 0, 1] == pytest.approx(0.02)
    assert again.pinned.all()


def test_without_retrieval_the_oldest_view_goes_first():
    archive, chosen = bank(2)
    for index, degrees in enumerate((0.0, 90.0, 180.0, 270.0)):
        archive = filed(archive, chosen, looked(BRICKS, degrees=degrees, time=4.0 * index))
    assert archive.times[0].tolist() == [8, 12]


def test_use_halves_in_its_half_life():
    archive, _ = bank(2)
    archive = archive._replace(use=torch.tensor([[1.0, 0.25]]))
    assert decay_use(archive, torch.tensor([USE_HALF_LIFE_FRAMES])).use.tolist() == [[0.5, 0.125]]


def test_each_clip_of_a_batch_goes_its_own_way():
    chosen = BankSettings(archive_slots=2)
    archive = empty_banks(chosen, 2, 2, batch=3).archive
    tokens, static = torch.tensor(BRICKS).expand(3, 2, 2), torch.ones(3, 2)
    archivist = Archivist(2, chosen)
    first = Slice(tokens, static, turned_cameras(0.0, 0.0, 0.0)[0], torch.zeros(3))
    hidden = static * torch.tensor([[1.0], [1.0], [0.0]])  # the third clip shows hardly any place
    second = Slice(tokens, hidden, turned_cameras(0.0, 90.0, 0.0)[0], torch.full((3,), 4.0))
    archive = archivist.write(archive, first, VIEW)
    archive = archivist.write(archive, second, VIEW)
    assert archive.filled.tolist() == [[True, False], [True, True], [True, False]]
    assert archive.times.tolist() == [[4, 0], [0, 4], [0, 0]]


def test_the_gate_begins_nearly_open_and_learns():
    archive, chosen = bank(1, archive_rate=0.5)
    archivist = Archivist(2, chosen)
    archive = archivist.write(archive, looked([[1.0, 0.0], [1.0, 0.0]]), VIEW)
    archive = archivist.write(archive, looked([[1.0, 0.5], [1.0, 0.0]], time=4), VIEW)
    opened = torch.tensor(GATE_BIAS).sigmoid().item()
    assert opened == pytest.approx(0.953, abs=1e-3)
    assert archive.tokens[0, 0, 0, 1].item() == pytest.approx(0.25 * opened)
    archive.tokens.sum().backward()
    assert archivist.gate.out.bias.grad.abs() > 0
    assert archivist.gate.out.weight.grad.abs().sum() > 0


def test_what_is_read_as_static_learns_from_merges():
    archive, chosen = bank(1)
    archive = filed(archive, chosen, looked(BRICKS))
    static = torch.tensor([[0.9, 0.9]], requires_grad=True)
    new = looked([[1.0, 0.2], [1.0, 0.2]], time=4)._replace(static=static)
    filed(archive, chosen, new).tokens.sum().backward()
    assert (static.grad > 0).all()


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-180, 180), st.floats(0, 1), st.floats(-3, 3)), min_size=1, max_size=12),
    st.integers(1, 4),
)
def test_writing_never_grows_or_spoils_a_bank(looks, slots):
    archive, chosen = bank(slots)
    shapes = [value.shape for value in archive]
    for index, (degrees, static, content) in enumerate(looks):
        new = looked(
            [[content, 1.0], [1.0, -content]], degrees=degrees, static=(static, 1.0), time=4.0 * index
        )
        before = int(archive.filled.sum())
        archive = filed(archive, chosen, new, gate=0.9)
        assert 0 <= int(archive.filled.sum()) - before <= 1
    assert [value.shape for value in archive] == shapes
    assert all(value.isfinite().all() for value in archive)
    assert ((archive.static >= 0) & (archive.static <= 1)).all()
    assert archive.tokens.abs().max() <= 3  # a mean of what was seen lies within it


def test_a_choice_that_is_not_written_changes_nothing():
    archive, chosen = bank(2)
    nowhere = Choice(torch.tensor([1]), torch.tensor([False]), torch.tensor([False]))
    after = write_slice(archive, looked(GRASS), nowhere, torch.ones(1), chosen)
    assert all(torch.equal(*pair) for pair in zip(after, archive, strict=True))
