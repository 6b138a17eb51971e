"""The tracker's rules, one by one, on scenes that a reader can work out by hand."""

from math import exp, log, log2, sqrt

import pytest
import torch
from tests.tracked_scenes import (
    SETTINGS,
    SIZE,
    Scene,
    nobody,
    standing,
    straight,
    tracker,
    unit,
)

from outofsight.memory.banks.sighting import (
    SlotAttention,
    TokenFacts,
    lost_chance,
    sight,
    together,
    token_facts,
    with_whole_parts,
)
from outofsight.memory.banks.state import BankSettings
from outofsight.memory.banks.tracker import (
    BIRTHS_PER_FRAME,
    CONFIRMED_AT,
    FIRST_CONFIDENCE,
    FIRST_SPEED,
    HALF_LIFE_FRAMES,
    LONG_LOST_FRAMES,
    TENTATIVE_FRAMES,
    TRUST_GROWTH,
    filtered,
    merged_duplicates,
)

AHEAD = (0.0, 1.0, 8.0)


def resting(frames, place=AHEAD):
    return straight(place, (0.0, 0.0, 0.0), frames)


def test_a_seen_subject_is_born_with_what_was_seen():
    state = Scene([resting(1)], [unit(3)], [0]).tracked(tracker())[0]
    assert state.tentative.tolist() == [[True, False, False, False]]
    assert not state.filled.any()
    assert (state.number[0, 0], state.born[0, 0], state.last_seen[0, 0]) == (0, 0, 0)
    assert state.confidence[0, 0] == FIRST_CONFIDENCE * state.visibility[0, 0]
    assert state.velocity[0, 0].tolist() == [0, 0, 0]
    torch.testing.assert_close(state.position[0, 0], torch.tensor(AHEAD), atol=1e-3, rtol=0)
    torch.testing.assert_close(state.identity[0, 0], unit(3))


def test_identity_tokens_merge_by_the_stated_numbers():
    """α = 0.3 and clarity's logit 0 make 0.3 · ½: from 1 towards 2 is 1.15; then towards 2 again 1.2775."""
    scene = Scene([resting(3)], [unit(0)], [0, 0, 0])
    scene.reading = scene.reading._replace(clarity=torch.zeros_like(scene.reading.clarity))
    mover = tracker(BankSettings(identity_width=8, subject_rate=0.3))
    (tracks, births), before = nobody(), torch.tensor([-1.0])
    for index, value, held in ((0, 1.0, 1.0), (1, 2.0, 1.15), (2, 2.0, 1.2775)):
        frame = scene.frame(index, torch.full((1, 24, 5), value))
        tracks, births, _ = mover.update(tracks, births, frame, before)
        before = frame.time
        torch.testing.assert_close(tracks.tokens[0, 0], torch.full((9, 5), held))


def test_identity_merges_by_the_same_rate():
    """(1, 0) + 0.3 · ½ · ((0, 1) − (1, 0)) = (0.85, 0.15), of length √0.745."""
    looks = torch.stack((unit(0), unit(1)))
    scene = Scene([resting(2)], [looks], [0, 0])
    scene.reading = scene.reading._replace(clarity=torch.zeros_like(scene.reading.clarity))
    state = scene.tracked(tracker())[-1]
    expected = torch.tensor([0.85, 0.15]) / sqrt(0.745)
    torch.testing.assert_close(state.identity[0, 0, :2], expected, atol=1e-4, rtol=0)


def test_a_place_is_measured_as_kalman_does():
    """Variance 1 meets a measurement of variance 3: gain ¼. Covariance ½ moves the velocity by ½/4 of the surprise."""
    tracks = standing(position=[[0.0, 0.0, 4.0]], velocity=[[0.1, 0.0, 0.0]], covariance=[[1.0, 0.5, 0.5]])
    reported = torch.tensor([[[0.0, 0.0, 8.0]] * 4])
    position, velocity, covariance = filtered(tracks, reported, torch.full((1, 4), 3.0))
    torch.testing.assert_close(position[0, 0], torch.tensor([0.0, 0.0, 5.0]))
    torch.testing.assert_close(velocity[0, 0], torch.tensor([0.1, 0.0, 0.5]))
    torch.testing.assert_close(covariance[0, 0], torch.tensor([0.75, 0.375, 0.4375]))


def test_who_is_seen_where_it_cannot_be_is_believed_and_doubted():
    """8 m away, where σ is ½ m (¼ m² in all): doubted till 8 m are 4σ, σ² = 4. Gain (4 − 1/8)/4, so 7.75 m are made up.

    Its speed is as doubtful as a newborn's by 1 − ¼/4 = 15/16.
    """
    tracks = standing(position=[[0.0, 0.0, 4.0]], covariance=[[0.125, 0.0, 0.0]])
    reported = torch.tensor([[[8.0, 0.0, 4.0]] * 4])
    position, velocity, covariance = filtered(tracks, reported, torch.full((1, 4), 0.125))
    torch.testing.assert_close(position[0, 0], torch.tensor([7.75, 0.0, 4.0]))
    assert velocity[0, 0].tolist() == [0, 0, 0]
    torch.testing.assert_close(
        covariance[0, 0], torch.tensor([0.125 * 3.875 / 4, 0.0, FIRST_SPEED**2 * 15 / 16])
    )


def test_the_chance_of_being_lost_by_hand():
    """0.1 · (1 − 2^(−t/24)): 0.05 after 24 frames, 0.075 after 48."""
    reported = lost_chance(torch.tensor([[-1.0, 0.0, 24.0, 48.0]]))
    torch.testing.assert_close(reported, torch.tensor([[0.0, 0.0, 0.05, 0.075]]))


def test_the_nearest_slot_wins_a_token_and_nobody_wins_what_is_far_from_all():
    """By hand, at 1 m with σ = ½ everywhere: log N = −3/2·log(π/2) − 2·d² = −0.677 − 2·d²; kinship 8·(cos − ½).

    Tokens at the first slot (d = 0), between both (½ from each) and 3 m behind, all of nobody's identity (cos 0).
    """
    attention, count = SlotAttention(), 3
    facts = TokenFacts(
        dynamic=torch.ones(1, count),
        position=torch.tensor([[[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, -3.0]]]),
        distance=torch.ones(1, count),
        noise=torch.full((1, count), 0.5),
        identity=unit(7).expand(1, count, -1),
        clarity=torch.zeros(1, count),
    )
    tracks = standing(position=[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], identity=torch.stack((unit(0), unit(1))))
    with torch.no_grad():
        shares, nobody_s = attention(facts, tracks, torch.zeros(1, 4))
    weights = [exp(-0.677 - 2 * d**2 - 4 + 1.4) for d in (0.0, 1.0, 0.5)]
    first, second, half = (float(weight) for weight in weights)
    assert shares[0, 0, 0].item() == pytest.approx(first / (first + second + 1), abs=1e-3)
    assert shares[0, 1, 0].item() == pytest.approx(second / (first + second + 1), abs=1e-3)
    assert shares[0, :2, 1].tolist() == pytest.approx([half / (2 * half + 1)] * 2, abs=1e-3)
    assert nobody_s[0, 2] > 0.999
    assert shares[0, 2:].abs().sum() == 0
    torch.testing.assert_close(shares.sum(dim=1) + nobody_s, facts.dynamic)


def test_a_sighting_joins_what_tokens_tell():
    """Two tokens tell places 2 m apart, one four times as noisy in σ: weights 16 : 1, so 2/17 of the way."""
    scene = Scene([resting(1)], [unit(0)], [0])
    frame = scene.frame(0)
    facts = token_facts(frame)
    noise = torch.full((1, 24), 1.0)
    noise[0, 1] = 4.0
    position = torch.zeros(1, 24, 3)
    position[..., 2] = 8
    position[0, 1, 0] = 2.0
    shares = torch.zeros(1, 1, 24)
    shares[0, 0, :2] = 0.5
    reported = sight(shares, facts._replace(noise=noise, position=position), frame, (3, 3))
    assert reported.visibility[0, 0] == 0.5
    assert reported.position[0, 0, 0].item() == pytest.approx(2 / 17)
    apart = (16 * (2 / 17) ** 2 + (2 - 2 / 17) ** 2) / 17 / 3
    assert reported.variance[0, 0].item() == pytest.approx(((16 * 1 + 16) / 17 + apart) / 0.5)


def test_a_subject_seen_at_constant_velocity_is_where_it_should_be_after_30_hidden_frames():
    velocity = (0.06, 0.0, -0.03)
    seen = Scene([straight((-2.0, 1.0, 9.0), velocity, 8)], [unit(0)], [0] * 8)
    mover = tracker()
    state = seen.tracked(mover)[-1]
    truth = straight((-2.0, 1.0, 9.0), velocity, 8)[-1] + 30 * torch.tensor(velocity)
    predicted = mover.predict(state, torch.tensor([28.0]), torch.tensor([[43.0, 58.0]]))
    assert (predicted.position[0, -1, 0] - truth).norm() < 0.1
    assert predicted.variance[0, 1, 0] > predicted.variance[0, 0, 0] > state.covariance[0, 0, 0]
    assert (state.velocity[0, 0] - torch.tensor(velocity)).norm() < 0.003


def test_a_hidden_subject_keeps_identity_to_the_last_bit_and_moves_on():
    velocity = (0.05, 0.0, 0.0)
    scene = Scene([straight((-1.0, 1.0, 8.0), velocity, 16)], [unit(2)], [0] * 8 + [150] * 8)
    tokens = torch.randn(1, 24, 5, generator=torch.Generator().manual_seed(0))
    states = scene.tracked(tracker(), tokens)
    last, hidden = states[7], states[-1]
    for name in ("tokens", "identity", "box", "confidence", "last_seen", "born", "number", "turn_rate"):
        assert torch.equal(getattr(last, name), getattr(hidden, name)), name
    assert hidden.visibility[0, 0] == 0
    torch.testing.assert_close(hidden.position[0, 0], scene.positions[0, 0, -1], atol=0.1, rtol=0)


@pytest.mark.parametrize("identities", [(0, 1), (0, 0)], ids=["strangers", "duplicates"])
def test_two_subjects_that_cross_while_hidden_keep_their_identities(identities):
    """They walk towards each other, pass while the camera looks away, and come back on the other's side."""
    degrees = [0] * 8 + [150] * 8 + [0] * 4
    ways = [
        straight((-2.5, 1.0, 8.0), (0.08, 0.0, 0.0), 20),
        straight((2.5, 1.0, 9.5), (-0.08, 0.0, 0.0), 20),
    ]
    scene = Scene(ways, [unit(index) for index in identities], degrees)
    states = scene.tracked(tracker())
    assert states[7].filled.sum() == states[-1].filled.sum() == 2
    first, final = states[7], states[-1]
    for slot in range(2):
        subject = int((scene.positions[0, :, 7] - first.position[0, slot]).norm(dim=-1).argmin())
        torch.testing.assert_close(final.position[0, slot], scene.positions[0, subject, -1], atol=0.1, rtol=0)
        torch.testing.assert_close(final.identity[0, slot], unit(identities[subject]), atol=1e-4, rtol=0)
        assert final.last_seen[0, slot] == scene.times[-1]


def test_a_subject_that_changes_its_looks_in_view_keeps_its_slot():
    looks = torch.stack([unit(0)] * 4 + [unit(1)] * 20)
    states = Scene([resting(24)], [looks], [0] * 24).tracked(tracker())
    assert all(state.taken.sum() == 1 for state in states)
    learned = [float(state.identity[0, 0] @ unit(1)) for state in states[3:]]
    assert learned[0] == pytest.approx(0, abs=1e-4)
    assert learned == sorted(learned)
    assert learned[-1] > 0.99


def test_one_comes_back_where_it_was_not_expected_and_is_known_by_its_looks():
    """It turned round while hidden: 3 m from where it is believed to be, a stranger would be a newborn."""
    gone = straight((-2.0, 1.0, 8.0), (0.05, 0.0, 0.0), 8)
    back = torch.tensor([-1.5, 1.0, 8.0]).expand(12, 3)
    way, degrees = torch.cat((gone, back)), [0] * 8 + [150] * 10 + [0] * 2
    same = Scene([way], [unit(0)], degrees).tracked(tracker())[-1]
    assert same.filled.sum() == 1
    assert same.last_seen[0, 0] == 4 * 19
    torch.testing.assert_close(same.position[0, 0], back[0], atol=0.2, rtol=0)
    looks = torch.stack([unit(0)] * 8 + [unit(1)] * 12)
    other = Scene([way], [looks], degrees).tracked(tracker())[-1]
    assert other.number[0, :2].tolist() == [0, 1]
    assert other.filled.sum() == 2  # two frames show the stranger: it counts


def test_what_is_told_faintly_gives_birth_to_nobody():
    scene = Scene([resting(1)], [unit(0)], [0])
    scene.reading = scene.reading._replace(dynamic=torch.full_like(scene.reading.dynamic, -3.0))
    state = scene.tracked(tracker())[0]
    assert not state.taken.any()


def test_many_are_born_a_few_a_frame_and_no_more_than_there_are_slots():
    places = [resting(4, (x, 1.0, 8.0)) for x in (-4.0, -2.0, 0.0, 2.0, 4.0, 5.0)]
    scene = Scene(places, [unit(index) for index in range(6)], [0] * 4)
    states = scene.tracked(tracker())
    assert [int(state.taken.sum()) for state in states] == [BIRTHS_PER_FRAME, 4, 4, 4]
    assert [int(state.filled.sum()) for state in states] == [0, BIRTHS_PER_FRAME, 4, 4]
    assert states[-1].number.tolist() == [[0, 1, 2, 3]]


def test_one_mask_is_one_subject_however_its_tokens_are_read():
    """Tokens of one subject that are told at two places gave birth to two; a mask that holds them all, to one."""
    scene = Scene([resting(2)], [unit(0)], [0, 0])
    shown = scene.reading.dynamic[0, 0] > 0
    scene.reading.distance[:, :, shown.nonzero()[0, 0]] += (
        1.0  # its upper tokens are read 2.7 times as far off
    )
    assert shown.sum() > 2

    def met(parts):
        (tracks, births), before = nobody(), torch.tensor([-1.0])
        for index in range(2):
            frame = scene.frame(index)._replace(parts=parts)
            tracks, births, assigned = tracker().update(tracks, births, frame, before)
            before = frame.time
        return tracks.taken.sum(), assigned

    assert met(None)[0] == 2
    assert torch.equal(met(None)[1], met(torch.zeros(1, 24, dtype=torch.long))[1])
    count, assigned = met(shown.flatten()[None].long())
    assert count == 1
    torch.testing.assert_close(
        assigned[0, 0], scene.reading.dynamic[0, 1].sigmoid() * shown, atol=5e-3, rtol=0
    )
    apart = shown.flatten()[None].long() * (1 + torch.arange(24) // 6)  # a mask for each row: two subjects
    assert met(apart)[0] == 2


def test_without_masks_what_a_slot_half_claims_is_shared_with_a_newborn():
    shares, unclaimed = torch.tensor([[[0.4, 0.0]]]), torch.tensor([[0.6, 1.0]])
    kept = with_whole_parts(shares, unclaimed, together(None, unclaimed))
    assert torch.equal(kept[0], shares)
    assert torch.equal(kept[1], unclaimed)
    whole = with_whole_parts(shares, unclaimed, together(torch.tensor([[1, 2]]), unclaimed))
    assert whole[0].tolist() == [[[1.0, 0.0]]]
    assert whole[1].tolist() == [[0.0, 1.0]]


def test_when_all_slots_are_full_the_least_confident_goes_if_it_is_doubtful():
    scene = Scene([resting(1)], [unit(0)], [0])
    away = [[0.0, 1.0, -8.0]] * 4  # behind the camera: they are not expected in view
    for confidence, expected in (
        ([0.9, 0.3, 0.2, 0.6], [0, 1, 9, 3]),
        ([0.9, 0.7, 0.5, 0.6], [0, 1, 2, 3]),
    ):
        full = standing(position=away, confidence=confidence, last_seen=[-4.0] * 4)
        seen, births, _ = tracker().update(full, torch.tensor([9]), scene.frame(0), torch.tensor([-4.0]))
        assert seen.number[0].tolist() == expected
        assert births.item() == 9 + (9 in expected)


def test_pinned_slots_are_never_given_away():
    scene = Scene([resting(1)], [unit(0)], [0])
    full = standing(position=[[0.0, 1.0, -8.0]] * 4, confidence=[0.2] * 4, pinned=[True] * 4)
    seen, births, _ = tracker().update(full, torch.tensor([4]), scene.frame(0), torch.tensor([-4.0]))
    assert seen.number.tolist() == [[0, 1, 2, 3]]
    assert births.item() == 4


def test_confidence_halves_in_the_stated_time_only_where_one_should_be_seen():
    """Nobody is seen. The first should be in the middle of the picture, the second is behind the camera."""
    scene = Scene([resting(7, (0.0, 1.0, -8.0))], [unit(5)], [0] * 7)
    tracks = standing(position=[[0.0, 0.0, 6.0], [0.0, 0.0, -6.0]], confidence=[0.8, 0.8])
    births, before, halved = torch.tensor([2]), torch.tensor([0.0]), None
    for index in range(1, 7):
        tracks, births, _ = tracker().update(tracks, births, scene.frame(index), before)
        before = scene.times[index][None]
    assert before.item() == HALF_LIFE_FRAMES
    halved = tracks.confidence[0, :2]
    assert halved[0].item() == pytest.approx(0.4, abs=0.01)
    assert halved[1].item() == torch.tensor(0.8).item()


def test_one_that_should_be_seen_and_never_is_dies_unless_it_is_pinned():
    scene = Scene([resting(30, (0.0, 1.0, -8.0))], [unit(5)], [0] * 30)
    tracks = standing(position=[[-1.0, 0.0, 6.0], [1.0, 0.0, 6.0]], pinned=[False, True])
    births, before, alive = torch.tensor([2]), torch.tensor([0.0]), []
    for index in range(1, 30):
        tracks, births, _ = tracker().update(tracks, births, scene.frame(index), before)
        before = scene.times[index][None]
        assert tracks.filled[0, 1]
        alive += [before.item()] if tracks.filled[0, 0] else []
    soonest = HALF_LIFE_FRAMES * log2(10)  # if it were certain to be in view; doubt grows
    assert soonest - 4 <= alive[-1] < soonest + 16
    assert tracks.position[0, 0].tolist() == [0, 0, 0]


def test_confidence_grows_with_every_frame_that_shows_it():
    states = Scene([resting(3)], [unit(0)], [0] * 3).tracked(tracker())
    shown = 1 / (1 + exp(-6))
    expected = 0.5 * shown
    for state in states[1:]:
        expected += TRUST_GROWTH * shown * (1 - expected)
        assert state.confidence[0, 0].item() == pytest.approx(expected, abs=1e-4)


def test_doubles_become_one_and_the_elder_number_goes_on():
    scene = Scene([resting(1)], [unit(0)], [0])
    doubles = standing(
        position=[[0.3, 1.0, 8.0], [0.0, 1.0, 8.0]],
        covariance=[[0.5, 0.0, 0.0], [0.1, 0.0, 0.0]],
        identity=torch.stack((unit(0), unit(0))),
        number=[3, 7],
        confidence=[0.6, 0.9],
    )
    tracks, births, assigned = tracker().update(
        doubles, torch.tensor([8]), scene.frame(0), torch.tensor([0.0])
    )
    assert tracks.filled.tolist() == [[True, False, False, False]]
    assert tracks.number[0, 0] == 3
    assert tracks.confidence[0, 0] > 0.9
    assert births.item() == 8
    assert assigned[0, 1].abs().sum() == 0
    assert assigned[0, 0].amax() > 0.9


def test_strangers_at_one_place_stay_two():
    scene = Scene([resting(1)], [unit(0)], [0])
    strangers = standing(
        position=[[0.0, 1.0, 8.0]] * 2,
        covariance=[[0.1, 0.0, 0.0]] * 2,
        identity=torch.stack((unit(0), unit(1))),
    )
    tracks, _, _ = tracker().update(strangers, torch.tensor([2]), scene.frame(0), torch.tensor([0.0]))
    assert tracks.filled.sum() == 2


def test_a_box_that_the_side_of_the_picture_cuts_does_not_make_a_subject_narrower():
    """It moves out to the right; what is left in the picture is half as wide, the subject is not."""
    way = straight((4.6, 1.0, 8.0), (0.1, 0.0, 0.0), 6)
    scene = Scene([way], [unit(0)], [0] * 6)
    states = scene.tracked(tracker())
    widths = [float(state.box[0, 0, 2]) for state in states]
    assert widths == sorted(widths)


def test_a_reader_can_be_believed_less():
    """Noise told thrice too small: the newborn's variance is nine times what the reading says."""
    scene, mover = Scene([resting(1)], [unit(0)], [0]), tracker()
    reported = scene.tracked(mover)[0].covariance[0, 0, 0]
    with torch.no_grad():
        mover.log_noise.fill_(log(3))
    torch.testing.assert_close(scene.tracked(mover)[0].covariance[0, 0, 0], 9 * reported)


def test_clips_of_a_batch_do_not_touch_each_other():
    one = Scene([straight((-1.0, 1.0, 8.0), (0.05, 0.0, 0.0), 6)], [unit(0)], [0, 0, 0, 120, 0, 0])
    other = Scene([straight((1.0, 1.0, 5.0), (0.0, 0.0, 0.1), 6)], [unit(1)], [0, 30, 60, 30, 0, 0])
    mover = tracker()
    alone = [one.tracked(mover)[-1], other.tracked(mover)[-1]]
    together, births = (torch.cat((part, part)) for part in nobody()[0]), torch.zeros(2).long()
    tracks, before = type(alone[0])(*together), torch.full((2,), -1.0)
    for index in range(6):
        first, second = one.frame(index), other.frame(index)
        reading = type(first.reading)(*map(torch.cat, zip(first.reading, second.reading, strict=True)))
        frame = first._replace(
            tokens=torch.cat((first.tokens, second.tokens)),
            reading=reading,
            pose=torch.cat((first.pose, second.pose)),
            time=torch.cat((first.time, second.time)),
        )
        tracks, births, assigned = mover.update(tracks, births, frame, before)
        before = frame.time
    assert assigned.shape == (2, SETTINGS.subject_slots, *SIZE)
    for index, state in enumerate(alone):
        for name, value in state._asdict().items():
            torch.testing.assert_close(getattr(tracks, name)[index], value[0], msg=name)


def test_an_error_of_a_hidden_place_teaches_dynamics_and_reading():
    scene = Scene([straight((-1.0, 1.0, 8.0), (0.05, 0.0, 0.02), 10)], [unit(0)], [0] * 6 + [150] * 4)
    leaves = {name: part.clone().requires_grad_() for name, part in scene.reading._asdict().items()}
    scene.reading = type(scene.reading)(**leaves)
    mover = tracker()
    state = scene.tracked(mover, learning=True)[-1]
    (state.position[0, 0] - torch.tensor([3.0, 1.0, 8.0])).square().sum().backward()
    assert mover.dynamics.outer.weight.grad.abs().sum() > 0
    assert mover.log_noise.grad.abs() > 0
    assert leaves["offset"].grad.abs().sum() > 0
    assert leaves["distance"].grad.abs().sum() > 0
    grads = [leaf.grad for leaf in leaves.values() if leaf.grad is not None]
    grads += [parameter.grad for parameter in mover.parameters() if parameter.grad is not None]
    assert all(bool(grad.isfinite().all()) for grad in grads)


def test_autocast_does_not_round_places():
    scene = Scene([straight((-1.0, 1.0, 8.0), (0.05, 0.0, 0.02), 6)], [unit(0)], [0] * 6)
    plain = scene.tracked(tracker())[-1]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = scene.tracked(tracker())[-1]
    for name, value in plain._asdict().items():
        assert torch.equal(getattr(cast, name), value), name


def test_no_frame_leaves_anything_that_is_not_finite():
    """Readings of any kind: certain, impossible, far, near, beside the picture."""
    generator = torch.Generator().manual_seed(5)
    scene = Scene([resting(12)], [unit(0)], [30.0 * index for index in range(12)])
    wild = {
        name: torch.randn(part.shape, generator=generator) * (1 if name == "identity" else 4)
        for name, part in scene.reading._asdict().items()
    }
    wild["distance"] = wild["distance"].clamp(log(0.3), log(300))
    wild["noise"] = wild["noise"].clamp(log(0.005), log(2))
    wild["identity"] = torch.nn.functional.normalize(wild["identity"], dim=-1)
    scene.reading = type(scene.reading)(**wild)
    for state in scene.tracked(tracker()):
        assert all(bool(part.isfinite().all()) for part in state)


def test_one_hidden_for_a_thousand_frames_is_known_again_and_its_doubts_stay_true():
    scene, mover = Scene([straight(AHEAD, (0.05, 0.0, 0.0), 3)], [unit(2)], [0, 0, 0]), tracker()
    tracks = scene.tracked(mover)[1]
    births, before = torch.tensor([1]), scene.times[1][None]
    with torch.no_grad():
        for _ in range(250):
            tracks = mover.dynamics.advance(tracks, before, torch.tensor([4.0]))
            before = before + 4
        tracks = tracks._replace(position=scene.positions[:, :, 1].expand_as(tracks.position))
        for _ in range(3):  # it has come back, and stands there
            frame = scene.frame(2)._replace(time=before + 4)
            tracks, births, _ = mover.update(tracks, births, frame, before)
            before = frame.time
            assert (tracks.filled[0].tolist(), births.tolist()) == ([True, False, False, False], [1])
            assert tracks.last_seen[0, 0] == before
            place, mixed, speed = tracks.covariance[0, 0].tolist()
            assert place > 0
            assert speed > 0
            assert mixed**2 <= place * speed * 1.001
    assert all(bool(part.isfinite().all()) for part in tracks)


BEHIND = (0.0, 1.0, -8.0)


def shown_by(scene, probability):
    """Let tokens that show a subject say so with this probability, frame by frame."""
    logit = torch.tensor(probability).logit()[None, :, None, None]
    reported = torch.where(scene.reading.dynamic > 0, logit, scene.reading.dynamic)
    scene.reading = scene.reading._replace(dynamic=reported)
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
    held, births, _ = tracker().update(tracks, torch.tensor([9]), frame, torch.tensor([now]))
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
    held, duplicates = merged_duplicates(doubles(pinned=[False, True]), 0.3)
    assert held.filled.tolist() == [[False, True, False, False]]
    assert (held.number[0, 1], held.born[0, 1]) == (7, 8)
    assert held.pinned[0, 1]
    assert duplicates[0, 1, 0]  # slot 0 went into slot 1
    assert held.position[0, 1].tolist() == list(AHEAD)  # where it is better known to be


def test_two_that_are_pinned_stay_two():
    pinned = doubles(pinned=[True, True])
    held, duplicates = merged_duplicates(pinned, 0.3)
    assert not duplicates.any()
    assert all(torch.equal(part, before) for part, before in zip(held, pinned, strict=True))


def test_the_number_that_counts_goes_on_before_an_elder_that_does_not_yet():
    held, _ = merged_duplicates(doubles(filled=[False, True], tentative=[True, False]), 0.3)
    assert held.number[0, 1] == 7
    assert held.filled.tolist() == [[False, True, False, False]]
    assert not held.tentative.any()


def test_two_that_do_not_count_yet_are_one_that_does_not_count_yet():
    held, _ = merged_duplicates(doubles(filled=[False, False], tentative=[True, True]), 0.3)
    assert held.number[0, 0] == 3
    assert held.tentative.tolist() == [[True, False, False, False]]
    assert not held.filled.any()


def test_an_empty_tracker_holds_nobody():
    tracks, _ = nobody()
    assert not tracks.taken.any()
