"""Rotations and a lens from matches that we make."""

from pathlib import Path

import numpy as np
import pytest

from outofsight.camera_estimation.matches import Matches, Pair
from outofsight.camera_estimation.turning import estimate_turning
from outofsight.camera_estimation.verdict import disagreement
from outofsight.geometry.path_expressions import make_path
from outofsight.types import Intrinsics

LENS = Intrinsics.from_fov(width_px=320, height_px=240, fov_x_rad=np.radians(70))


def matches_of(expression, num_frames=9, *, wrong=0.1, last=None):
    """Project random rays into pairs of frames: half a pixel of noise, and a share of matches of something else."""
    generator = np.random.default_rng(0)
    poses = make_path(expression, num_frames).world_from_camera
    pairs = []
    for first, second in ((i, i + gap) for gap in (1, 2, 4) for i in range(num_frames - gap)):
        if last is not None and second > last:
            continue
        pixels = generator.uniform(0, [320, 240], (150, 2))
        rays = np.column_stack([(pixels - [160, 120]) / LENS.fx_px, np.ones(150)])
        seen = rays @ poses[first, :, :3].T @ poses[second, :, :3]
        there = LENS.fx_px * seen[:, :2] / seen[:, 2:] + [160, 120] + generator.normal(0, 0.3, (150, 2))
        there[: int(150 * wrong)] += 25
        pairs.append(Pair(first=first, second=second, first_px=pixels, second_px=there))
    return poses, Matches(
        pairs=tuple(pairs), database=Path(), num_frames=num_frames, height_px=240, width_px=320
    )


@pytest.mark.parametrize("expression", ["pan:left:40", "tilt:up:20+pan:right:15", "roll:left:20,pan:left:15"])
def test_turns_and_lens(expression):
    poses, matches = matches_of(expression)
    turning = estimate_turning(matches, None)
    found = np.concatenate([turning.rotations, np.zeros((9, 3, 1))], axis=2)
    assert disagreement(poses, found)[0] < 0.1
    assert turning.focal_px == pytest.approx(LENS.fx_px, rel=0.005)
    assert turning.fitting_share == pytest.approx(0.87, abs=0.06)
    assert turning.joined == 9


def test_a_known_lens_stays():
    turning = estimate_turning(matches_of("pan:left:10")[1], LENS)
    assert turning.focal_px == LENS.fx_px
    assert turning.fov_deviation_deg == 0


def test_what_hardly_turns_does_not_tell_its_lens():
    sure, unsure = (
        estimate_turning(matches_of(f"pan:left:{turn}")[1], None).fov_deviation_deg for turn in (40, 0.2)
    )
    assert unsure > 10 * sure


def test_frames_without_matches_are_counted():
    assert estimate_turning(matches_of("pan:left:20", last=5)[1], None).joined == 6
