"""A walk with a true, tiny model: panes, memory, and what is kept on the disk."""

import json
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from outofsight.data.video import read_video
from outofsight.errors import CheckpointError, InputError
from outofsight.geometry.path_expressions import make_path
from outofsight.model_folders import ModelUse
from outofsight.sampling.continuation import SamplingSettings
from outofsight.types import Intrinsics
from outofsight.web.mind import ModelMind
from outofsight.web.protocol import Edit, Forget, Look, Pin
from outofsight.web.scene import Scene
from outofsight.web.store import WalkStore, new_id
from outofsight.web.walk import Walk
from watchful_world import watchful_world

CONTEXT, STILL = 9, Look(kind="look", number=0)
TURN = Look(kind="look", number=1, yaw=1.0)


def mind_of(world):
    world.set_progress_bar_config(disable=True)
    sampling = SamplingSettings(num_inference_steps=1, guidance_scale=1.0)
    return ModelMind("tiny", world, ModelUse(), sampling, keep_steps=4)


@pytest.fixture(scope="module")
def mind():
    """A model that takes everything for a subject."""
    return mind_of(watchful_world())


@pytest.fixture
def placing(scene, store):
    """A walk of a model that takes everything for a place."""
    world = watchful_world()
    with torch.no_grad():
        world.transformer.two_banks.reader.told.bias[0] = -4.0
    made = Walk(mind_of(world), store.session(new_id()), lambda stage, done, total: None)
    made.begin(scene)
    yield made
    made.close()


@pytest.fixture
def scene():
    lens = Intrinsics.from_fov(width_px=48, height_px=32, fov_x_rad=1.2)
    video = np.random.default_rng(0).integers(0, 256, (CONTEXT, 32, 48, 3), dtype=np.uint8)
    return Scene(
        caption="A fox.",
        fps=10.0,
        video=video,
        cameras=make_path("still", CONTEXT, intrinsics=lens),
        lens=lens,
    )


@pytest.fixture
def store(tmp_path):
    return WalkStore(tmp_path / "store")


@pytest.fixture
def walk(mind, scene, store):
    made = Walk(mind, store.session(new_id()), lambda stage, done, total: None)
    made.begin(scene)
    yield made
    made.close()


def steps(walk, count, look=TURN):
    return [walk.step(walk.plan(look, 2)) for _ in range(count)]


def test_a_step_shows_frames_and_memory(walk):
    (first,), (second,) = steps(walk, 2)
    assert [len(first.frames), len(second.frames)] == [5, 8]
    assert second.first_frame == 5
    assert second.memory.step == 2
    assert second.memory.camera.heading > first.memory.camera.heading
    assert second.memory.subjects
    assert all(subject.picture in walk.main.pictures for subject in second.memory.subjects if subject.picture)


def test_views_have_their_pictures(placing):
    (first,), (second,) = steps(placing, 2)
    assert second.memory.views
    assert all(view.picture in placing.main.pictures for view in (*first.memory.views, *second.memory.views))
    assert any(view.retrieved for view in second.memory.views)
    assert {round(view.age_s * 10) for view in first.memory.views} <= {0, 4, 5, 9, 13}


def test_memory_is_told_in_the_worlds_metres(walk, scene):
    steps(walk, 1)
    told = {subject.number: subject for subject in walk.main.memory().subjects}
    for subject in walk.main.rollout.memory.subjects:
        assert told[subject.number].x_m == pytest.approx(subject.position_m[0], abs=1e-3)
        assert told[subject.number].vx_m_s == pytest.approx(subject.velocity_m[0] * scene.fps, abs=1e-3)


def test_memory_can_be_touched(walk):
    steps(walk, 1)
    number = walk.main.memory().subjects[0].number
    walk.touch(Pin(kind="pin", subject=number))
    walk.touch(Edit(kind="edit", subject=number, x_m=3.0, y_m=-1.0))
    subject = next(one for one in walk.main.memory().subjects if one.number == number)
    assert (subject.pinned, subject.x_m, subject.y_m) == (
        True,
        pytest.approx(3, abs=1e-3),
        pytest.approx(-1, abs=1e-3),
    )
    walk.touch(Forget(kind="forget", subject=number))
    assert number not in [one.number for one in walk.main.memory().subjects]


def test_places_can_be_touched(placing):
    steps(placing, 1)
    slot = placing.main.memory().views[0].slot
    placing.touch(Pin(kind="pin", slot=slot))
    assert placing.main.memory().views[0].pinned
    placing.touch(Forget(kind="forget", slot=slot))
    assert slot not in [view.slot for view in placing.main.memory().views]
    with pytest.raises(InputError, match="slot"):
        placing.touch(Pin(kind="pin", slot=slot))


def test_rewinding_is_as_if_it_had_not_been(walk):
    steps(walk, 2)
    before = walk.main.memory()
    shown = steps(walk, 1, STILL)[0][0]
    walk.rewind(0, 2)
    assert walk.main.memory().model_copy(update={"subjects": []}) == before.model_copy(
        update={"subjects": [], "views": walk.main.memory().views}
    )
    again = steps(walk, 1, STILL)[0][0]
    assert walk.main.film.mark.num_frames == 21
    assert len(again.frames) == len(shown.frames)
    with pytest.raises(InputError, match="cannot rewind"):
        walk.rewind(0, 99)


def test_a_fork_goes_its_own_way(walk):
    steps(walk, 3)
    walk.fork(1)
    walk.set_focus(1)
    steps(walk, 1, STILL)
    assert [pane.rollout.num_steps for pane in walk.panes] == [3, 2]
    assert [pane.film.mark.num_frames for pane in walk.panes] == [21, 13]
    assert len(read_video(walk.panes[1].film.path).frames) == 13
    walk.close_second()
    assert walk.focus == 0


def test_another_memory_walks_along_and_goes_back_too(walk):
    steps(walk, 1)
    walk.rival("window")
    both = steps(walk, 2)[-1]
    assert [one.pane for one in both] == [0, 1]
    assert both[1].memory.subjects == []
    assert "no banks" in walk.panes[1].note
    walk.rewind(0, 2)
    assert [pane.rollout.num_steps for pane in walk.panes] == [2, 2]
    walk.rewind(0, 0)  # before the other began: it is closed
    assert len(walk.panes) == 1
    with pytest.raises(InputError, match="can remember by"):
        walk.rival("telepathy")


def test_who_reads_a_pane_can_do_so_when_the_walk_has_let_go_of_it(walk, scene):
    steps(walk, 1)
    walk.rival("window")
    gone = list(walk.panes)
    walk.close_second()
    walk.begin(scene)
    for pane in gone:
        assert (pane.memory().step, pane.first_kept) == (1, 1 if pane.linked else 0)


def test_going_back_brings_the_frame_that_was_shown_then(walk, mind, store):
    stills = [walk.main.still]
    for _ in range(3):
        steps(walk, 1)
        stills.append(walk.main.still)
    assert len(set(stills)) == 4
    walk.fork(1)
    assert (walk.main.still, walk.panes[1].still) == (stills[3], stills[1])
    other = Walk(mind, store.session(new_id()), walk.watch)
    other.resume(store.save(walk.save(store, "a walk")))
    for step in (2, 0):
        walk.rewind(0, step)
        other.rewind(0, step)
        assert walk.main.still == other.main.still == stills[step]


def test_a_walk_outlives_its_process(walk, mind, store, scene):
    steps(walk, 2)
    walk.write()
    steps(walk, 1)  # after the state: the film is cut back to it
    other = Walk(mind, walk.folder, walk.watch)
    other.resume(walk.folder)
    assert other.main.rollout.num_steps == 2
    assert other.main.film.mark.num_frames == 13
    assert other.scene.lens.fov_x_rad == pytest.approx(scene.lens.fov_x_rad)
    assert other.main.cuts
    assert set(other.main.cuts.values()) <= other.main.pictures.keys()
    assert other.main.still is not None
    steps(other, 1)
    assert len(read_video(other.main.film.path).frames) == 21


def test_saving_and_loading(walk, mind, store):
    steps(walk, 3)
    saved = walk.save(store, "by the river")
    steps(walk, 1)
    (about,) = store.saves()
    assert (about["id"], about["name"], about["num_frames"]) == (saved, "by the river", 21)
    other = Walk(mind, store.session(new_id()), walk.watch)
    other.resume(store.save(saved))
    other.rewind(0, 1)  # what can be gone back to was saved too
    lines = [json.loads(line) for line in other.main.film.log.read_text().splitlines()]
    assert [line["step"] for line in lines] == [1]


@pytest.mark.parametrize("kind", ["fork", "window"])
def test_a_second_pane_is_kept_too(walk, mind, store, kind):
    steps(walk, 2)
    if kind == "fork":
        walk.fork(1)
        walk.set_focus(1)
    else:
        walk.rival(kind)
    steps(walk, 2)
    walk.main.rollout.prompt = "Snow falls."
    walk.write()
    saved, told = walk.save(store, "two"), [pane.memory() for pane in walk.panes]
    stills = [pane.still for pane in walk.panes]
    steps(walk, 1)
    for source in (walk.folder, store.save(saved)):
        other = Walk(mind, source if source == walk.folder else store.session(new_id()), walk.watch)
        other.resume(source)
        assert [pane.memory().subjects for pane in other.panes] == [one.subjects for one in told]
        assert [pane.rollout.num_steps for pane in other.panes] == ([2, 3] if kind == "fork" else [4, 4])
        assert [pane.strategy for pane in other.panes] == [pane.strategy for pane in walk.panes]
        assert [pane.rollout.prompt for pane in other.panes] == ["Snow falls.", "A fox."]
        assert [pane.still for pane in other.panes] == stills
        assert (other.focus, len(other.moving)) == ((1, 1) if kind == "fork" else (0, 2))
        frames = [pane.film.mark.num_frames for pane in other.panes]
        assert [len(read_video(pane.film.path).frames) for pane in other.panes] == frames
        (one, *_) = other.moving
        again, before = steps(other, 1)[0], one.rollout.num_steps
        assert [shown.step for shown in again] == [before] * len(again)
    other.rewind(1, 2)  # what can be gone back to was saved too
    assert other.panes[1].rollout.num_steps == 2


def test_a_kill_while_it_is_written_down_leaves_what_was_there_before(walk, mind, monkeypatch):
    steps(walk, 1)
    walk.rival("window")
    walk.write()
    steps(walk, 1)
    with monkeypatch.context() as patch:
        patch.setattr(
            "outofsight.web.walk.write_json", _killed
        )  # the states are there, what names them is not
        with pytest.raises(KeyboardInterrupt):
            walk.write()
    other = Walk(mind, walk.folder, walk.watch)
    other.resume(walk.folder)
    assert [pane.rollout.num_steps for pane in other.panes] == [1, 1]
    steps(other, 1)
    other.close_second()
    other.write()
    other.write()
    assert sorted(path.name for path in walk.folder.glob("state*")) == ["state0a", "state0b"]


def _killed(*_):
    raise KeyboardInterrupt


def test_a_walk_of_before_there_were_two_panes_still_opens(walk, mind, store):
    steps(walk, 2)
    folder = store.save(walk.save(store, "old"))
    about = json.loads((folder / "about.json").read_text())
    (pane,) = about.pop("panes")
    del about["states"], about["focus"]
    (folder / "about.json").write_text(json.dumps({**about, **pane, "strategy": "hybrid"}))
    (folder / "state0a").rename(folder / "state")
    other = Walk(mind, store.session(new_id()), walk.watch)
    other.resume(folder)
    assert other.main.memory().subjects == walk.main.memory().subjects
    assert (other.main.still, len(other.main.moments)) == (walk.main.still, 2)


def test_a_rolled_walk_is_shown_where_it_stands(walk, mind, store, tmp_path):
    steps(walk, 1)
    walk.main.rollout.save(tmp_path / "rolled")
    other = Walk(mind, store.session(new_id()), walk.watch)
    other.resume_state(tmp_path / "rolled", 10.0)
    rollout = walk.main.rollout
    frame = (rollout.world.decode_latents(rollout.state.latents)[0, -1].permute(1, 2, 0) + 1) * 127.5
    still = np.asarray(Image.open(BytesIO(other.main.still)), float)
    assert np.abs(still - frame.numpy().clip(0, 255)).mean() < 8  # it is a JPEG, of noise
    assert len(steps(other, 1)[0][0].frames) == 8


def test_a_caption_that_comes_after_going_back_is_marked(walk):
    steps(walk, 2)
    walk.rewind(0, 1)
    walk.main.rollout.prompt = "Snow falls."
    assert steps(walk, 1)[0][0].moment.caption == "Snow falls."
    assert steps(walk, 1)[0][0].moment.caption is None


def test_damage_is_told_and_changes_nothing(walk, store):
    steps(walk, 1)
    saved = walk.save(store, "a")
    (store.save(saved) / "about.json").write_text('{"scene": {}}')
    with pytest.raises(CheckpointError, match="damaged"):
        walk.resume(store.save(saved))
    assert walk.main.rollout.num_steps == 1
    other = walk.save(store, "b")
    (store.save(other) / "pane0.jsonl").write_text("")
    with pytest.raises(CheckpointError, match="its film is not of its state"):
        walk.resume(store.save(other))
    (store.save(other) / "about.json").write_text('{"states": ["../state0a"]}')
    with pytest.raises(CheckpointError, match="where its states lie"):
        walk.resume(store.save(other))
    (store.save(other) / "about.json").write_text("nonsense")
    (store.save(saved) / "about.json").write_text("nonsense")
    assert store.saves() == []
    for name in ("..", "../..", "a", "", "A" * 23, "A" * 21 + "/"):
        with pytest.raises(InputError):
            store.save(name)


def test_the_film_holds_what_was_shown(walk):
    steps(walk, 3)
    assert read_video(walk.main.film.path).frames.shape == (21, 32, 48, 3)
    lines = [json.loads(line) for line in walk.main.film.log.read_text().splitlines()]
    assert [len(line["world_from_camera"]) for line in lines] == [5, 8, 8]


def test_strategies_that_are_told_where_subjects_are_are_not_offered(mind):
    assert {"hybrid", "window", "concat"} <= set(mind.strategies)
    assert not {"oracle", "segmentation", "identity"} & set(mind.strategies)
