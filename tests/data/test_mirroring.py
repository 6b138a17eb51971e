"""A mirrored clip agrees with itself: what its cameras say of its subjects is what its pictures show."""

from dataclasses import replace

import numpy as np
import pytest

from outofsight.data.mirroring import mirrored, mirrored_words
from outofsight.types import CameraPath, Clip, Intrinsics, SubjectTrack

FRAMES, HEIGHT, WIDTH = 6, 8, 12


@pytest.fixture
def clip():
    chance = np.random.default_rng(3)
    turns = np.linalg.qr(chance.normal(size=(FRAMES, 3, 3)))[0]
    turns *= np.sign(np.linalg.det(turns))[:, None, None]
    camera = np.concatenate((turns, chance.normal(size=(FRAMES, 3, 1))), axis=2)
    angle = np.linspace(0, 2, FRAMES)
    subject = np.zeros((FRAMES, 3, 4))
    subject[:, 0, 0] = subject[:, 1, 1] = np.cos(angle)
    subject[:, 1, 0], subject[:, 0, 1] = np.sin(angle), -np.sin(angle)
    subject[:, 2, 2] = 1
    subject[:, :, 3] = chance.normal(size=(FRAMES, 3)) * 3
    track = SubjectTrack(
        subject_id=1,
        name="red fox",
        category="animal",
        visibility=np.zeros(FRAMES, np.int8),
        world_from_subject=subject,
        velocity_m_s=chance.normal(size=(FRAMES, 3)),
        box_px=np.tile(np.float32([1, 2, 4, 7]), (FRAMES, 1)),
    )
    return Clip(
        name="clip",
        video=chance.integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3)).astype(np.uint8),
        num_context_frames=3,
        fps=10,
        cameras=CameraPath(
            world_from_camera=camera,
            intrinsics=Intrinsics(width_px=WIDTH, height_px=HEIGHT, fx_px=9, fy_px=9, cx_px=5, cy_px=4),
        ),
        caption="The camera pans left, then right again.",
        masks=chance.integers(0, 2, (FRAMES, HEIGHT, WIDTH)).astype(np.uint8),
        masks_are_instances=True,
        depth_m=chance.random((FRAMES, HEIGHT, WIDTH)).astype(np.float32),
        subjects=(track,),
        extra={"path": "pan_left"},
    )


def seen(clip, points):
    """Where world points [n, 3] are in the picture: pixels and depth, [n, 3]."""
    poses, lens = clip.cameras.world_from_camera, clip.cameras.intrinsics
    local = np.einsum("nij,ni->nj", poses[:, :, :3], points - poses[:, :, 3])
    depth = local[:, 2]
    return np.stack(
        (lens.fx_px * local[:, 0] / depth + lens.cx_px, lens.fy_px * local[:, 1] / depth + lens.cy_px, depth),
        1,
    )


def test_subjects_stand_where_the_mirrored_picture_shows_them(clip):
    other = mirrored(clip)
    for ahead in (0.0, 1.5):  # the subject's origin, and a point before it
        point = np.array([ahead, 0, 0, 1])
        truth = seen(clip, clip.subjects[0].world_from_subject @ point)
        there = seen(other, other.subjects[0].world_from_subject @ point)
        np.testing.assert_allclose(there[:, 0], WIDTH - truth[:, 0], atol=1e-9)
        np.testing.assert_allclose(there[:, 1:], truth[:, 1:], atol=1e-9)


def test_velocities_turn_about_with_places(clip):
    track = clip.subjects[0]
    later = replace(track, world_from_subject=track.world_from_subject.copy())
    later.world_from_subject[:, :, 3] += 0.1 * track.velocity_m_s
    there, moved = mirrored(clip).subjects[0], mirrored(replace(clip, subjects=(later,))).subjects[0]
    np.testing.assert_allclose(
        moved.world_from_subject[:, :, 3],
        there.world_from_subject[:, :, 3] + 0.1 * there.velocity_m_s,
        atol=1e-12,
    )


def test_pictures_masks_boxes_and_words(clip):
    other = mirrored(clip)
    np.testing.assert_array_equal(other.video, clip.video[:, :, ::-1])
    np.testing.assert_array_equal(other.masks, clip.masks[:, :, ::-1])
    np.testing.assert_array_equal(other.depth_m, clip.depth_m[:, :, ::-1])
    np.testing.assert_array_equal(other.subjects[0].box_px[0], [WIDTH - 4, 2, WIDTH - 1, 7])
    assert other.caption == "The camera pans right, then left again."
    assert other.cameras.intrinsics.cx_px == 7
    assert (other.name, other.extra) == ("clip-mirrored", {})


def test_twice_is_once_back(clip):
    again = mirrored(mirrored(clip))
    np.testing.assert_array_equal(again.video, clip.video)
    np.testing.assert_allclose(again.cameras.world_from_camera, clip.cameras.world_from_camera)
    np.testing.assert_allclose(again.subjects[0].world_from_subject, clip.subjects[0].world_from_subject)
    assert again.caption == clip.caption


def test_only_whole_words_change_sides():
    assert mirrored_words("Left behind, a bright cleft; turning clockwise.") == (
        "Right behind, a bright cleft; turning anticlockwise."
    )
