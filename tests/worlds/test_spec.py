"""A spec is the truth: it survives JSON to the last bit, and refuses what cannot be a world."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outofsight.errors import WorldError
from outofsight.worlds.spec import CameraSpec, PathSpec, SubjectSpec, WorldSpec, spec_from_json, spec_to_json

finite = st.floats(-1e6, 1e6)
positive = st.floats(1e-3, 1e3)


def a_camera(**changes) -> CameraSpec:
    fields = {
        "trajectory": "pan_left_right", "start": "near", "position_m": (0.0, 0.0, 1.6), "yaw_rad": 0.0,
        "pitch_rad": 0.0, "fov_x_rad": 1.4, "keys": ((0.0, 0.0), (0.5, 1.0), (1.0, 0.0)),
    }  # fmt: skip
    return CameraSpec(**{**fields, **changes})


def a_subject(**changes) -> SubjectSpec:
    path = PathSpec(name="straight", start_m=(5.0, 0.0), heading_rad=0.0, size_m=3.0, speed_m_s=0.5)
    return SubjectSpec(**{"kind": "dog", "look_seed": 3, "path": path, **changes})


def a_world(**changes) -> WorldSpec:
    fields = {
        "seed": 1, "scene": "plaza", "layout_seed": 2, "light": "noon", "subjects": (a_subject(),),
        "camera": a_camera(),
    }  # fmt: skip
    return WorldSpec(**{**fields, **changes})


@given(finite, finite, positive, st.booleans(), st.integers(0, 2**40))
def test_json_round_trip_is_exact(x, heading, size, mirrored, seed):
    path = PathSpec(
        name="wander", start_m=(x, -x / 3), heading_rad=heading, size_m=size, speed_m_s=size / 7, mirrored=mirrored,
        seed=seed,
    )  # fmt: skip
    spec = a_world(seed=seed, subjects=(a_subject(path=path), a_subject(sheds="coat", sheds_at_frame=40)))
    assert spec_from_json(spec_to_json(spec)) == spec


def test_derived_values():
    spec = a_world(num_context_frames=30, num_target_frames=15, fps=15.0, width_px=160, height_px=96)
    assert (spec.num_frames, spec.duration_s) == (45, 3.0)
    assert spec.intrinsics.fov_x_rad == pytest.approx(spec.camera.fov_x_rad)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_context_frames": 0}, "≥ 1 context"),
        ({"num_target_frames": 0}, "≥ 1 target"),
        ({"fps": 0.0}, "fps"),
        ({"height_px": 95}, "even height"),
        ({"subjects": ()}, "1 to 16 subjects"),
        ({"subjects": (a_subject(),) * 17}, "1 to 16 subjects, got 17"),
        ({"version": 9}, "version 9"),
    ],
)
def test_impossible_worlds_are_refused(changes, says):
    with pytest.raises(WorldError, match=says):
        a_world(**changes)


@pytest.mark.parametrize(
    "keys", [((0.0, 0.0),), ((0.1, 0.0), (1.0, 0.0)), ((0.0, 0.0), (0.6, 1.0), (0.6, 0.0), (1.0, 0.0))]
)
def test_timelines_run_from_start_to_end(keys):
    with pytest.raises(WorldError, match="keys must rise from 0 to 1"):
        a_camera(keys=keys)


def test_shedding_needs_its_frame():
    with pytest.raises(WorldError, match="go together"):
        a_subject(sheds="coat")


def edited(**changes):
    return json.dumps({**dataclasses.asdict(a_world()), **changes})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "as JSON"),
        ("[]", "expected an object"),
        (edited(weather="rain"), "weather: no such setting"),
        (json.dumps({"seed": 1}), "camera: is missing"),
        (edited(fps="fast"), "file.json: .*fps: expected a number, got 'fast'"),
        (edited(seed=True), "file.json: .*seed: expected a whole number"),
        (
            edited(subjects=[{"kind": "dog", "look_seed": 1, "path": 3}]),
            "subjects.0.path: expected an object",
        ),
        (edited(fps=float("nan")), "finite"),
        ('{"seed": 1,', "file.json: .*; it is damaged or cut short, at line 1 column 11"),
        (edited(subjects=None), "subjects: expected a list, got nothing"),
        (edited(num_context_frames=0), "file.json: a world needs ≥ 1 context"),
        (
            edited(camera={**dataclasses.asdict(a_camera()), "position_m": [0, 0, 1, 2]}),
            "camera.position_m: expected at most 3 items, got 4",
        ),
    ],
)
def test_damaged_files_are_named(text, says):
    with pytest.raises(WorldError, match=says):
        spec_from_json(text, "file.json")
