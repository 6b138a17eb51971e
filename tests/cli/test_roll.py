"""``outofsight roll`` as its users meet it: a walk in one go, one that was killed, and every bad request."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.codec.test_tiny_decoder import weights

from models import tiny_world
from outofsight.cli.rollout_run import _present
from outofsight.codec.checkpoint_files import load_state_dict, save_state_dict
from outofsight.data.sample import write_sample
from outofsight.data.video import read_video
from outofsight.evaluation.memory_pictures import memory_pictures
from outofsight.geometry.camera_files import write_cameras
from outofsight.geometry.path_expressions import make_path
from outofsight.memory.strategies import strategy
from small_world import square_clip
from watchful_world import watchful_world

FAST = [
    "--context-frames=9",
    "--latent-frames=2",
    "--set",
    "num_inference_steps=2",
    "--set",
    "guidance_scale=1",
]


def walk(cases, model_folder, out, *, steps=3, **changes):
    options = {
        "model": model_folder, "video": cases / "1.mp4", "camera": "pan:left:20", "context_camera": "still",
        "prompt": "A cat sits.", "out": out, "steps": steps, **changes,
    }  # fmt: skip
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items() if value is not None]
    return ["roll", *given, *FAST]


def test_a_walk(cli, cases, model_folder, tmp_path):
    code, error = cli(
        *walk(cases, model_folder, tmp_path / "w.mp4"), "--with-context", "--prompt-at=3:A dog runs."
    )
    assert code == 0, error
    assert "wrote" in error
    frames, fps = read_video(tmp_path / "w.mp4")
    assert (frames.shape, fps) == ((9 + 5 + 8 + 8, 48, 64, 3), 15.0)
    context = read_video(cases / "1.mp4").frames[-9:].astype(int)
    assert np.abs(frames[:9] - context).mean() < 8
    lines = [json.loads(line) for line in (tmp_path / "w.steps.jsonl").read_text().splitlines()]
    assert [line["num_frames"] for line in lines] == [5, 8, 8]
    assert [line["prompt"] for line in lines] == ["A cat sits.", "A cat sits.", "A dog runs."]
    assert set(lines[0]["seconds"]) == {"denoise", "decode"}
    assert sorted(path.name for path in tmp_path.glob("w.*")) == ["w.mp4", "w.rollout", "w.steps.jsonl"]


def test_killed_and_resumed_it_is_the_same_file(cli, cases, model_folder, tmp_path):
    """Killed without a word somewhere on its way, and once more asked for fewer steps than are wanted in the end."""
    camera = {"camera": "pan:left:10,pan:right:10", "loop_frames": 8}
    assert cli(*walk(cases, model_folder, tmp_path / "whole.mp4", steps=6, **camera))[0] == 0
    out = tmp_path / "cut.mp4"
    command = [sys.executable, "-m", "outofsight", *walk(cases, model_folder, out, steps=6, **camera)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = tmp_path / "cut.steps.jsonl"
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        if log.exists() and len(log.read_text().splitlines()) >= 2:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(read_video(out).frames) >= 13  # it plays
    code, error = cli(*walk(cases, model_folder, out, steps=6, **camera), "--resume")
    assert code == 0, error
    assert out.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_a_finished_walk_can_be_longer(cli, cases, model_folder, tmp_path):
    file = {"camera": cases / "cam1.json", "context_camera": None}
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    assert cli(*walk(cases, model_folder, whole, **file))[0] == 0
    assert cli(*walk(cases, model_folder, cut, steps=1, **file))[0] == 0
    assert len(read_video(cut).frames) == 5
    assert cli(*walk(cases, model_folder, cut, **file), "--resume")[0] == 0
    assert cut.read_bytes() == whole.read_bytes()


def test_a_tiny_decoder_in_the_vaes_place(cli, cases, model_folder, tmp_path):
    torch.manual_seed(0)
    tiny, odd = tmp_path / "taew2_1.safetensors", tmp_path / "odd.safetensors"
    save_file(weights(), tiny)
    save_file(weights(channels=48, patch=2), odd)
    code, error = cli(*walk(cases, model_folder, tmp_path / "odd.mp4", vae=odd), "--dry-run")
    assert (code, "takes 48 latent channels" in error) == (2, True)
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    camera = {"camera": "pan:left:10,back", "lap": 8}
    assert cli(*walk(cases, model_folder, tmp_path / "own.mp4", steps=2, **camera))[0] == 0
    assert cli(*walk(cases, model_folder, whole, steps=2, vae=tiny, **camera))[0] == 0
    assert cli(*walk(cases, model_folder, cut, steps=1, vae=tiny, **camera))[0] == 0
    code, error = cli(*walk(cases, model_folder, cut, steps=2, **camera))
    assert (code, "was begun with vae=" in error) == (2, True)
    assert cli(*walk(cases, model_folder, cut, steps=2, vae=tiny, **camera))[0] == 0
    assert cut.read_bytes() == whole.read_bytes()
    assert (read_video(whole).frames != read_video(tmp_path / "own.mp4").frames).any()


def test_what_memory_held_is_drawn(cli, cases, model_folder, tmp_path):
    banks = {"archive_slots": 4, "subject_slots": 2, "top_k": 3, "reader_width": 8, "identity_width": 4}
    settings = {**strategy("hybrid").settings, "banks": banks}
    tiny_world(memory_strategy="hybrid", **settings).save_pretrained(tmp_path / "hybrid")
    arguments = walk(
        cases, tmp_path / "hybrid", tmp_path / "w.mp4", steps=1, loop_frames=8, camera="pan:left:5,back"
    )
    pictures = f"--memory-pictures={tmp_path / 'memory'}"
    assert cli(*arguments, pictures)[0] == 0
    longer = [*arguments, "--steps=2", "--resume"]
    code, error = cli(*longer, f"--memory-pictures={tmp_path / 'other'}")
    assert (code, "lacks step 1" in error) == (2, True)
    code, error = cli(*longer, pictures)
    assert code == 0, error
    made = {path.name for path in (tmp_path / "memory").iterdir()}
    assert {"birdseye.png", "birdseye.mp4", "retrieved.svg"} <= made
    line = json.loads((tmp_path / "w.steps.jsonl").read_text().splitlines()[-1])
    assert len(line["scores"]) == 2  # latent frames
    assert set(line["slots"]) <= set(range(6))
    code, error = cli(*walk(cases, model_folder, tmp_path / "x.mp4"), pictures)
    assert (code, "has no banks" in error) == (2, True)
    assert not list(tmp_path.glob("x*"))  # refused before any work


@pytest.fixture(scope="module")
def watchful_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "watchful"
    watchful_world().save_pretrained(folder)
    return folder


@pytest.fixture
def clip_folder(tmp_path):
    write_sample(tmp_path / "clip", square_clip("clip"))
    return tmp_path / "clip"


def from_clip(clip_folder, model, out, *more):
    """A walk of two steps of 5 and 8 frames; the clip's target has 9."""
    options = ("--steps=2", "--size=32x48", f"--out={out}", *FAST, *more)
    return ["roll", f"--model={model}", f"--video={clip_folder}", *options]


def test_from_a_clip_memory_is_drawn_against_the_truth(
    cli, watchful_folder, clip_folder, tmp_path, monkeypatch
):
    """The folder brings context, cameras, lens, caption and truth; the truth ends with the clip, the walk goes on."""
    lenses = []

    def drawn(steps, folder, fov_x_rad, *more, **named):
        lenses.append(fov_x_rad)
        return memory_pictures(steps, folder, fov_x_rad, *more, **named)

    monkeypatch.setattr("outofsight.evaluation.memory_pictures.memory_pictures", drawn)
    arguments = from_clip(clip_folder, watchful_folder, tmp_path / "w.mp4", "--camera=pan:left:20")
    memory = tmp_path / "memory"
    code, error = cli(*arguments, f"--memory-pictures={memory}")
    assert code == 0, error
    assert "truth known for 3 of 4 latent frames: subjects are held in 100% of them" in error
    kept = json.loads((tmp_path / "w.rollout" / "rollout.json").read_text())["notes"]["intrinsics"]
    assert (kept["source"], kept["fov_x_deg"]) == ("clip", 68.755)  # 1.2 rad
    assert lenses == [pytest.approx(1.2)]  # so wide is the map's wedge
    reported = json.loads((memory / "places.json").read_text())
    assert reported["frames"] == [9, 13, 17, 21]
    assert reported["num_known"] == 3
    (subject,) = reported["subjects"]
    assert subject["name"] == "red cube"
    assert [value is None for value in subject["error_m"]] == [False, False, False, True]
    assert [value is None for value in subject["number"]] == [False, False, False, True]
    assert (
        json.loads((tmp_path / "w.steps.jsonl").read_text().splitlines()[0])["prompt"]
        == "A red cube slides by."
    )
    picture = (memory / "birdseye.png").read_bytes()
    (clip_folder / "annotation.json").rename(tmp_path / "annotation.json")  # as HM-World's own clips
    code, error = cli(*arguments, f"--memory-pictures={tmp_path / 'bare'}", "--overwrite")
    assert code == 0, error
    assert "does not say where its subjects are" in error
    assert not (tmp_path / "bare" / "places.json").exists()
    assert (tmp_path / "bare" / "birdseye.png").read_bytes() != picture


def test_from_a_clip_along_its_own_cameras_and_gone_on_with(cli, watchful_folder, clip_folder, tmp_path):
    arguments = from_clip(
        clip_folder, watchful_folder, tmp_path / "w.mp4", f"--memory-pictures={tmp_path / 'm'}"
    )
    code, error = cli(*arguments)
    assert (code, "too few target poses for 2 steps" in error) == (2, True)
    assert cli(*arguments, "--steps=1")[0] == 0
    reported = json.loads((tmp_path / "m" / "places.json").read_text())
    assert reported["frames"] == [9, 13]
    assert reported["subjects"][0]["seen"] == [False, True]  # as annotated: the walk has the clip's cameras
    assert reported["seen_error_m"] > 0
    code, error = cli(*arguments, "--steps=1", "--latent-frames=1", "--resume")
    assert (code, "begun with latent_frames=2" in error) == (2, True)
    (kept,) = (tmp_path / "m" / "steps").iterdir()
    parts = load_state_dict(kept)
    save_state_dict(kept, {name: part for name, part in parts.items() if name != "tracks.number"})
    code, error = cli(*arguments, "--steps=1", "--resume")
    assert (code, "lacks tracks.number, so another version kept it" in error) == (2, True)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--context-camera=still"], "is a clip and brings its own; leave it out"),
        (["--camera=CAMERA", "--memory-pictures=MEMORY"], "its context cameras are not those of"),
        (["--memory-pictures=MEMORY", "--damage"], "annotation.json"),
        (["--video=EMPTY"], "is a folder but no clip: it lacks cond.mp4"),
        (["--video=VIDEO"], "--camera is missing; only a folder (--video) brings its own"),
        (["--video=VIDEO", "--camera=pan:left:9"], "--prompt is missing; only a folder"),
    ],
)
def test_bad_clips_are_one_line(cli, cases, watchful_folder, clip_folder, tmp_path, more, says):
    places = {
        "CAMERA": cases / "other.json", "MEMORY": tmp_path / "m", "EMPTY": cases, "VIDEO": clip_folder / "cond.mp4",
    }  # fmt: skip
    turning = make_path("pan:left:9", 9)  # the clip's own camera stands still
    write_cameras(places["CAMERA"], turning, turning)
    if "--damage" in more:
        (clip_folder / "annotation.json").write_text("{")
        more = more[:-1]
    for word, path in places.items():
        more = [text.replace(word, str(path)) for text in more]
    steps = ["--steps=1", "--context-frames=5"]
    code, error = cli(*from_clip(clip_folder, watchful_folder, tmp_path / "w.mp4", *more, *steps))
    assert code == 2
    assert error.startswith("outofsight: ")
    assert says in error
    assert not list(tmp_path.glob("w*"))


def test_a_clip_without_a_caption(cli, watchful_folder, clip_folder, tmp_path):
    (clip_folder / "caption.txt").unlink()
    code, error = cli(*from_clip(clip_folder, watchful_folder, tmp_path / "w.mp4", "--steps=1"))
    assert (code, "--prompt is missing" in error) == (2, True)
    again = from_clip(
        clip_folder, watchful_folder, tmp_path / "w.mp4", "--steps=1", "--prompt=A cube.", "--dry-run"
    )
    assert cli(*again)[0] == 0


def test_a_name_that_is_no_file(cli, watchful_folder, clip_folder):
    code, error = cli(*from_clip(clip_folder, watchful_folder, ".", "--steps=1"))
    assert (code, "expected the name of an .mp4 file" in error) == (2, True)


def test_a_log_is_cut_back_whatever_signs_a_caption_holds(cli, cases, model_folder, tmp_path):
    arguments = walk(
        cases, model_folder, tmp_path / "w.mp4", camera="pan:left:5,back", loop_frames=8, steps=1
    )
    arguments.append("--prompt=A cat\u2028sits.\x85Still.")
    assert cli(*arguments)[0] == 0
    log = tmp_path / "w.steps.jsonl"
    code, error = cli(*arguments, "--steps=2", "--resume", "--context-frames=5")
    assert (code, "begun with a context of 9 frames, not 5" in error) == (2, True)
    code, error = cli(*arguments, "--steps=2", "--resume")
    assert code == 0, error
    assert [json.loads(line)["step"] for line in log.read_text().split("\n") if line] == [1, 2]
    log.unlink()  # as of a walk that was killed at its very beginning
    assert cli(*arguments, "--steps=3", "--resume")[0] == 0
    assert [json.loads(line)["step"] for line in log.read_text().split("\n") if line] == [3]


def test_dry_run_writes_nothing(cli, cases, model_folder, tmp_path):
    code, error = cli(*walk(cases, model_folder, tmp_path / "w.mp4"), "--dry-run")
    assert code == 0
    assert "21 frames in 3 steps" in error
    assert not list(tmp_path.glob("w*"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"out": "w.avi"}, "expected the name of an .mp4 file"),
        ({"fov": 180}, "--fov: expected degrees between 0 and 180, got 180"),
        ({"steps": 9, "camera": "cam1.json", "context_camera": None}, "too few target poses for 9 steps"),
        ({"loop_frames": 20}, "cannot be repeated; end it with back"),
        ({"context_camera": None}, "say with --context-camera"),
        ({"prompt_at": "9:Snow."}, "--prompt-at: expected STEP:CAPTION with a step of 1 to 3"),
        ({"prompt": " "}, "the caption is empty"),
        ({"video": "none.mp4"}, "none.mp4"),
        ({"offload": "sequential"}, "--offload sequential"),
        ({"set": "seed=3"}, "an option of its own"),
        ({"set": "steps=3"}, "sampling settings"),
    ],
)
def test_bad_requests_are_one_line(cli, cases, model_folder, tmp_path, monkeypatch, changes, says):
    monkeypatch.chdir(cases)
    if "loop_frames" in changes:
        changes = {**changes, "camera": "pan:left:90"}
    code, error = cli(*walk(cases, model_folder, **{"out": tmp_path / "w.mp4", **changes}))
    assert code == 2
    assert error.startswith("outofsight: ")
    assert says in error
    assert not list(tmp_path.glob("w*"))


def test_a_walk_that_is_there_is_not_lost(cli, cases, model_folder, tmp_path):
    out = tmp_path / "w.mp4"
    arguments = walk(cases, model_folder, out, steps=1)
    assert cli(*arguments, "--resume")[0] == 0  # a walk that was killed before its first state begins
    before = out.read_bytes()
    assert cli(*arguments)[0] == 0  # the command that began it goes on, and finds nothing to do
    assert out.read_bytes() == before
    code, error = cli(*walk(cases, model_folder, out, steps=1, prompt="A bus."))
    assert (code, "was begun with prompt='A cat sits.'" in error) == (2, True)
    code, error = cli(*arguments, "--seed=7")
    assert (code, "was begun with seed=42, not 7; give what" in error) == (2, True), error
    code, error = cli(*walk(cases, model_folder, out, steps=2, prompt="A bus."), "--resume")
    assert (code, "was begun with prompt='A cat sits.'" in error) == (2, True)
    code, error = cli(*walk(cases, model_folder, out, steps=2), "--resume")
    assert (code, "begun with path_frames=5, not 13" in error) == (2, True)
    code, error = cli(*arguments, "--resume", "--fov=70")
    assert (code, "begun with fov=nothing, not 70.0" in error) == (2, True)
    state = max((tmp_path / "w.rollout").glob("*.safetensors"), key=lambda piece: piece.stat().st_size)
    os.truncate(state, 100)
    code, error = cli(*arguments, "--resume")
    assert (code, "damaged" in error) == (2, True)
    assert out.read_bytes() == before
    assert cli(*arguments, "--overwrite")[0] == 0
    assert out.read_bytes() == before


def test_requests_of_earlier_versions_are_known():
    earlier = {"lap": 40, "sampling": {"num_steps": 2}}
    assert _present(earlier).items() >= {"loop_frames": 40, "sampling": {"num_inference_steps": 2}}.items()
