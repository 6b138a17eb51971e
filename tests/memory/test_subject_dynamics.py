"""How unseen subjects move: by hand, and against small steps."""

from math import exp, pi

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tracked_scenes import SETTINGS, standing

from outofsight.memory.banks.dynamics import (
    FASTEST_START,
    FASTEST_STOP,
    LARGEST_VARIANCE,
    SubjectDynamics,
    grown,
    moved,
)

RATES = st.floats(-0.005, 0.1)
TURNS = st.floats(-0.15, 0.15)


def row(*values: float) -> torch.Tensor:
    return torch.tensor([values])


def taught(seed: int = 0) -> SubjectDynamics:
    """Dynamics that have learned something or other."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        dynamics = SubjectDynamics(SETTINGS.identity_width)
        torch.nn.init.normal_(dynamics.outer.weight, std=0.3)
        torch.nn.init.normal_(dynamics.outer.bias, std=0.5)
    return dynamics


def test_untaught_dynamics_are_constant_velocity_to_the_last_bit():
    tracks = standing(
        position=[[1.0, 2.0, 3.0]], velocity=[[0.13, -0.01, 0.07]], turn_rate=[0.1], last_seen=[4.0]
    )
    later = SubjectDynamics(SETTINGS.identity_width).advance(tracks, torch.tensor([9.0]), torch.tensor([7.0]))
    assert torch.equal(later.velocity, tracks.velocity)
    assert torch.equal(later.position[0, 0], tracks.position[0, 0] + 7 * tracks.velocity[0, 0])
    for name in set(tracks._fields) - {"position", "covariance"}:
        assert torch.equal(getattr(later, name), getattr(tracks, name)), name


def test_a_quarter_turn_by_hand():
    """0.1 m and 0.05 rad a frame: a circle of 2 m. From heading ahead (z), to the left (−x) about up = −y."""
    turn = 0.05
    way, velocity = moved(torch.tensor([[[0.0, 0.0, 0.1]]]), row(0.0), row(turn), row(pi / 2 / turn))
    torch.testing.assert_close(velocity, row([-0.1, 0.0, 0.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(way, row([-2.0, 0.0, 2.0]), atol=1e-5, rtol=0)


def test_stopping_by_hand():
    """At rate 0.1 a frame, 10 frames leave 1/e of the speed; the way is (1 − 1/e)/0.1 times it, upwards too."""
    way, velocity = moved(row([0.2, 0.0, 0.0]), row(0.1), row(0.0), row(10.0))
    torch.testing.assert_close(velocity, row([0.2 * exp(-1), 0.0, 0.0]))
    torch.testing.assert_close(way, row([2 * (1 - exp(-1)), 0.0, 0.0]))
    way, _ = moved(row([0.0, 0.2, 0.0]), row(0.1), row(0.05), row(10.0))
    torch.testing.assert_close(way, row([0.0, 2 * (1 - exp(-1)), 0.0]))


@settings(max_examples=30, deadline=None)
@given(RATES, TURNS, st.floats(0, 20), st.floats(0, 20))
def test_two_spans_are_one(decay, turn, first, second):
    velocity = torch.tensor([[[0.3, 0.1, -0.2]]])
    once = moved(velocity, row(decay), row(turn), row(first + second))
    one_way, between = moved(velocity, row(decay), row(turn), row(first))
    other_way, end = moved(between, row(decay), row(turn), row(second))
    torch.testing.assert_close(once[0], one_way + other_way, atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(once[1], end, atol=1e-5, rtol=1e-4)


@settings(max_examples=20, deadline=None)
@given(RATES, TURNS)
def test_the_way_is_the_sum_of_velocities(decay, turn):
    """Against 4,000 small steps of the midpoint rule."""
    velocity = torch.tensor([[[0.1, 0.0, 0.2]]])
    times = ((torch.arange(4000) + 0.5) / 4000 * 40).view(1, -1)
    many = velocity.expand(1, 4000, 3)
    _, velocities = moved(many, row(decay).expand(1, 4000), row(turn).expand(1, 4000), times)
    way, _ = moved(velocity, row(decay), row(turn), row(40.0))
    torch.testing.assert_close(way[0, 0], velocities[0].mean(dim=0) * 40, atol=2e-4, rtol=1e-4)


def test_a_mirrored_world_moves_as_the_mirror_image():
    mirror = torch.tensor([-1.0, 1.0, 1.0])
    given_here = {"position": [[1.0, 0.0, 5.0]], "velocity": [[0.1, 0.0, 0.05]], "turn_rate": [0.08]}
    here = standing(**given_here)
    there = here._replace(
        position=here.position * mirror, velocity=here.velocity * mirror, turn_rate=-here.turn_rate
    )
    now, span = torch.tensor([10.0]), torch.tensor([12.0])
    with torch.no_grad():
        moved_here, moved_there = (taught().advance(tracks, now, span) for tracks in (here, there))
    torch.testing.assert_close(moved_here.position * mirror, moved_there.position)
    torch.testing.assert_close(moved_here.velocity * mirror, moved_there.velocity)
    assert not torch.allclose(moved_here.position, here.position + 12 * here.velocity, atol=0.05)


def test_what_is_learned_is_bounded():
    tracks = standing(velocity=[[0.1, 0.0, 0.0]] * 3, turn_rate=[5.0, -5.0, 0.0])
    for bias in (50.0, -50.0):
        dynamics = SubjectDynamics(SETTINGS.identity_width)
        torch.nn.init.constant_(dynamics.outer.bias, bias)
        with torch.no_grad():
            motion = dynamics.motion(tracks, torch.zeros(1, 4))
        assert motion.decay.max() <= FASTEST_STOP + 1e-6
        assert motion.decay.min() >= -FASTEST_START - 1e-6
        assert motion.turn.abs().max() <= 0.15 + 1e-6
        assert motion.turn[0, 2] == 0


def test_doubt_grows_by_hand():
    """Five frames: variance 1 + 25·0.04 + 0.003·125/3 = 2.125; 5·0.04 + 0.003·25/2 = 0.2375; 0.04 + 0.015."""
    covariance = torch.tensor([[[1.0, 0.0, 0.04]]])
    later = grown(covariance, row(0.003), row(5.0))
    torch.testing.assert_close(later, torch.tensor([[[2.125, 0.2375, 0.055]]]))


def test_doubt_is_bounded_in_worlds_without_end():
    tracks = standing(covariance=[[1.0, 0.0, 0.1]], velocity=[[0.1, 0.0, 0.0]])
    dynamics, now = SubjectDynamics(SETTINGS.identity_width), torch.tensor([0.0])
    with torch.no_grad():
        for _ in range(60):
            tracks = dynamics.advance(tracks, now, torch.tensor([1000.0]))
            now = now + 1000
    assert tracks.covariance.max() == LARGEST_VARIANCE
    assert all(bool(part.isfinite().all()) for part in tracks)


def test_speed_is_bounded_in_worlds_without_end():
    """A rate of −0.005 would make 0.1 m a frame into e^99 times that in 20,000 frames: more than float32 holds."""
    tracks = standing(velocity=[[0.06, 0.0, 0.08], [0.0, 0.0, 0.0]])
    dynamics, now = SubjectDynamics(SETTINGS.identity_width), torch.tensor([0.0])
    torch.nn.init.constant_(dynamics.outer.bias, -50.0)
    with torch.no_grad():
        for _ in range(200):
            tracks = dynamics.advance(tracks, now, torch.tensor([100.0]))
            now = now + 100
    torch.testing.assert_close(tracks.velocity[0, :2], torch.tensor([[6.0, 0.0, 8.0], [0.0, 0.0, 0.0]]))
    assert bool(tracks.position.isfinite().all())


def test_prediction_is_advancing_from_time_to_time():
    tracks = standing(
        position=[[0.0, 0.0, 5.0]], velocity=[[0.1, 0.0, 0.0]], turn_rate=[0.1], covariance=[[0.1, 0.0, 0.01]]
    )
    dynamics, now, times = taught(), torch.tensor([3.0]), torch.tensor([[3.0, 7.0, 11.0]])
    with torch.no_grad():
        predicted = dynamics.predict(tracks, now, times)
        assert torch.equal(predicted.position[:, 0], tracks.position)
        for index in range(3):
            tracks = dynamics.advance(tracks, now, times[:, index] - now)
            now = times[:, index]
            assert torch.equal(predicted.position[:, index], tracks.position)
            assert torch.equal(predicted.variance[:, index], tracks.covariance[..., 0])
    assert predicted.filled.tolist() == [[True, False, False, False]]


def test_empty_slots_stay_empty():
    tracks = standing(position=[[0.0, 0.0, 5.0]])
    with torch.no_grad():
        later = taught().advance(tracks, torch.tensor([0.0]), torch.tensor([8.0]))
    for part in later:
        assert part[0, 1:].abs().sum() == 0 if part.dtype != torch.bool else not part[0, 1:].any()


@pytest.mark.parametrize(("decays", "expected"), [(True, 0.05), (False, 0.2)])
def test_stopping_can_be_learned(decays, expected):
    """Subjects stop soon after they were last seen, or do not; eighty steps tell which."""
    dynamics = SubjectDynamics(SETTINGS.identity_width)
    torch.nn.init.constant_(dynamics.inner.weight, 0.01)  # told nothing apart, it is only a bias that learns
    tracks = standing(velocity=[[0.2, 0.0, 0.0]] * 4)
    optimiser = torch.optim.Adam(dynamics.parameters(), lr=0.01)
    for _ in range(80):
        optimiser.zero_grad()
        later = dynamics.advance(tracks, torch.tensor([0.0]), torch.tensor([20.0]))
        (later.velocity[..., 0] - expected).square().sum().backward()
        optimiser.step()
    assert later.velocity[0, 0, 0].item() == pytest.approx(expected, abs=0.02)
