"""Between places on the token grid and metres: by hand, there and back, and against the rooms that say it too."""

from math import radians

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tracked_scenes import turned

from models import lens
from outofsight.geometry.frustum import project
from outofsight.memory.banks.placing import place_subjects, positions_told, project_points, rays_through
from outofsight.memory.banks.true_reading import reading_from_truth, shares_of_boxes
from outofsight.nn.rays import token_rays
from outofsight.types import Intrinsics, LatentGrid

LEVEL = torch.eye(3, 4).flatten()[None]
RIGHT_ANGLE = lens(90, 4, 4)
LENS = lens(78, 4, 6)


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
    ours = rays_through(rows.flatten()[None], columns.flatten()[None], pose, (4, 6), LENS)
    theirs = token_rays(pose[:, None], grid, LENS)
    torch.testing.assert_close(ours[0], theirs[0])
    torch.testing.assert_close(ours[1], theirs[1])


def test_projection_agrees_with_geometry():
    pose = some_pose(1)
    camera = Intrinsics.from_fov(width_px=96, height_px=64, fov_x_rad=radians(78))
    matrix = pose.view(3, 4).double().numpy()
    local = np.array([[0.5, -0.3, 4.0], [-1.0, 0.4, 9.0]])
    points = local @ matrix[:, :3].T + matrix[:, 3]
    pixels, _ = project(points, matrix, camera)
    seen = project_points(torch.tensor(points)[None], pose, (4, 6), LENS)
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
        point.view(1, 1, 1, 3), torch.ones(1, 1, 1, 4), torch.ones(1, 1, 1, 4, 6), pose[:, None], LENS
    )
    told = positions_told(reading, pose[:, None], LENS[:, None])
    torch.testing.assert_close(told, point.expand_as(told), atol=1e-3, rtol=1e-4)


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
