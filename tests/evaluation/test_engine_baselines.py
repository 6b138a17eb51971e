"""Baselines that the engine renders: the same world without its subject, and with another in its place."""

from dataclasses import replace

import numpy as np
import pytest

from outofsight.errors import InputError
from outofsight.evaluation.engine_baselines import engine_swapped, engine_vanished
from outofsight.worlds.clip import clip_from_spec
from outofsight.worlds.render import RenderSettings
from outofsight.worlds.spec import CameraSpec, PathSpec, SubjectSpec, WorldSpec

ONE_SAMPLE = RenderSettings(supersampling=1)


@pytest.fixture(scope="module")
def clip():
    """A car that stands across the view of a still camera, 8 m ahead, in the desert."""
    path = PathSpec(name="straight", start_m=(5.0, 0.0), heading_rad=np.pi / 2, size_m=5.0, speed_m_s=0.0)
    camera = CameraSpec(
        trajectory="handheld_hold", start="near", position_m=(-3.0, 0.0, 1.5), yaw_rad=0.0, pitch_rad=0.0,
        fov_x_rad=np.pi / 2, keys=((0.0, 0.0), (1.0, 0.0)),
    )  # fmt: skip
    spec = WorldSpec(
        seed=0, scene="desert", layout_seed=1, light="noon",
        subjects=(SubjectSpec(kind="car", look_seed=1, path=path),), camera=camera, num_context_frames=1,
        num_target_frames=2, height_px=48, width_px=80,
    )  # fmt: skip
    return clip_from_spec("car", spec, ONE_SAMPLE)


def test_the_world_without_its_subject(clip):
    video, car = engine_vanished(clip, ONE_SAMPLE), clip.masks[1:] > 0
    changed = (video != clip.video[1:]).any(axis=-1)
    assert video.shape == clip.video[1:].shape
    assert changed[car].mean() > 0.9
    assert changed[~car].mean() < 0.1  # its shadow


def test_another_subject_on_the_same_path(clip):
    video, car = engine_swapped(clip, ("cow",), ONE_SAMPLE), clip.masks[1:] > 0
    empty = engine_vanished(clip, ONE_SAMPLE)
    cow = (video != empty).any(axis=-1)
    assert cow.mean() > 0.01
    assert (video != clip.video[1:]).any(axis=-1)[car].mean() > 0.9
    rows, columns = np.nonzero(car[0])
    cow_rows, cow_columns = np.nonzero(cow[0])
    assert abs(np.median(columns) - np.median(cow_columns)) < 10
    assert abs(rows.max() - cow_rows.max()) < 8


def test_what_the_engine_cannot_know_is_refused(clip):
    with pytest.raises(InputError, match="no spec"):
        engine_vanished(replace(clip, extra={}))
    with pytest.raises(InputError, match="1 subjects, got 2 kinds"):
        engine_swapped(clip, ("cow", "bus"))
