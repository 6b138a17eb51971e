"""The memory's losses, worked out by hand: what is right costs nothing, what is wrong costs as stated."""

from itertools import pairwise
from math import log

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from outofsight.training.memory_losses import (
    UNCERTAINTY_WEIGHT,
    Held,
    background_loss,
    identity_loss,
    longest_absence,
    match_slots,
    mean_where,
    own_entries,
    reading_loss,
    shown,
    shown_identity,
    split_loss,
    state_loss,
)


def held(position, *, velocity=None, variance=1.0, filled=True) -> Held:
    """Slots [b, f, n, 3] at rest and all filled, but for what is said."""
    position = torch.as_tensor(position, dtype=torch.float32)
    return Held(
        position,
        torch.zeros_like(position) if velocity is None else torch.as_tensor(velocity, dtype=torch.float32),
        torch.full(position.shape[:3], variance),
        torch.as_tensor(filled).expand(position.shape[:3]),
    )


def test_split_of_an_even_guess_and_of_a_sure_one():
    shares = torch.tensor([0.0, 1.0, 0.05, 0.0]).view(1, 1, 2, 2)
    assert split_loss(torch.zeros(1, 1, 2, 2), shares).item() == pytest.approx(log(2))
    # A fifth of a token is as good as all of it, a twentieth is a quarter of that: odds of one in four.
    assert shown(torch.tensor([0.2, 0.05])).tolist() == pytest.approx([1, 0.25])
    sure = torch.tensor([-20.0, 20.0, log(1 / 3), -20.0]).view(1, 1, 2, 2)
    entropy = -(0.25 * log(0.25) + 0.75 * log(0.75)) / 4
    assert split_loss(sure, shares).item() == pytest.approx(entropy, abs=1e-6)


def test_reading_half_a_metre_off_at_five():
    reported = torch.tensor([0.3, 0.4, 5.0]).view(
        1, 1, 1, 1, 3
    )  # 0.5 m from (0, 0, 5): a tenth of the distance
    noise = torch.full((1, 1, 1, 1), log(0.1))
    found = reading_loss(
        reported, noise, torch.ones(1, 1, 1, 1, 1), torch.tensor([0.0, 0, 5]).view(1, 1, 1, 3), torch.tensor([[[5.0]]])
    )  # fmt: skip
    assert found.item() == pytest.approx(0.05 + UNCERTAINTY_WEIGHT * (0.5 + 3 * log(0.1)), rel=1e-5)


def test_reading_counts_a_token_as_much_as_it_shows():
    reported = torch.zeros(1, 1, 1, 2, 3)
    reported[..., 1, 0] = 3.0  # the second token is 3 m off, and shows nothing
    arguments = (torch.zeros(1, 1, 1, 3), torch.tensor([[[2.0]]]))
    only_first = reading_loss(
        reported, torch.zeros(1, 1, 1, 2), torch.tensor([0.5, 0.0]).view(1, 1, 1, 1, 2), *arguments
    )
    assert only_first.item() == 0
    both = reading_loss(
        reported, torch.zeros(1, 1, 1, 2), torch.tensor([0.5, 0.5]).view(1, 1, 1, 1, 2), *arguments
    )
    assert both.item() == pytest.approx(
        (1.45 + UNCERTAINTY_WEIGHT * 0.5 * 1.5**2) / 2
    )  # e = 1.5: ρ = 1.5 − 0.05


def test_slots_are_matched_nearest_first_and_once():
    # Subjects at x = 0 and 1; slots at 0.9, 0.4 and 50: slot 0 is subject 1's, so subject 0 gets slot 1.
    slots = held([[[[0.9, 0, 0], [0.4, 0, 0], [50.0, 0, 0]]]])
    position = torch.tensor([[[[0.0, 0, 0]], [[1.0, 0, 0]]]])
    frame, far, all_ = torch.zeros(1, 2).long(), torch.full((1, 2, 1), 10.0), torch.ones(1, 2).bool()
    assert match_slots(slots, frame, position, far, all_).tolist() == [[1, 0]]
    only_far = held([[[[50.0, 0, 0]]]])
    assert match_slots(only_far, frame, position, far, all_).tolist() == [[-1, -1]]
    empty = held([[[[0.0, 0, 0], [1.0, 0, 0]]]], filled=False)
    assert match_slots(empty, frame, position, far, all_).tolist() == [[-1, -1]]
    assert match_slots(slots, frame, position, far, torch.tensor([[False, True]])).tolist() == [[-1, 0]]


def test_each_subject_is_matched_in_the_frame_it_was_last_seen_in():
    crossing = held([[[[0.0, 0, 0], [9.0, 0, 0]], [[9.0, 0, 0], [0.0, 0, 0]]]])  # the slots change places
    position = torch.zeros(1, 1, 2, 3)
    for last, slot in ((0, 0), (1, 1)):
        frame = torch.tensor([[last]])
        found = match_slots(crossing, frame, position, torch.full((1, 1, 2), 5.0), torch.ones(1, 1).bool())
        assert found.tolist() == [[slot]]


def test_state_by_hand_in_a_seen_and_a_hidden_frame():
    # 10 m away. Frame 0 is right. Frame 1, hidden, is 1 m off (e = 0.1) and 0.05 m a frame too fast (u = 0.1).
    slots = held([[[[0.0, 0, 10]], [[1.0, 0, 10]]]], velocity=[[[[0.0, 0, 0]], [[0.05, 0, 0]]]], variance=1.0)
    position = torch.tensor([0.0, 0, 10]).expand(1, 1, 2, 3)
    found = state_loss(
        slots, torch.zeros(1, 1).long(), position, torch.zeros(1, 1, 2, 3), torch.full((1, 1, 2), 10.0)
    )
    right = UNCERTAINTY_WEIGHT * 1.5 * log(0.01)
    wrong = 0.05 + 0.5 * 0.01 / 0.3 + UNCERTAINTY_WEIGHT * (0.5 + 1.5 * log(0.01))
    assert found.item() == pytest.approx((right + wrong) / 2, rel=1e-5)


def test_subjects_without_a_slot_and_frames_before_a_birth_do_not_count():
    filled = torch.tensor([False, True]).view(1, 2, 1)
    slots = held(torch.full((1, 2, 1, 3), 4.0), filled=filled)
    position = torch.stack((torch.full((2, 3), 99.0), torch.full((2, 3), 4.0)))[None]
    position[0, 1, 0] = 99.0  # before the birth
    far, still = torch.full((1, 2, 2), 10.0), torch.zeros(1, 2, 2, 3)
    found = state_loss(slots, torch.tensor([[-1, 0]]), position, still, far)
    assert found.item() == pytest.approx(UNCERTAINTY_WEIGHT * 1.5 * log(0.01))
    assert state_loss(slots, torch.tensor([[-1, -1]]), position, still, far).item() == 0


def test_the_longest_absence():
    seen = torch.tensor(
        [[[1, 1, 0, 1, 0, 0, 1], [1, 1, 1, 1, 1, 1, 1], [0, 0, 1, 0, 0, 0, 0], [0] * 7]]
    ).bool()
    pairs = longest_absence(seen)
    assert pairs.before.tolist() == [[3, 0, 0, 0]]
    assert pairs.after.tolist() == [[6, 6, 0, 0]]
    assert pairs.valid.tolist() == [[True, True, False, False]]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=9))
def test_an_absence_lies_between_two_sights(pattern):
    seen = torch.tensor(pattern).view(1, 1, -1)
    pairs = longest_absence(seen)
    before, after = int(pairs.before), int(pairs.after)
    assert bool(pairs.valid) == (sum(pattern) >= 2)
    if pairs.valid:
        assert pattern[before]
        assert pattern[after]
        places = [place for place, there in enumerate(pattern) if there]
        longest = max(later - earlier for earlier, later in pairwise(places))
        assert after - before == (longest if longest > 1 else places[-1] - places[0])


def test_identity_among_others():
    # Two subjects at right angles: each is told by exp(1/τ) against exp(0), with τ = 0.1.
    unit = torch.eye(2).view(2, 1, 2)
    valid, kinds = torch.ones(2, 1).bool(), torch.tensor([[1], [2]])
    found = identity_loss(unit, unit, valid, kinds)
    assert found.tolist() == pytest.approx([log(1 + 2.718281828**-10)] * 2, rel=1e-2)
    swapped = identity_loss(unit, unit.flip(0), valid, kinds)
    assert swapped.tolist() == pytest.approx([10.0] * 2, rel=1e-3)
    assert identity_loss(unit, unit.flip(0), valid, torch.ones_like(kinds)).tolist() == [
        0,
        0,
    ]  # twins: nobody to tell
    one = identity_loss(unit, unit.flip(0), torch.tensor([[True], [False]]), kinds)
    assert one.tolist() == [0, 0]


def test_who_is_shown_is_the_mean_of_the_tokens_that_show_it():
    identity = torch.tensor([[1.0, 0], [0, 1.0], [-1.0, 0]]).view(1, 1, 1, 3, 2)
    shares = torch.tensor([0.6, 0.8, 0.0]).view(1, 1, 1, 1, 3)
    assert shown_identity(identity, shares, torch.zeros(1, 1).long()).flatten().tolist() == pytest.approx(
        [0.6, 0.8]
    )


def test_background_by_hand():
    true = torch.tensor([1.0, 3.0, 100.0]).view(1, 1, 3, 1)
    weight = torch.tensor([1.0, 1.0, 0.0]).view(1, 1, 3)  # the third is not static
    assert background_loss(true, true, weight).item() == 0
    assert background_loss(torch.full_like(true, 2.0), true, weight).item() == pytest.approx(
        1
    )  # the mean token
    assert background_loss(torch.full_like(true, 3.0), true, weight).item() == pytest.approx(2)  # 4 against 2
    assert background_loss(true + 1, true, torch.zeros_like(weight)).item() == 0


def test_no_weight_means_no_loss():
    assert mean_where(torch.tensor([[1.0, 3.0], [5.0, 7.0]]), torch.tensor([[1, 3], [0, 0]])).tolist() == [
        2.5,
        0,
    ]


def test_slots_of_subjects():
    values = torch.arange(12).view(1, 2, 3, 2)  # two frames of three slots
    assert own_entries(values, torch.tensor([[2, -1]])).tolist() == [[[[4, 5], [10, 11]], [[0, 1], [6, 7]]]]


def test_gradients_are_finite_where_all_is_right():
    position = torch.zeros(1, 2, 1, 3, requires_grad=True)
    slots = Held(position, position * 0, torch.ones(1, 2, 1), torch.ones(1, 2, 1).bool())
    zeros = torch.zeros(1, 1, 2, 3)
    state_loss(slots, torch.zeros(1, 1).long(), zeros, zeros, torch.ones(1, 1, 2)).sum().backward()
    assert bool(position.grad.isfinite().all())
