"""The scene reader: what it may look at, and that it can learn."""

from math import log, radians

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tracked_scenes import turned
from torch.nn.functional import binary_cross_entropy_with_logits

from models import lens
from outofsight.errors import InputError
from outofsight.geometry.frustum import project
from outofsight.memory.banks.scene_reader import (
    LEAST_NOISE,
    MOST_NOISE,
    SceneReader,
    frame_of,
    place_subjects,
    project_points,
    read_positions,
    reading_from_truth,
    shares_of_boxes,
)
from outofsight.memory.banks.sighting import FrameSeen
from outofsight.memory.banks.state import BankSettings, empty_banks
from outofsight.memory.banks.tracker import Tracker
from outofsight.nn.rope import rays_through, token_rays
from outofsight.types import Intrinsics, LatentGrid

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
            for reported, expected in zip(piece, at_once, strict=True):
                torch.testing.assert_close(
                    reported[:, begin - first :], expected[:, begin:end], atol=1e-5, rtol=1e-4
                )


def test_clips_of_a_batch_do_not_touch_each_other():
    whole, model = latents(), reader()
    with torch.no_grad():
        together, alone = model(whole, LENS), model(whole[1:], LENS[1:])
    for first, second in zip(together, alone, strict=True):
        torch.testing.assert_close(first[1:], second, atol=1e-5, rtol=1e-4)


def test_an_untaught_reader_gives_birth_to_nobody():
    model, settings = SceneReader(16, 64, 32, (2, 2)), BankSettings()
    reported = 3 * torch.randn(1, 16, 6, 8, 12, generator=torch.Generator().manual_seed(2))
    banks, mover, before = empty_banks(settings, 24, 5), Tracker(settings), torch.tensor([-1.0])
    tracks, births, level = banks.tracks, banks.births, torch.eye(3, 4).flatten()[None]
    with torch.no_grad():
        reading = model(reported, LENS[:1])
        assert reading.dynamic.sigmoid().max() < 0.2
        for index in range(6):
            frame = FrameSeen(
                torch.zeros(1, 24, 5), frame_of(reading, index), level, torch.tensor([4.0 * index]), LENS[:1]
            )
            tracks, births, _ = mover.update(tracks, births, frame, before)
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
    assert read_positions(reading, torch.eye(3, 4).flatten().expand(2, 7, 12), LENS[:, None]).isfinite().all()


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


LEVEL = torch.eye(3, 4).flatten()[None]
RIGHT_ANGLE = lens(90, 4, 4)
SMALL_LENS = lens(78, 4, 6)


def some_pose(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator))
    rotation = rotation * torch.linalg.det(rotation)
    return torch.cat((rotation, torch.randn(3, 1, generator=generator)), dim=1).flatten()[None]


def test_projection_by_hand():
    """Field of view 90°, 4×4 tokens: a point half-way to the right edge lies at column (0.5 + 1)/2·4 − ½ = 2.5."""
    points = torch.tensor([[[0.0, 0.0, 5.0], [2.5, -5.0, 5.0], [0.0, 0.0, -5.0]]])
    seen = project_points(points, LEVEL, (4, 4), RIGHT_ANGLE)
    torch.testing.assert_close(seen.columns, torch.tensor([[1.5, 2.5, 1.5]]))
    torch.testing.assert_close(seen.rows, torch.tensor([[1.5, -0.5, 1.5]]))
    assert seen.in_front.tolist() == [[True, True, False]]
    torch.testing.assert_close(seen.tokens_per_metre[0, 0], torch.tensor(0.4))


def test_identity_tokens_fill_the_box():
    """A box of 5 m at 5 m distance is 2 tokens wide: a grid of 2 × 2 has its columns at 1.5 ± ½."""
    placed = place_subjects(
        torch.tensor([[[0.0, 0.0, 5.0]]]),
        torch.tensor([[[0.0, -2.5, 2.5, 2.5]]]),
        LEVEL,
        (4, 4),
        RIGHT_ANGLE,
        (2, 2),
    )
    torch.testing.assert_close(placed.columns, torch.tensor([[[1.0, 2.0, 1.0, 2.0]]]))
    torch.testing.assert_close(placed.rows, torch.tensor([[[0.0, 0.0, 1.0, 1.0]]]))
    assert placed.in_view.all()


def test_a_subject_is_in_view_as_long_as_its_box_is():
    box = torch.tensor([[[0.0, 0.0, 1.0, 1.0]]]).expand(1, 4, 4)
    position = torch.tensor([[[5.5, 0.0, 5.0], [6.5, 0.0, 5.0], [0.0, 0.0, -5.0], [0.0, -6.5, 5.0]]])
    placed = place_subjects(position, box, LEVEL, (4, 4), RIGHT_ANGLE, (3, 3))
    assert placed.in_view.tolist() == [[True, False, False, False]]
    assert all(bool(part.isfinite().all()) for part in placed)


def test_rays_through_middles_are_the_tokens_own():
    pose, grid = some_pose(0), LatentGrid(frames=1, height=4, width=6)
    rows, columns = torch.meshgrid(torch.arange(4.0), torch.arange(6.0), indexing="ij")
    ours = rays_through(rows.flatten()[None], columns.flatten()[None], pose, (4, 6), SMALL_LENS)
    theirs = token_rays(pose[:, None], grid, SMALL_LENS)
    torch.testing.assert_close(ours[0], theirs[0])
    torch.testing.assert_close(ours[1], theirs[1])


def test_projection_agrees_with_geometry():
    pose = some_pose(1)
    camera = Intrinsics.from_fov(width_px=96, height_px=64, fov_x_rad=radians(78))
    matrix = pose.view(3, 4).double().numpy()
    local = np.array([[0.5, -0.3, 4.0], [-1.0, 0.4, 9.0]])
    points = local @ matrix[:, :3].T + matrix[:, 3]
    pixels, _ = project(points, matrix, camera)
    seen = project_points(torch.tensor(points)[None], pose, (4, 6), SMALL_LENS)
    torch.testing.assert_close(
        seen.columns[0], torch.tensor(pixels[:, 0] / 16 - 0.5).float(), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(seen.rows[0], torch.tensor(pixels[:, 1] / 16 - 0.5).float(), atol=1e-4, rtol=0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(-2, 2), st.floats(-2, 2), st.floats(2, 30))
def test_a_true_reading_tells_the_true_place(seed, x, y, z):
    pose = some_pose(seed)
    matrix = pose.view(3, 4)
    point = matrix[:, :3] @ torch.tensor([x, y, z]) + matrix[:, 3]
    reading = reading_from_truth(
        point.view(1, 1, 1, 3), torch.ones(1, 1, 1, 4), torch.ones(1, 1, 1, 4, 6), pose[:, None], SMALL_LENS
    )
    reported = read_positions(reading, pose[:, None], SMALL_LENS[:, None])
    torch.testing.assert_close(reported, point.expand_as(reported), atol=1e-3, rtol=1e-4)


def test_a_true_reading_gives_tokens_to_who_covers_most_of_them():
    position = torch.tensor([[[[0.0, 0.0, 5.0]], [[0.0, 0.0, 9.0]]]])
    identity = torch.eye(2)[None, :, None]
    shares = torch.zeros(1, 2, 1, 1, 3)
    shares[0, :, 0, 0] = torch.tensor([[0.6, 0.2, 0.05], [0.3, 0.7, 0.0]])
    reading = reading_from_truth(position, identity, shares, LEVEL[:, None], RIGHT_ANGLE)
    assert (reading.dynamic[0, 0, 0] > 0).tolist() == [True, True, False]
    assert reading.identity[0, 0, 0, :2].argmax(dim=-1).tolist() == [0, 1]
    torch.testing.assert_close(reading.distance[0, 0, 0, :2].exp(), torch.tensor([5.0, 9.0]))


def test_boards_cover_tokens_by_hand():
    """At 4 m and 90°, a metre is half a token of 4 columns; the board [1, 3] m covers column 2 by half, 3 by half."""
    position = torch.tensor([[[[2.0, 0.0, 4.0]]]])
    shares = shares_of_boxes(
        position, torch.tensor([[[0.0, 0.0, 1.0, 4.0]]]), LEVEL[:, None], (4, 4), RIGHT_ANGLE
    )
    expected = torch.tensor([0.0, 0.0, 0.5, 0.5]).expand(4, 4)
    torch.testing.assert_close(shares[0, 0, 0], expected)


def test_the_nearer_board_hides_the_farther():
    position = torch.tensor([[[[0.0, 0.0, 8.0]], [[0.0, 0.0, 4.0]]]])
    box = torch.tensor([[[0.0, 0.0, 8.0, 8.0], [0.0, 0.0, 4.0, 2.0]]])
    shares = shares_of_boxes(position, box, LEVEL[:, None], (4, 4), RIGHT_ANGLE)[0, :, 0]
    torch.testing.assert_close(shares[1, :, 0], torch.tensor([0.0, 1.0, 1.0, 0.0]))
    torch.testing.assert_close(shares[0, :, 0], torch.tensor([1.0, 0.0, 0.0, 1.0]))


def test_who_is_behind_the_camera_covers_nothing():
    position = torch.tensor([[[[0.0, 0.0, 4.0], [0.0, 0.0, 4.0]]]])
    shares = shares_of_boxes(
        position, torch.tensor([[[0.0, 0.0, 1.0, 1.0]]]), turned(0, 180), (4, 4), RIGHT_ANGLE
    )
    assert shares[0, 0, 0].sum() > 0
    assert shares[0, 0, 1].sum() == 0
