"""Reaching into the banks: only what was named changes, and a slot that is not there is one line."""

import pytest
import torch

from outofsight.errors import InputError
from outofsight.memory.banks.archivist import least_useful
from outofsight.memory.banks.state import (
    Banks,
    BankSettings,
    bank_tensors,
    edit_place,
    edit_subject,
    empty_banks,
    forget,
    pin,
    swap_subjects,
)


@pytest.fixture
def banks() -> Banks:
    """Archive slots 0 and 1 of three, subjects 4 and 7 in the tracker's slots 0 and 2 of three; all fields differ."""
    held = empty_banks(
        BankSettings(archive_slots=3, subject_slots=3, subject_grid=(1, 2), identity_width=4), 2, 5
    )
    generator = torch.Generator().manual_seed(0)
    for value in (*held.archive, *held.tracks):
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator))
    held.archive.filled[0] = torch.tensor([True, True, False])
    held.tracks.filled[0] = torch.tensor([True, False, True])
    held.tracks.number[0] = torch.tensor([4, 0, 7])
    return held


def changed(before: Banks, after: Banks) -> dict[str, list[int]]:
    """Return the fields that differ, with the slots that do."""
    found = {}
    for name, old in bank_tensors(before).items():
        new = bank_tensors(after)[name]
        assert (new.shape, new.dtype) == (old.shape, old.dtype)
        slots = (new != old).flatten(2).any(dim=-1)[0] if old.ndim > 2 else (new != old)[0]
        if slots.any():
            found[name] = slots.nonzero().flatten().tolist()
    return found


def test_a_pinned_slot_is_not_the_one_to_go(banks):
    goes = int(least_useful(banks.archive, banks.archive.use))
    kept = pin(banks, slot=goes)
    assert changed(banks, kept) == {"archive.pinned": [goes]}
    assert int(least_useful(kept.archive, kept.archive.use)) == 1 - goes
    assert changed(banks, pin(kept, slot=goes, on=False)) == {}


def test_a_subject_is_pinned_by_its_number(banks):
    assert changed(banks, pin(banks, subject=7)) == {"tracks.pinned": [2]}


def test_what_is_forgotten_leaves_an_empty_slot(banks):
    after = forget(pin(banks, slot=1), slot=1)
    assert after.archive.filled[0].tolist() == [True, False, False]
    assert not any(value[0, 1].any() for value in after.archive)
    assert all(name.startswith("archive.") and slots == [1] for name, slots in changed(banks, after).items())
    after = forget(banks, subject=7)
    assert after.tracks.filled[0].tolist() == [True, False, False]
    assert not any(value[0, 2].any() for value in after.tracks)


def test_a_subject_is_moved(banks):
    after = edit_subject(
        banks, 7, position=(1, -2, 8), velocity=torch.tensor([0.1, 0.0, 0.0]), turn_rate=0.05
    )
    assert after.tracks.position[0, 2].tolist() == [1, -2, 8]
    assert after.tracks.velocity[0, 2].tolist() == pytest.approx([0.1, 0, 0])
    assert after.tracks.turn_rate[0, 2] == pytest.approx(0.05)
    # 0.1 m and 0.01 m a video frame, independent of each other
    assert after.tracks.covariance[0, 2].tolist() == pytest.approx([0.01, 0, 0.0001])
    fields = ("position", "velocity", "turn_rate", "covariance")
    assert changed(banks, after) == {f"tracks.{name}": [2] for name in fields}


def test_a_new_velocity_leaves_the_doubt_of_the_position(banks):
    after = edit_subject(banks, 4, velocity=(0, 0, 0))
    assert after.tracks.covariance[0, 0, 0] == banks.tracks.covariance[0, 0, 0]
    assert after.tracks.covariance[0, 0, 1:].tolist() == pytest.approx([0, 0.0001])


def test_an_identity_is_scaled_to_length_1(banks):
    after = edit_subject(banks, 4, identity=torch.tensor([3.0, 0.0, 4.0, 0.0]))
    assert after.tracks.identity[0, 0].tolist() == pytest.approx([0.6, 0, 0.8, 0])


def test_a_place_is_repainted(banks):
    after = edit_place(banks, 0, tokens=torch.ones(2, 5), static=torch.tensor([1.0, 0.0]))
    assert changed(banks, after) == {"archive.tokens": [0], "archive.static": [0]}
    assert after.archive.tokens[0, 0].tolist() == [[1] * 5] * 2


def test_two_subjects_change_places(banks):
    after = swap_subjects(banks, 4, 7)
    old, new = banks.tracks, after.tracks
    for moved in ("position", "velocity", "covariance", "turn_rate", "visibility", "confidence", "last_seen"):
        assert torch.equal(getattr(new, moved)[0, [0, 2]], getattr(old, moved)[0, [2, 0]]), moved
    for kept in ("tokens", "identity", "box", "number", "born"):
        assert torch.equal(getattr(new, kept), getattr(old, kept)), kept
    assert changed(banks, swap_subjects(after, 7, 4)) == {}


@pytest.mark.parametrize(
    ("touch", "message"),
    [
        (lambda banks: pin(banks, slot=2), "slot 2; filled now: 0, 1"),
        (lambda banks: forget(banks, slot=-1), "slot -1; filled now: 0, 1"),
        (lambda banks: forget(banks, subject=0), "no subject 0 is followed; followed now: 4, 7"),
        (pin, "name either an archive slot"),
        (lambda banks: pin(banks, slot=0, subject=4), "name either an archive slot"),
        (lambda banks: edit_subject(banks, 4), "nothing to change; give one of position, velocity"),
        (
            lambda banks: edit_subject(banks, 4, position=(1, 2)),
            r"position: expected \[3\] finite numbers, got \[2\]",
        ),
        (lambda banks: edit_subject(banks, 4, velocity=(0, 0, float("nan"))), "NaN"),
        (lambda banks: edit_subject(banks, 4, identity=torch.zeros(4)), "length 0"),
        (lambda banks: edit_place(banks, 0, tokens=torch.ones(3, 5)), r"tokens: expected \[2, 5\]"),
        (lambda banks: edit_place(banks, 0, static=torch.tensor([0.0, 2.0])), "0 to 1"),
        (lambda banks: edit_place(banks, 0, static=[0.0, -1.0]), "0 to 1"),
        (lambda banks: swap_subjects(banks, 4, 5), "no subject 5"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_harms_nothing(banks, touch, message):
    before = {name: value.clone() for name, value in bank_tensors(banks).items()}
    with pytest.raises(InputError, match=message) as caught:
        touch(banks)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(before[name], value) for name, value in bank_tensors(banks).items())


def test_empty_banks_say_so():
    nothing = empty_banks(BankSettings(), 2, 5)
    with pytest.raises(InputError, match="followed now: none"):
        forget(nothing, subject=0)


def test_banks_of_several_clips_are_refused():
    with pytest.raises(InputError, match="one clip at a time, these are of 2"):
        pin(empty_banks(BankSettings(), 2, 5, batch=2), slot=0)
