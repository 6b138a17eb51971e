"""``outofsight generate`` as its users meet it: good cases, and every bad one."""

import json
import os
import shutil
import stat

import numpy as np
import pytest

from outofsight.cli.cases import Shape, find_cases, read_case
from outofsight.data.sample import write_sample
from outofsight.data.video import read_video
from outofsight.errors import CameraError
from outofsight.geometry.camera_files import read_cameras, write_conditioning
from outofsight.geometry.conditioning import camera_conditioning
from outofsight.geometry.path_expressions import make_path
from outofsight.geometry.pose_files import write_poses
from outofsight.types import CameraPath, Intrinsics
from small_world import square_clip

FAST = ["--frames", "9+13", "--steps", "2", "--guidance", "1"]


def one(cases, model_folder, out, **changes):
    options = {"model": model_folder, "prompt": "A cat sits.", "out": out, **changes}
    if cases is not None:
        options = {"video": cases / "1.mp4", "camera": cases / "cam1.json", **options}
    return [
        "generate",
        *(f"--{key.replace('_', '-')}={value}" for key, value in options.items() if value is not None),
    ]


def test_one_case(outofsight, cases, model_folder, tmp_path, read_json):
    out = tmp_path / "new" / "result.mp4"
    code, _, error = outofsight(*one(cases, model_folder, out), *FAST, "--with-context", "--save-retrieval")
    assert code == 0, error
    video, fps = read_video(out)
    assert video.shape == (9 + 13, 48, 64, 3)
    assert fps == 15
    context = read_video(cases / "1.mp4").frames[21 - 9 :].astype(int)
    assert np.abs(video[:9] - context).mean() < 8  # the same picture, coded once more
    record = read_json(out.with_suffix(".json"))
    assert record["sampling"]["seed"] == 42
    assert set(record["seconds"]) == {"load", "text", "encode", "denoise", "decode"}
    assert record["notes"] == ["the first 12 context frames are left out"]
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "result.json", "result.mp4", "result.retrieval.safetensors"
    ]  # fmt: skip


def test_a_folder_of_cases_resumes(cli_with_lines, cases, model_folder, tmp_path):
    arguments = ["generate", "--model", model_folder, "--video", cases, "--out", tmp_path / "all", *FAST]
    assert cli_with_lines(*arguments)[0] == 0
    made = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "all").glob("*.mp4")}
    assert set(made) == {"1.mp4", "2.mp4", "10.mp4"}
    assert json.loads((tmp_path / "all" / "10.json").read_text())["prompt"] == "A bus waits."
    (tmp_path / "all" / "2.mp4").unlink()  # as if the run had been killed before it
    code, error = cli_with_lines(*arguments)
    assert code == 0
    assert "1.mp4 is there already" in error
    again = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "all").glob("*.mp4")}
    assert [name for name in made if again[name] != made[name]] == ["2.mp4"]


def test_other_settings_do_not_overwrite(cli_with_lines, cases, model_folder, tmp_path):
    arguments = one(cases, model_folder, tmp_path / "a.mp4")
    assert cli_with_lines(*arguments, *FAST)[0] == 0
    before = (tmp_path / "a.mp4").read_bytes()
    code, error = cli_with_lines(*arguments, *FAST, "--seed", "7")
    assert code == 2
    assert "made with other settings" in error
    assert (tmp_path / "a.mp4").read_bytes() == before
    assert cli_with_lines(*arguments, *FAST, "--seed", "7", "--overwrite")[0] == 0
    assert (tmp_path / "a.mp4").read_bytes() != before


def test_what_was_retrieved_is_not_said_to_be_there(cli_with_lines, cases, model_folder, tmp_path):
    arguments = [*one(cases, model_folder, tmp_path / "a.mp4"), *FAST]
    assert cli_with_lines(*arguments)[0] == 0
    code, error = cli_with_lines(*arguments, "--save-retrieval")
    assert code == 2
    assert "what it retrieved was not saved; --overwrite makes both anew" in error
    assert cli_with_lines(*arguments, "--save-retrieval", "--overwrite")[0] == 0
    assert (tmp_path / "a.retrieval.safetensors").is_file()
    code, error = cli_with_lines(*arguments, "--save-retrieval")
    assert code == 0
    assert "is there already" in error


def test_a_path_in_words(cli_with_lines, cases, model_folder, tmp_path):
    words = one(
        cases, model_folder, tmp_path / "a.mp4", camera="pan:left:20,pan:right:20", context_camera="still"
    )
    assert cli_with_lines(*words, *FAST)[0] == 0
    assert len(read_video(tmp_path / "a.mp4").frames) == 13


def test_dry_run_writes_nothing(cli_with_lines, cases, model_folder, tmp_path):
    code, error = cli_with_lines(*one(cases, model_folder, tmp_path / "a.mp4"), *FAST, "--dry-run")
    assert code == 0
    assert "would write" in error
    assert not list(tmp_path.glob("a.*"))


def test_the_last_of_the_context_and_the_first_of_the_target_are_used(cases, tmp_path):
    (case,) = find_cases(cases / "1.mp4", str(cases / "cam1.json"), None, "A cat.", tmp_path / "a.mp4")
    whole = read_case(case, Shape(frames=(21, 21), size=None, repairs=()))
    part = read_case(case, Shape(frames=(5, 9), size=None, repairs=()))
    assert np.array_equal(part.video, whole.video[16:])
    assert np.array_equal(part.context.world_from_camera, whole.context.world_from_camera[16:])
    assert np.array_equal(part.target.world_from_camera, whole.target.world_from_camera[:9])


def test_a_clips_folder_brings_its_own(cases, tmp_path):
    clip = tmp_path / "clip_7"
    clip.mkdir()
    for name, of_clip in (("1.mp4", "cond.mp4"), ("cam1.json", "camera.json")):
        shutil.copy(cases / name, clip / of_clip)
    (clip / "caption.txt").write_text("A cat walks.")
    (clip / "tgt.mp4").write_bytes(b"truth, which is not read")
    (own,) = find_cases(clip, None, None, None, tmp_path / "a.mp4")
    assert (own.name, own.prompt) == ("clip_7", "A cat walks.")
    shape = Shape(frames=(9, 9), size=None, repairs=())
    read = read_case(own, shape)
    (spelled,) = find_cases(cases / "1.mp4", str(cases / "cam1.json"), None, "A cat.", tmp_path / "a.mp4")
    assert np.array_equal(read.video, read_case(spelled, shape).video)
    assert np.array_equal(read.target.world_from_camera, read_case(spelled, shape).target.world_from_camera)
    (turned,) = find_cases(clip, "pan:left:20", None, "A dog.", tmp_path / "a.mp4")
    assert turned.prompt == "A dog."
    assert not np.array_equal(
        read_case(turned, shape).target.world_from_camera, read.target.world_from_camera
    )


def test_captions_follow_the_videos_in_natural_order(cases, tmp_path):
    found = find_cases(cases, None, None, None, tmp_path)
    assert [(case.name, case.prompt) for case in found] == [
        ("1", "A cat sits."), ("2", "A dog runs."), ("10", "A bus waits.")
    ]  # fmt: skip


def spoil_camera(cases, spoil):
    path = cases / "cam1.json"
    content = json.loads(path.read_text())
    spoil(content)
    path.write_text(json.dumps(content))


def spoil_lens(path, **changes):
    content = json.loads(path.read_text())
    content["intrinsics"].update(changes)
    path.write_text(json.dumps(content))


def truncate(path):
    os.truncate(path, path.stat().st_size // 3)


BAD = {
    "missing video": (lambda c, m: (c / "1.mp4").unlink(), {}, "1.mp4"),
    "corrupt video": (lambda c, m: truncate(c / "1.mp4"), {}, "1.mp4"),
    "not a video": (lambda c, m: (c / "1.mp4").write_text("hello"), {}, "1.mp4"),
    "too few frames": (lambda c, m: None, {"frames": "25+13"}, "21 context poses"),
    "not 4k + 1": (lambda c, m: None, {"frames": "10+13"}, "got 10"),
    "frames in words": (lambda c, m: None, {"frames": "many"}, "expected CONTEXT+TARGET"),
    "wrong size": (lambda c, m: None, {"size": "50x64"}, "divisible by 16"),
    "too few poses": (lambda c, m: None, {"frames": "9+25"}, "has 21 target poses"),
    "missing camera": (lambda c, m: (c / "cam1.json").unlink(), {}, "cam1.json"),
    "missing pose": (
        lambda c, m: spoil_camera(c, lambda content: content["tgt_cam"].pop("5")), {}, "frame 5"
    ),
    "malformed matrix": (
        lambda c, m: spoil_camera(c, lambda content: content["cond_cam"]["3"].pop()), {}, "frame 3"
    ),
    "no rotation": (
        lambda c, m: spoil_camera(c, lambda content: content["cond_cam"]["3"][0].__setitem__(0, 7.0)), {}, "frame 3"
    ),
    "not a number": (
        lambda c, m: spoil_camera(c, lambda content: content["cond_cam"]["3"][0].__setitem__(3, float("nan"))),
        {},
        "frame 3",
    ),
    "path without a start": (lambda c, m: None, {"camera": "pan:left:20"}, "--context-camera"),
    "unknown path": (lambda c, m: None, {"camera": "fly:up:20", "context_camera": "still"}, "fly"),
    "empty caption": (lambda c, m: None, {"prompt": "  "}, "caption is empty"),
    "no caption": (lambda c, m: None, {"prompt": None}, "--prompt is missing"),
    "no model": (lambda c, m: None, {"model": "nowhere/at-all"}, "nowhere/at-all"),
    "another model": (
        lambda c, m: (m / "transformer" / "config.json").write_text((m / "vae" / "config.json").read_text()),
        {},
        "expected a transformer with HyDRA's memory, got AutoencoderKLWan",
    ),
    "truncated weights": (
        lambda c, m: truncate(m / "transformer" / "diffusion_pytorch_model.safetensors"), {}, "truncated or damaged"
    ),
    "out is no mp4": (lambda c, m: None, {"out": "result.avi"}, "expected the name of an .mp4"),
    "unknown setting": (lambda c, m: None, {"set": "speed=3"}, "speed"),
    "unknown device": (lambda c, m: None, {"device": "abacus"}, "abacus"),
    "unknown dtype": (lambda c, m: None, {"dtype": "float8"}, "--dtype"),
    "unknown repair": (lambda c, m: None, {"repair": "magic"}, "--repair"),
    "lens of 0°": (lambda c, m: None, {"fov": 0}, "--fov: expected degrees between 0 and 180, got 0"),
    "lens of 180°": (lambda c, m: None, {"fov": 180}, "between 0 and 180, got 180"),
    "lens of no degrees": (lambda c, m: None, {"fov": "nan"}, "between 0 and 180, got nan"),
    "another lens than the file's": (
        lambda c, m: posed(c, lens_of(70), "cam1.json"), {"fov": 75}, "--fov 75: the camera file says"
    ),
    "lens of another picture": (
        lambda c, m: posed(c, lens_of(70, 64, 64), "cam1.json"), {}, "cam1.json: intrinsics of a picture of 64×64, but"
    ),
    "negative focal length": (
        lambda c, m: spoil_lens(posed(c, lens_of(70), "cam1.json"), fx_px=-40.0), {}, "focal lengths above 0"
    ),
    "focal length of no number": (
        lambda c, m: spoil_lens(posed(c, lens_of(70), "cam1.json"), fy_px=float("nan")), {}, "intrinsics, fy_px"
    ),
    "offload without a GPU": (lambda c, m: None, {"offload": "model", "device": "cpu"}, "on the CPU"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(cli_with_lines, cases, model_folder, tmp_path, name):
    spoil, options, says = BAD[name]
    model = tmp_path / "model"
    shutil.copytree(model_folder, model)
    spoil(cases, model)
    folder = tmp_path / "out"
    folder.mkdir()
    arguments = {"frames": "9+13", "steps": 2, "guidance": 1, **options}
    given = one(cases, **{"model_folder": model, "out": folder / "a.mp4", **arguments})
    code, error = cli_with_lines(*given)
    assert code == 2, error
    assert len(error.strip().splitlines()) == 1, error
    assert any(word in error for word in says.split("|")), error
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_folder(cli_with_lines, cases, model_folder, tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    code, error = cli_with_lines(*one(cases, model_folder, folder / "a.mp4"), *FAST)
    assert code == 2
    assert "cannot write" in error


def test_a_file_in_place_of_the_folder(cli_with_lines, cases, model_folder, tmp_path):
    (tmp_path / "file").write_text("")
    code, error = cli_with_lines(*one(cases, model_folder, tmp_path / "file" / "a.mp4"), *FAST)
    assert code == 2
    assert "cannot write" in error


def test_captions_must_match_videos(cli_with_lines, cases, model_folder, tmp_path):
    (cases / "caption.txt").write_text("Only one line.\n")
    code, error = cli_with_lines(
        "generate", "--model", model_folder, "--video", cases, "--out", tmp_path / "all", *FAST
    )
    assert code == 2
    assert "1 captions for 3 videos" in error


def test_a_real_case(cli_with_lines, fixtures_dir, model_folder, tmp_path):
    """A published HM-World context and its published cameras, 77 + 77 frames."""
    options = {
        "video": fixtures_dir / "examples" / "1.mp4",
        "camera": fixtures_dir / "cameras" / "cam1.json",
        "prompt": "A person in black armor stands on the side of a street.",
    }
    code, error = cli_with_lines(
        *one(None, model_folder, tmp_path / "a.mp4", **options), "--steps", "1", "--guidance", "1"
    )
    assert code == 0, error
    video, fps = read_video(tmp_path / "a.mp4")
    assert video.shape == (77, 96, 160, 3)
    assert fps == 15


def posed(cases, lens, name="posed.json", num_context=21):
    """Write cam1.json's cameras as a pose file that knows its lens."""
    file = read_cameras(cases / "cam1.json")
    poses = np.concatenate([half.world_from_camera for half in (file.context, file.target)])
    path = CameraPath(world_from_camera=poses, intrinsics=lens)
    write_poses(cases / name, path, num_context_frames=num_context)
    return cases / name


def lens_of(fov_x_deg, height=48, width=64):
    return Intrinsics.from_fov(width_px=width, height_px=height, fov_x_rad=np.deg2rad(fov_x_deg))


def inputs_of(cases, camera, context_camera=None, size=None, fov=None):
    (case,) = find_cases(
        cases / "1.mp4", str(camera), None if context_camera is None else str(context_camera), "A cat.",
        cases / "a.mp4",
    )  # fmt: skip
    return read_case(case, Shape(frames=(9, 9), size=size, repairs=(), fov_x_deg=fov))


def test_a_camera_file_tells_the_lens_to_both_halves_and_to_paths_in_words(cases):
    file = posed(cases, lens_of(70, 96, 128))  # the same picture at twice the size
    for camera, context in ((file, None), ("pan:left:20", file)):
        read = inputs_of(cases, camera, context)
        assert read.lens.source == "camera file"
        for path in (read.context, read.target):
            np.testing.assert_allclose(path.intrinsics.normalized, lens_of(70).normalized)
    # 48 × 64 scaled to cover 48 × 48: 8 columns are cut off on each side, f stays.
    cropped = inputs_of(cases, file, size=(48, 48)).context.intrinsics
    assert (cropped.width_px, cropped.fx_px, cropped.cx_px) == (48, pytest.approx(lens_of(70).fx_px), 24)


def test_a_lens_given_by_hand(cases):
    for camera, context in ((cases / "cam1.json", None), ("pan:left:20", "still")):
        assert inputs_of(cases, camera, context).lens is None
        read = inputs_of(cases, camera, context, fov=70)
        assert read.lens.source == "--fov"
        np.testing.assert_allclose(read.target.intrinsics.normalized, lens_of(70).normalized)
    relative = cases / "relative.json"
    halves = read_cameras(cases / "cam1.json")
    write_conditioning(relative, camera_conditioning(halves.context[:9], halves.target[:9]))
    np.testing.assert_allclose(inputs_of(cases, relative, fov=70).target.intrinsics, lens_of(70).normalized)
    assert inputs_of(cases, posed(cases, lens_of(70)), fov=70.05).lens.source == "camera file"  # they agree


def test_a_clip_knows_its_lens(tmp_path):
    write_sample(tmp_path / "clip", square_clip("clip"))
    (case,) = find_cases(tmp_path / "clip", "pan:left:20", None, None, tmp_path / "a.mp4")
    shape = Shape(frames=(9, 9), size=None, repairs=())
    read = read_case(case, shape)
    assert read.lens.source == "clip"
    assert read.target.intrinsics.fov_x_rad == pytest.approx(1.2)
    other = CameraPath(
        world_from_camera=make_path("still", 18).world_from_camera, intrinsics=lens_of(90, 32, 48)
    )
    write_poses(tmp_path / "other.json", other, num_context_frames=9)
    (case,) = find_cases(tmp_path / "clip", str(tmp_path / "other.json"), None, None, tmp_path / "a.mp4")
    with pytest.raises(CameraError, match=r"other.json: its lens \(.*\) is not that of .*clip"):
        read_case(case, shape)


def test_the_lens_is_written_beside_the_video(cli_with_lines, cases, model_folder, tmp_path, read_json):
    lenses = {}
    for name, more in (("a", []), ("b", ["--fov=70"])):
        out = tmp_path / f"{name}.mp4"
        arguments = [*one(cases, model_folder, out), *FAST, *more]
        assert cli_with_lines(*arguments)[0] == 0
        lenses[name] = read_json(out.with_suffix(".json"))["intrinsics"]
        assert "is there already" in cli_with_lines(*arguments)[1]
    assert lenses["a"] == {
        "fx": 0.5, "fy": 0.666667, "cx": 0.5, "cy": 0.5, "fov_x_deg": 90.0, "source": "default",
    }  # fmt: skip
    assert (lenses["b"]["fov_x_deg"], lenses["b"]["source"]) == (70.0, "--fov")
    code, error = cli_with_lines(*one(cases, model_folder, tmp_path / "b.mp4"), *FAST, "--fov=71")
    assert (code, "made with other settings" in error) == (2, True)
