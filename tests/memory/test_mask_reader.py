"""Who is a subject, without the truth: what other views say of a frame, and the network that reads it."""

import pytest
import torch

from outofsight.memory.banks.mask_reader import EVIDENCE_CHANNELS, MaskReader, evidence
from rendered_scenes import LENS, SIZE, painted, pose, to_bytes, views_of, within


def square_at(camera: torch.Tensor, column: int) -> torch.Tensor:
    """The sky as a camera sees it, and a white square of 6×6 pixels that hides it."""
    pixels = to_bytes(painted(camera))
    pixels[:, 5:11, column : column + 6] = 255
    return pixels


def test_evidence_shows_what_moved():
    """Three views of one camera, the square elsewhere in each: their median is the sky alone."""
    columns = (2, 12, 22)
    frames = torch.stack([square_at(pose(), column) for column in columns])[None]
    views = views_of(pose(), pose(), pose())._replace(pixels=frames)
    sky = to_bytes(painted(pose())).float() / 127.5 - 1
    moved = torch.zeros(SIZE, dtype=torch.bool)
    moved[5:11, 28:] = True  # where a fourth frame shows the square
    reported = evidence(
        views, square_at(pose(), 28)[None, None], pose()[:, None], LENS, torch.tensor([[9.0]])
    )
    assert reported.shape == (1, 1, EVIDENCE_CHANNELS, *SIZE)
    frame, median, apart, share = (
        reported[0, 0, :3],
        reported[0, 0, 3:6],
        reported[0, 0, 7],
        reported[0, 0, 8],
    )
    torch.testing.assert_close(median, sky, atol=1e-5, rtol=0)
    difference = reported[0, 0, 6]
    torch.testing.assert_close(difference, (frame - median).abs().mean(dim=0))
    assert (difference[~moved] < 1e-5).all()
    assert (difference[moved] > 0.1).float().mean() > 0.9
    # One witness of three saw the square at each of these places; the mean of their deviations tells of it.
    for column in columns:
        one_square = (1 - sky[:, 5:11, column : column + 6]).abs().mean(dim=0) / 3
        torch.testing.assert_close(apart[5:11, column : column + 6], one_square, atol=1e-5, rtol=0)
    assert (share == 1).all()


def test_a_view_of_the_frames_own_time_is_no_witness():
    views = views_of(pose(), pose())._replace(
        pixels=torch.stack((square_at(pose(), 3), to_bytes(painted(pose()))))[None]
    )
    reported = evidence(views, views.pixels[:, :1], pose()[:, None], LENS, torch.tensor([[0.0]]))
    torch.testing.assert_close(reported[0, 0, 3:6], painted(pose()), atol=0.01, rtol=0)
    assert (reported[0, 0, 8] == 0.5).all()  # of two views one testifies
    alone = evidence(views, views.pixels[:, :1], pose()[:, None], LENS, torch.tensor([[5.0]]))
    assert (alone[0, 0, 8] == 1).all()


def test_where_nobody_testifies_the_frame_stands_for_itself():
    frame = square_at(pose(), 3)
    reported = evidence(views_of(pose(30.0)), frame[None, None], pose()[:, None], LENS, torch.tensor([[9.0]]))
    seen = within(pose(), pose(30.0))
    assert torch.equal(reported[0, 0, 8] > 0, seen)
    assert torch.equal(reported[0, 0, 3:6][:, ~seen], reported[0, 0, :3][:, ~seen])
    assert (reported[0, 0, 6:8][:, ~seen] == 0).all()
    nobody = views_of(pose(), filled=torch.zeros(1, 1, dtype=torch.bool))
    reported = evidence(nobody, frame[None, None], pose()[:, None], LENS, torch.tensor([[9.0]]))
    assert torch.equal(reported[0, 0, 3:6], reported[0, 0, :3])
    assert not reported[0, 0, 6:].any()
    assert reported.isfinite().all()


def test_what_a_view_takes_for_a_subject_is_no_testimony():
    views = views_of(pose(), pose())._replace(
        pixels=torch.stack((square_at(pose(), 3), to_bytes(painted(pose()))))[None]
    )
    views.static[0, 0, 5:11, 3:9] = 0
    reported = evidence(
        views, to_bytes(painted(pose()))[None, None], pose()[:, None], LENS, torch.tensor([[9.0]])
    )
    assert (reported[0, 0, 8, 5:11, 3:9] == 0.5).all()
    assert (reported[0, 0, 6:8] < 1e-5).all()


@pytest.mark.parametrize("size", [(16, 32), (13, 21), (7, 9), (1, 1)])
def test_masks_are_read_in_pictures_of_any_size(size):
    torch.manual_seed(0)
    reader = MaskReader(4)
    reported = torch.randn(3, EVIDENCE_CHANNELS, *size)
    with torch.no_grad():
        logits = reader(reported)
        one = reader(reported[1:2])
    assert logits.shape == (3, *size)
    torch.testing.assert_close(one, logits[1:2], rtol=1e-4, atol=1e-5)
    assert float(logits.mean()) < -1  # at first nothing is likely to be a subject


def test_what_did_not_move_is_no_subject_unless_nobody_saw_its_place():
    """Four squares look like subjects: one moved, one stands where witnesses saw it stand, one of which only a corner
    was seen, one in a second frame, that moved there alone."""
    first, second = slice(2, 8), slice(12, 18)
    squares = [(0, first, first), (0, first, second), (0, slice(10, 15), slice(22, 28)), (1, first, second)]

    class Four(MaskReader):
        def forward(self, evidence):
            logits = torch.full_like(evidence[:, 0], -30.0)
            for place in squares:
                logits[place] = 30.0
            return logits

    reported = torch.zeros(2, EVIDENCE_CHANNELS, *SIZE)
    reported[:, 8] = 1
    reported[0, 6, 2:8, 2:8] = reported[1, 6, 2:8, 12:18] = 0.1
    reported[0, 8, 10:15, 23:28] = 0
    expected = torch.zeros(2, *SIZE)
    for place in (squares[0], *squares[2:]):
        expected[place] = 1
    assert torch.equal(Four(4).shares(reported), expected)


def test_it_learns_what_differs_from_the_witnesses():
    torch.manual_seed(0)
    reader = MaskReader(4)
    reported = torch.zeros(4, EVIDENCE_CHANNELS, *SIZE)
    mask = torch.zeros(4, *SIZE)
    for index in range(4):
        mask[index, 4:10, 5 * index : 5 * index + 6] = 1
    reported[:, :3] = mask[:, None]
    optimizer = torch.optim.Adam(reader.parameters(), lr=0.01)
    losses = []
    for _ in range(10):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(reader(reported), mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    assert all(parameter.grad is not None for parameter in reader.parameters())
