"""How video frames and latent frames go together, worked out by hand."""

import pytest

from outofsight.errors import InputError
from outofsight.types import WAN_CLOCK, LatentClock


def test_a_video_by_hand():
    assert [WAN_CLOCK.num_latent(number) for number in (1, 5, 9, 77)] == [1, 2, 3, 20]
    assert [WAN_CLOCK.num_frames(number) for number in (1, 2, 3, 20)] == [1, 5, 9, 77]
    assert WAN_CLOCK.frames(9).tolist() == [0, 4, 8]
    assert WAN_CLOCK.spans(9) == [slice(0, 1), slice(1, 5), slice(5, 9)]
    assert LatentClock(3).frames(7).tolist() == [0, 3, 6]
    assert [WAN_CLOCK.whole(number) for number in (1, 4, 5, 8, 9)] == [1, 1, 5, 5, 9]


def test_what_goes_on_by_hand():
    """Frames 9 to 16 of a video, the third and fourth latent frame, come after others."""
    assert WAN_CLOCK.num_latent(8, goes_on=True) == 2
    assert WAN_CLOCK.num_frames(2, goes_on=True) == 8
    assert WAN_CLOCK.frames(8, goes_on=True).tolist() == [3, 7]


@pytest.mark.parametrize(
    ("num_frames", "near"),
    [(76, "73 or 77"), (78, "77 or 81"), (2, "1 or 5"), (0, "1"), (-3, "1"), (-9, "1")],
)
def test_another_number_of_frames_is_refused_with_the_nearest_that_fit(num_frames, near):
    says = rf"4·k \+ 1 video frames, got {num_frames}; the nearest such number: {near}$"
    for asked in (WAN_CLOCK.num_latent, WAN_CLOCK.frames, WAN_CLOCK.spans):
        with pytest.raises(InputError, match=says):
            asked(num_frames)


@pytest.mark.parametrize(("num_frames", "near"), [(5, "4 or 8"), (3, "4"), (0, "4"), (-9, "4")])
def test_another_number_of_frames_that_go_on_is_refused(num_frames, near):
    with pytest.raises(
        InputError, match=rf"4·k video frames, got {num_frames}; the nearest such number: {near}$"
    ):
        WAN_CLOCK.num_latent(num_frames, goes_on=True)


def test_a_clock_without_a_stride_is_refused():
    with pytest.raises(InputError, match="stride must be ≥ 1, got 0"):
        LatentClock(0)
