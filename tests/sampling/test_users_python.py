"""What users pass in Python works or says what is expected; threads that share a model get their own answers."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from models import tiny_world
from outofsight.errors import InputError
from outofsight.geometry.path_expressions import make_path
from outofsight.sampling.continuation import SamplingSettings
from outofsight.types import CameraPath

FRAMES = 9
FEW = {"num_inference_steps": 1, "guidance_scale": 1.0}


@pytest.fixture(scope="module")
def world():
    model = tiny_world()
    model.set_progress_bar_config(disable=True)
    return model


@pytest.fixture(scope="module")
def video():
    return np.random.default_rng(0).integers(0, 256, (FRAMES, 32, 48, 3), dtype=np.uint8)


def ask(world, film, path="still", **changes):
    context = make_path("still", FRAMES)
    target = make_path(path, FRAMES + 1, start=context.world_from_camera[-1])[1:]
    given = {"video": film, "context_cameras": context, "target_cameras": target, "prompt": "A dog.",
             "settings": SamplingSettings(**FEW)}  # fmt: skip
    return world.continue_video(**{**given, **changes}).video


def test_videos_and_settings_as_users_have_them(world, video):
    plain = ask(world, video)
    turned = ask(world, np.ascontiguousarray(video[..., ::-1]))
    assert np.array_equal(ask(world, video[..., ::-1]), turned)
    pictures = [Image.fromarray(frame) for frame in video]
    for same in (list(video), pictures, np.asfortranarray(video)):
        assert np.array_equal(ask(world, same), plain)
    assert np.array_equal(ask(world, video, settings=dict(FEW)), plain)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"prompt": None}, "expected one caption as text"),
        ({"prompt": ["A dog."]}, "expected one caption as text, got a list"),
        ({"target_cameras": np.zeros((FRAMES, 3, 4))}, "expected a CameraPath, got a ndarray"),
        ({"context_cameras": None}, "camera"),
        ({"settings": {"steps": 3}}, "steps"),
        ({"settings": 3}, "[Ss]ettings"),
        ({"settings": {1: 2}}, "1: no such setting"),
        ({"video": None}, "video"),
        ({"video": "street.mp4"}, "video"),
    ],
)
def test_what_is_none_says_what_is_expected(world, video, changes, says):
    with pytest.raises(InputError, match=says):
        ask(world, video, **changes)


def test_settings_of_scripts_of_before_are_read():
    with pytest.warns(DeprecationWarning, match="num_steps is called num_inference_steps now"):
        assert SamplingSettings(num_steps=3) == SamplingSettings(num_inference_steps=3)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"num_steps": 3, "num_inference_steps": 3},
            "num_steps: it is called num_inference_steps now",
        ),
        (
            {"guidance_scale": "high", "sed": 1},
            "guidance_scale: expected a number, got 'high'; sed: no such setting",
        ),
        ({"strength": 0}, r"strength: expected greater than 0, got 0"),
    ],
)
def test_settings_are_refused_in_one_line(settings, says):
    with pytest.raises(InputError, match=f"^sampling settings: {says}$"):
        SamplingSettings(**settings)


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda world: world.set_memory(None), "expected a strategy's name, got nothing"),
        (lambda _: CameraPath(world_from_camera="still"), "got no array of numbers"),
        (lambda _: make_path(None, 9), "expected a path in words"),
        (lambda _: make_path("still", 2.5), "a whole number of frames, got 'still' and 2.5"),
    ],
)
def test_what_has_another_type_says_what_is_expected(world, ask, says):
    with pytest.raises(InputError, match=says):
        ask(world)


def test_limits_of_a_rollout_as_users_have_them(world, video):
    begin = (video, make_path("still", FRAMES), "A dog.")
    with world.start(*begin, settings=FEW, limits={"keep_steps": 0}) as rollout:
        assert rollout.limits.keep_steps == 0
    for limits, says in (
        ({"keep_steps": -1}, "^limits of a rollout: keep_steps: expected greater than or equal to 0, got -1"),
        ({"keep": 1}, "^limits of a rollout: keep: no such setting$"),
        (3, "expected a dictionary of keep_steps, ..., got a whole number"),
    ):
        with pytest.raises(InputError, match=says):
            world.start(*begin, settings=FEW, limits=limits)


def test_threads_that_share_a_model_get_their_own_answers(world, video):
    paths = ["pan:left:40", "pan:right:40", "dolly:in:2"] * 2
    alone = [ask(world, video, path) for path in paths]
    with ThreadPoolExecutor(len(paths)) as threads:
        together = list(threads.map(lambda path: ask(world, video, path), paths))
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one, other)
