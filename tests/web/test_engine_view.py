"""The truth: our engine's own picture under a walk's cameras."""

import numpy as np
import pytest

from outofsight.errors import InputError, WorldError
from outofsight.web.protocol import Begin
from outofsight.web.scene import scene_from_notes, scene_notes, scene_of_clip
from outofsight.web.studio import Studio, planned
from outofsight.worlds.presets import mini_plan

pytest.importorskip("mujoco_warp", reason="pip install 'outofsight[worlds]'")

from outofsight.web.engine_view import EngineView
from outofsight.worlds.clip import clip_from_spec
from outofsight.worlds.plan import plan_world
from small_world import square_clip


@pytest.fixture(scope="module")
def clip():
    return clip_from_spec("seed", plan_world(5, mini_plan()).spec)


@pytest.fixture(scope="module")
def scene(clip):
    return scene_of_clip(clip, 41, seed=5)


def test_under_the_clips_cameras_it_is_the_clip(clip, scene):
    frames = np.array([41, 45, 60])
    seen = EngineView(scene.spec).render(frames, clip.cameras.world_from_camera[frames])
    assert np.abs(seen.astype(int) - clip.video[frames]).mean() < 0.5
    last = np.array([81])
    alone = EngineView(scene.spec).render(last, clip.cameras.world_from_camera[last])
    assert np.abs(alone.astype(int) - clip.video[last]).mean() < 0.5


def test_places_are_the_clips_and_go_on_after_it(clip, scene):
    for frame in (0, 20, 40):
        ((name, place),) = scene.true_places(frame)
        assert name == clip.subjects[0].name
        assert np.allclose(place, clip.subjects[0].world_from_subject[41 + frame, :, 3], atol=1e-6)
    assert np.isfinite(scene.true_places(5000)[0][1]).all()


def test_a_scene_is_written_down_and_read_again(scene):
    again = scene_from_notes(scene_notes(scene), "here")
    assert (again.spec, again.lens, again.first_frame, again.seed) == (scene.spec, scene.lens, 41, 5)


def test_a_plan_is_narrowed_to_what_is_asked_for():
    begin = Begin(
        kind="begin", seed=1, scene="park", light="dusk", subjects=("fox",), num_subjects=2, sheds=True
    )
    plan = planned(mini_plan(), begin)
    assert (plan.scenes, plan.lights, plan.kinds) == (("park",), ("dusk",), ("fox",))
    assert (plan.min_subjects, plan.max_subjects, plan.shed_share) == (2, 2, 1.0)
    assert planned(mini_plan(), Begin(kind="begin", seed=1)) == mini_plan()
    with pytest.raises(WorldError, match="unknown scene"):
        planned(mini_plan(), Begin(kind="begin", seed=1, scene="moon"))


def test_a_job_that_fails_or_dies_is_told_in_a_line():
    studio = Studio()
    try:
        with pytest.raises(InputError, match="unknown scene"):
            studio.ask("clip", mini_plan(), {"seed": 1, "scene": "moon"})
        with pytest.raises(
            InputError, match=r"^rendering what is really there failed \(missing 3 required pos"
        ):
            studio.ask("view")
        studio._process.kill()
        studio._process.join()
        with pytest.raises(InputError, match="unknown light"):
            studio.ask("clip", mini_plan(), {"seed": 1, "light": "green"})
        with pytest.raises(InputError, match=r"^rendering the world took longer than"):
            studio.ask("clip", mini_plan(), {"seed": 1}, seconds=0.01)
    finally:
        studio.close()
    with pytest.raises(InputError, match="closing"):
        studio.ask("clip", mini_plan(), {"seed": 1})


def test_scenes_without_an_engine_have_no_truth():
    assert scene_of_clip(square_clip("foreign"), 2).true_places(3) == []
