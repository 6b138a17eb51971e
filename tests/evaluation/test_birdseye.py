"""A map of what memory holds: read from banks, drawn, and measured against the truth, all by hand-made scenes."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import ImageColor

from outofsight.data.video import read_video
from outofsight.errors import InputError
from outofsight.evaluation.birdseye import (
    BirdsEye,
    FiledViews,
    MemoryStep,
    TrackedSubjects,
    TrueSubjects,
    anchored_cameras,
    filed_views,
    tracked_subjects,
    true_subjects,
)
from outofsight.evaluation.birdseye_picture import (
    FINER,
    birdseye_sheet,
    birdseye_video,
    draw_moment,
    map_scale,
)
from outofsight.evaluation.drawing import colour
from outofsight.evaluation.memory_pictures import draw_retrieved, memory_pictures, retrieval_timeline
from outofsight.memory.banks.state import BankSettings, Tracks, empty_banks
from outofsight.types import CameraPath, Clip, SubjectTrack, Visibility

SETTINGS = BankSettings(archive_slots=3, subject_slots=2, identity_width=4)
HOME = np.hstack([np.eye(3), np.zeros((3, 1))])


def walk(*, seen: tuple[bool, ...], deviation_m: float = 0.3) -> TrackedSubjects:
    """One subject, number 1, that walks 1 m to the right at every moment, 4 m ahead; a second slot that is empty."""
    n = len(seen)
    position = np.zeros((n, 2, 3))
    position[:, 0, 0], position[:, 0, 2] = np.arange(n), 4.0
    velocity = np.zeros((n, 2, 3))
    velocity[:, 0, 0] = 0.25  # moments are 4 video frames apart
    held = np.stack([np.ones(n, bool), np.zeros(n, bool)], axis=1)
    return TrackedSubjects(
        position_m=position, velocity_m=velocity, deviation_m=np.full((n, 2), deviation_m), held=held,
        seen=held & np.array(seen)[:, None], numbers=np.ones((n, 2), np.int64),
    )  # fmt: skip


def scene(seen: tuple[bool, ...] = (True, False, True), **changes) -> BirdsEye:
    n = len(seen)
    given = {
        "times": 4.0 * np.arange(n), "cameras": np.stack([HOME] * n), "fov_x_rad": 1.4, "held": walk(seen=seen),
        "truth": TrueSubjects(position_m=walk(seen=seen).position_m[:, :1], seen=np.array(seen)[:, None]),
    }  # fmt: skip
    return BirdsEye(**{**given, **changes})


def share_of(picture, middle, radius, wanted) -> float:
    """Share of the pixels of a disc whose colour is near the wanted one."""
    pixels = np.asarray(picture).astype(int)
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    disc = np.hypot(columns + 0.5 - middle[0], rows + 0.5 - middle[1]) <= radius
    near = np.abs(pixels - np.array(ImageColor.getrgb(wanted))).sum(axis=-1) < 60
    return float(near[disc].mean())


def test_the_map_lies_right_of_left_and_ahead_of_behind():
    scale = map_scale(scene())
    here, right, ahead = (scale(np.array(p, float)) for p in ((0, 0, 0), (1, 0, 0), (0, 0, 1)))
    assert right[0] > here[0]
    assert right[1] == here[1]
    assert ahead[1] < here[1]  # further ahead is further up
    assert right[0] - here[0] == pytest.approx(here[1] - ahead[1])
    below = scale(np.array([0.0, 5.0, 0.0]))
    assert below == here  # height is not on the map


def test_a_seen_subject_is_solid_and_a_hidden_one_is_not():
    shown, scale = scene(truth=None), map_scale(scene(truth=None))
    for moment, at_least, at_most in ((0, 0.8, 1.0), (1, 0.0, 0.35)):
        place = scale(shown.held.position_m[moment, 0])
        filled = share_of(draw_moment(shown, moment, scale), place, 3.0, colour(1))
        assert at_least <= filled <= at_most


def test_the_circle_grows_with_uncertainty():
    """All around it, a dotted circle of two deviations has its colour, and a ring half as large has not."""
    shown = scene(seen=(False, False, False), held=walk(seen=(False,) * 3, deviation_m=0.8), truth=None)
    scale = map_scale(shown)
    picture, (x, y) = draw_moment(shown, 1, scale), scale(shown.held.position_m[1, 0])
    pixels = np.asarray(picture).astype(int)
    wanted = np.array(ImageColor.getrgb(colour(1)))
    radius = 2 * 0.8 * scale.size_px / scale.width_m
    distance = np.hypot(*np.meshgrid(np.arange(240) + 0.5 - x, np.arange(240) + 0.5 - y))
    tinted = np.abs(pixels - wanted).sum(axis=-1) < 200
    on_circle, inner = np.abs(distance - radius) < 2, np.abs(distance - radius * 0.7) < 2
    assert tinted[on_circle].mean() > 0.1
    assert tinted[inner].mean() < 0.05  # number and way lie nearer to the middle
    assert FINER >= 2


def test_a_subject_lost_far_out_does_not_shrink_the_map():
    lost = walk(seen=(True, False, False))
    lost.position_m[2, 0] = (5000.0, 0.0, 4.0)
    assert map_scale(scene(held=lost)).width_m < 20
    (x, y), within = map_scale(scene(held=lost)).inside(lost.position_m[2, 0])
    assert not within
    assert 0 < x < 240
    assert 0 < y < 240


def test_sheet_and_video_show_every_moment():
    pictures = np.full((3, 64, 96, 3), 90, np.uint8)
    bare, full = birdseye_sheet(scene()), birdseye_sheet(scene(), pictures, num_columns=2)
    assert full.height > bare.height  # pictures, and two rows
    video = birdseye_video(scene(), pictures)
    assert video.shape[0] == 3
    assert video.shape[1] % 2 == video.shape[2] % 2 == 0
    assert (video[0] != video[1]).any()
    with pytest.raises(InputError, match="a picture for each of 3 moments, got 2"):
        birdseye_sheet(scene(), pictures[:2])


def test_filed_views_are_drawn_dark_where_retrieved():
    cameras = np.stack([HOME, HOME])
    cameras[:, 0, 3] = (-1.0, 1.0)
    filed = tuple(FiledViews(cameras=cameras, retrieved=np.array([False, True])) for _ in range(3))
    shown = scene(filed=filed)
    with_views = np.asarray(draw_moment(shown, 0, map_scale(shown))).astype(int)
    without = np.asarray(draw_moment(scene(), 0, map_scale(shown))).astype(int)
    changed = np.abs(with_views - without).sum(axis=(1, 2)).sum()
    dark = (np.abs(with_views - np.array(ImageColor.getrgb("#31549a"))).sum(axis=-1) < 60).sum()
    assert changed > 0
    assert dark > 20


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"times": np.array([0.0, 4.0, 4.0])}, "rising times"),
        ({"held": walk(seen=(True, True))}, "as many of its held subjects, got 2"),
        ({"fov_x_rad": 4.0}, "between 0 and π"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, says):
    with pytest.raises(InputError, match=says):
        scene(**changes)


def tracks_at(moments: int) -> Tracks:
    """A tracker's slots after so many moments (in place of a batch): subject 0, seen at the first moment alone."""
    tracks = empty_banks(SETTINGS, 6, 8, batch=moments).tracks
    filled = tracks.filled.clone()
    filled[:, 0] = True
    covariance = tracks.covariance.clone()
    covariance[:, 0, 0] = torch.arange(moments) ** 2 * 1.0
    return tracks._replace(filled=filled, covariance=covariance)


def test_reading_a_tracker():
    held = tracked_subjects(tracks_at(3), np.array([0.0, 4.0, 8.0]))
    np.testing.assert_array_equal(held.held, [[True, False]] * 3)
    np.testing.assert_array_equal(held.seen[:, 0], [True, False, False])
    np.testing.assert_allclose(held.deviation_m[:, 0], [0, 1, 2])
    assert not held.seen[:, 1].any()  # an empty slot was "last seen" at 0 too, and nobody is there


def test_reading_an_archive():
    archive = empty_banks(SETTINGS, 6, 8).archive
    poses, filled = archive.poses.clone(), archive.filled.clone()
    poses[0, 2], filled[0, 2] = torch.from_numpy(HOME.reshape(12)).float(), True
    filed = filed_views(archive._replace(poses=poses, filled=filled), retrieved=(0, 2))
    np.testing.assert_array_equal(filed.cameras, HOME[None])
    np.testing.assert_array_equal(filed.retrieved, [True])


def clip() -> Clip:
    """Camera 2 m up that looks along world x, turned to world y in the target; a subject 5 m along world x."""
    looks_x = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 2.0]])
    looks_y = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 2.0]])
    subject = np.tile(np.hstack([np.eye(3), [[5.0], [0.0], [0.0]]]), (4, 1, 1))
    track = SubjectTrack(
        subject_id=1, name="king", category="person", world_from_subject=subject,
        visibility=np.array([0, 1, 3, 2], np.int8), velocity_m_s=np.tile([0.0, 2.0, 0.0], (4, 1)),
    )  # fmt: skip
    return Clip(
        name="0", video=np.zeros((4, 8, 8, 3), np.uint8), num_context_frames=2, fps=10.0, caption="",
        cameras=CameraPath(world_from_camera=np.stack([looks_x, looks_x, looks_y, looks_y])), subjects=(track,),
    )  # fmt: skip


def test_truth_in_the_anchor_frame_by_hand():
    """Facing world y, what is 5 m along world x is 5 m to the right, 2 m below, and walks straight ahead."""
    truth = true_subjects(clip(), np.array([0, 2]))
    np.testing.assert_allclose(truth.position_m[:, 0], [[5, 2, 0]] * 2, atol=1e-12)
    np.testing.assert_allclose(truth.velocity_m[:, 0], [[0, 0, 0.2]] * 2, atol=1e-12)  # metres a video frame
    np.testing.assert_array_equal(truth.seen[:, 0], [True, False])
    assert Visibility.CUT == 1  # partly in the picture counts as seen
    np.testing.assert_allclose(anchored_cameras(clip(), np.array([2]))[0], HOME, atol=1e-12)


def test_truth_in_a_rollouts_frame_is_the_worlds_in_the_worlds():
    truth = true_subjects(clip(), np.array([0, 2]), HOME)
    world = clip().subjects[0].world_from_subject[[0, 2], :, 3]
    np.testing.assert_allclose(truth.position_m[:, 0], world, atol=1e-12)
    aside = np.hstack([np.eye(3), [[1.0], [2.0], [3.0]]])
    moved = true_subjects(clip(), np.array([0, 2]), aside)
    np.testing.assert_allclose(moved.position_m, truth.position_m - [1, 2, 3], atol=1e-12)
    np.testing.assert_allclose(moved.velocity_m, truth.velocity_m, atol=1e-12)


def steps(number: int = 2) -> list[MemoryStep]:
    """Steps of two latent frames; frame 0 of each retrieves view 1 wholly, frame 1 subject 0."""
    archive = empty_banks(SETTINGS, 6, 8).archive
    scores = torch.zeros(2, 5)
    scores[0, 1] = scores[1, 3] = 1.0
    return [
        MemoryStep(
            cameras=torch.from_numpy(np.stack([HOME.reshape(12)] * 2)), times=torch.tensor([8.0 * i, 8.0 * i + 4]),
            tracks=tracks_at(2), archive=archive, scores=scores, slots=(1, 3),
            pictures=np.full((2, 64, 96, 3), 60, np.uint8),
        )
        for i in range(number)
    ]  # fmt: skip


def test_the_timeline_tells_slots_frames_and_steps():
    drawn = ElementTree.fromstring(retrieval_timeline(steps()))
    names = {element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")}
    assert {"view 0", "view 2", "subject 0", "subject 1"} <= names
    figure = Figure()
    draw_retrieved(figure, steps(), [step.scores for step in steps()])
    (axes,) = figure.axes
    shown = axes.images[0].get_array()
    assert (
        np.argwhere(shown == 1).tolist()
        == np.argwhere(np.concatenate([s.scores for s in steps()]).T == 1).tolist()
    )
    assert len(axes.patches) == 4  # two slots in each of two steps


def test_a_rollouts_pictures_are_written(tmp_path):
    written = memory_pictures(steps(3), tmp_path / "memory", fov_x_rad=1.4, fps=2.5)
    assert [path.name for path in written] == ["birdseye.png", "birdseye.mp4", "retrieved.svg"]
    assert len(read_video(tmp_path / "memory" / "birdseye.mp4").frames) == 6
    without = [
        MemoryStep(cameras=step.cameras, times=step.times) for step in steps(1)
    ]  # a strategy without banks
    assert len(memory_pictures(without, tmp_path / "bare", fov_x_rad=1.4)) == 2


def test_steps_that_do_not_fit_together_are_refused(tmp_path):
    mixed = [steps(1)[0], MemoryStep(cameras=steps(1)[0].cameras, times=torch.tensor([8.0, 12.0]))]
    with pytest.raises(InputError, match="1 of 2 steps have tracks; expected all or none"):
        memory_pictures(mixed, tmp_path, fov_x_rad=1.4)
    with pytest.raises(InputError, match="from its steps, and there are none yet"):
        memory_pictures([], tmp_path, fov_x_rad=1.4)
    with pytest.raises(InputError, match=r"step 1: expected scores \[its frames, slots\], got none"):
        retrieval_timeline(mixed)
