"""Who counts as a subject, who gives way, and whose number goes on, on scenes that a reader can work out by hand."""

import pytest
import torch
from tests.tracked_scenes import Scene, nobody, standing, straight, tracker, unit

from outofsight.memory.banks.lifecycle import CONFIRMED_AT, LONG_LOST_FRAMES, TENTATIVE_FRAMES, merged_twins

AHEAD = (0.0, 1.0, 8.0)
BEHIND = (0.0, 1.0, -8.0)


def resting(frames, place=AHEAD):
    return straight(place, (0.0, 0.0, 0.0), frames)


def shown_by(scene, probability):
    """Let tokens that show a subject say so with this probability, frame by frame."""
    logit = torch.tensor(probability).logit()[None, :, None, None]
    told = torch.where(scene.reading.dynamic > 0, logit, scene.reading.dynamic)
    scene.reading = scene.reading._replace(dynamic=told)
    return scene


def once_seen(degrees, frames=6):
    """A subject that only the first frame shows; ``degrees``: how far the camera is turned after it."""
    never = [1e-6] * (frames - 1)
    return shown_by(Scene([resting(frames)], [unit(0)], [0] + [degrees] * (frames - 1)), [0.99, *never])


@pytest.mark.parametrize(
    ("shown", "counts"),
    [
        (0.99, [False, True, True, True, True]),  # ½·0.99 = 0.495, + 0.3·0.99·0.505 = 0.645 ≥ 0.6
        (0.7, [False, False, False, True, True]),  # 0.35, then + 0.21 of the doubt: 0.487, 0.594, 0.679
        (
            0.55,
            [False, False, False, False, True],
        ),  # 0.275, then + 0.165 of the doubt: 0.395, 0.495, 0.578, 0.648
    ],
)
def test_a_newborn_counts_once_it_was_seen_surely_or_often(shown, counts):
    scene = shown_by(Scene([resting(5)], [unit(0)], [0] * 5), [shown] * 5)
    states = scene.tracked(tracker())
    assert [bool(state.filled[0, 0]) for state in states] == counts
    assert [bool(state.tentative[0, 0]) for state in states] == [not value for value in counts]
    assert all(state.number[0, 0] == 0 for state in states)


@pytest.mark.parametrize("degrees", [0, 150], ids=["in view", "out of view"])
def test_what_one_frame_alone_showed_goes_soon(degrees):
    states = once_seen(degrees).tracked(tracker())
    kept = [bool(state.tentative[0, 0]) for state in states]
    assert kept == [4 * index <= TENTATIVE_FRAMES for index in range(len(states))]
    assert not any(state.filled.any() for state in states)
    for part in states[-1]:
        assert not part.any()


def test_one_that_counts_goes_on_counting_while_it_is_hidden_and_doubted():
    scene = shown_by(Scene([resting(14)], [unit(0)], [0] * 14), [0.99] * 2 + [1e-6] * 12)
    states = scene.tracked(tracker())
    assert states[1].filled[0, 0]
    assert states[-1].confidence[0, 0] < CONFIRMED_AT
    assert states[-1].filled[0, 0]
    assert not states[-1].tentative.any()


def test_one_that_does_not_count_yet_moves_on_and_takes_what_it_shows():
    """Seen faintly thrice, it is one subject with one speed, not three births."""
    velocity = (0.1, 0.0, 0.0)
    scene = shown_by(Scene([straight((-1.0, 1.0, 8.0), velocity, 3)], [unit(0)], [0] * 3), [0.6] * 3)
    state = scene.tracked(tracker())[-1]
    assert state.tentative.tolist() == [[True, False, False, False]]
    torch.testing.assert_close(state.velocity[0, 0], torch.tensor(velocity), atol=0.02, rtol=0)


def born_into(tracks, now=400.0):
    """Show one more subject at a time to full slots; return the numbers held."""
    scene = Scene([resting(1)], [unit(0)], [0])
    frame = scene.frame(0)._replace(time=torch.tensor([now]))
    held, births, _ = tracker().observe(tracks, torch.tensor([9]), frame, torch.tensor([now]))
    return held.number[0].tolist(), births.item()


def test_the_longest_lost_gives_way_if_nobody_is_doubtful():
    lost = 400.0 - LONG_LOST_FRAMES
    full = standing(position=[BEHIND] * 4, last_seen=[300.0, lost - 1, lost - 9, lost - 5])
    assert born_into(full) == ([0, 1, 9, 3], 10)
    pinned = full._replace(pinned=torch.tensor([[False, False, True, False]]))
    assert born_into(pinned) == ([0, 1, 2, 9], 10)
    doubtful = full._replace(confidence=torch.tensor([[0.4, 0.9, 0.9, 0.9]]))
    assert born_into(doubtful) == ([9, 1, 2, 3], 10)


def test_nobody_gives_way_who_was_seen_not_long_ago():
    full = standing(position=[BEHIND] * 4, last_seen=[400.0 - LONG_LOST_FRAMES] * 4)
    assert born_into(full) == ([0, 1, 2, 3], 9)
    assert born_into(full, now=400.5) == ([9, 1, 2, 3], 10)  # all lost equally long: the first


def doubles(**changes):
    """Two slots of one subject: the elder's place is better known."""
    return standing(
        position=[AHEAD, (0.1, 1.0, 8.0)],
        covariance=[[0.1, 0.0, 0.0], [0.5, 0.0, 0.0]],
        identity=torch.stack((unit(0), unit(0))),
        visibility=[0.9, 0.9],
        number=[3, 7],
        born=[4.0, 8.0],
        confidence=[0.6, 0.9],
        **changes,
    )


def test_a_pinned_number_goes_on():
    held, twins = merged_twins(doubles(pinned=[False, True]), 0.3)
    assert held.filled.tolist() == [[False, True, False, False]]
    assert (held.number[0, 1], held.born[0, 1]) == (7, 8)
    assert held.pinned[0, 1]
    assert twins[0, 1, 0]  # slot 0 went into slot 1
    assert held.position[0, 1].tolist() == list(AHEAD)  # where it is better known to be


def test_two_that_are_pinned_stay_two():
    pinned = doubles(pinned=[True, True])
    held, twins = merged_twins(pinned, 0.3)
    assert not twins.any()
    assert all(torch.equal(part, before) for part, before in zip(held, pinned, strict=True))


def test_the_number_that_counts_goes_on_before_an_elder_that_does_not_yet():
    held, _ = merged_twins(doubles(filled=[False, True], tentative=[True, False]), 0.3)
    assert held.number[0, 1] == 7
    assert held.filled.tolist() == [[False, True, False, False]]
    assert not held.tentative.any()


def test_two_that_do_not_count_yet_are_one_that_does_not_count_yet():
    held, _ = merged_twins(doubles(filled=[False, False], tentative=[True, True]), 0.3)
    assert held.number[0, 0] == 3
    assert held.tentative.tolist() == [[True, False, False, False]]
    assert not held.filled.any()


def test_an_empty_tracker_holds_nobody():
    tracks, _ = nobody()
    assert not tracks.taken.any()
