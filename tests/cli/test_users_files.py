"""Nothing of a user's is lost or misread: names, encodings, places, rates, and two processes at once."""

import hashlib
import json
import os
import shutil

import numpy as np
import pytest

from outofsight.data.video import read_video, video_facts, write_video
from small_world import write_small_dataset

FAST = ("--frames=9+9", "--steps=1", "--guidance=1")
STILL = ("--context-camera=still", "--camera=still", "--prompt=A dog runs.")


@pytest.fixture
def ask(cli, model_folder):
    return lambda *arguments: cli("generate", f"--model={model_folder}", *FAST, *arguments)


def digests(folder):
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_inputs_are_never_written_over(ask, cli, cases, model_folder, tmp_path, overwrite):
    shutil.copy(cases / "cam1.json", cases / "1.json")
    (tmp_path / "link").symlink_to(cases)
    os.link(cases / "1.mp4", tmp_path / "hard.mp4")
    before = digests(cases)
    camera = (f"--camera={cases / '1.json'}", "--prompt=A dog.")
    for out in (cases / "1.mp4", tmp_path / "link" / "1.mp4", tmp_path / "hard.mp4"):
        code, error = ask(f"--video={cases / '1.mp4'}", *camera, f"--out={out}", *overwrite)
        assert (code, "input" in error) == (2, True), error
    code, error = ask(f"--video={cases / '2.mp4'}", *camera, f"--out={cases / '1.mp4'}", *overwrite)
    assert code == 2, error  # its record would be the camera file
    code, error = ask(f"--video={cases}", f"--out={cases}", *overwrite)
    assert (code, "never written over" in error) == (2, True), error
    walk = ("--steps=1", "--context-frames=9", "--set=num_inference_steps=1", f"--out={cases / '1.mp4'}")
    code, error = cli(
        "roll", f"--model={model_folder}", f"--video={cases / '1.mp4'}", *STILL, *walk, *overwrite
    )
    assert (code, "input" in error) == (2, True), error
    assert digests(cases) == before


def test_what_others_made_is_not_replaced(ask, cases, tmp_path):
    video = (f"--video={cases / '1.mp4'}", *STILL)
    for name in ("o.mp4", "o.json"):
        (tmp_path / name).write_text('{"mine": 1}')
        code, error = ask(*video, f"--out={tmp_path / 'o.mp4'}", "--overwrite")
        assert (code, "not made by outofsight" in error) == (2, True), error
        assert (tmp_path / name).read_text() == '{"mine": 1}'
        (tmp_path / name).unlink()
    assert ask(*video, f"--out={tmp_path / 'o.mp4'}")[0] == 0
    assert ask(*video, f"--out={tmp_path / 'o.mp4'}", "--seed=2", "--overwrite")[0] == 0
    assert json.loads((tmp_path / "o.json").read_text())["sampling"]["seed"] == 2


def test_a_kill_between_record_and_video_is_gone_on_with(ask, cases, tmp_path):
    video, out = (f"--video={cases / '1.mp4'}", *STILL), tmp_path / "o.mp4"
    assert ask(*video, f"--out={out}")[0] == 0
    before = out.read_bytes()
    out.unlink()
    assert ask(*video, f"--out={out}")[0] == 0
    assert out.read_bytes() == before


@pytest.mark.parametrize("prompt", ["犬" * 86, "A dog. " * 300, "a/b" * 200, "%d {x} [bold] \\ --"])
def test_a_prompt_is_words(ask, cases, tmp_path, prompt):
    code, error = ask(
        f"--video={cases / '1.mp4'}", *STILL[:2], f"--prompt={prompt}", "--dry-run", f"--out={tmp_path}/o.mp4"
    )
    assert code == 0, error


def test_a_prompt_file_that_is_not_there_is_no_caption(ask, cases, tmp_path):
    video = (f"--video={cases / '1.mp4'}", *STILL[:2], f"--out={tmp_path}/o.mp4", "--dry-run")
    code, error = ask(*video, "--prompt=missing.txt")
    assert (code, "there is no file missing.txt" in error) == (2, True)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(ask, cases, tmp_path, encoding):
    (tmp_path / "cam.json").write_text((cases / "cam1.json").read_text(), encoding=encoding)
    (tmp_path / "p.txt").write_text("A dog.", encoding=encoding)
    code, error = ask(
        f"--video={cases / '1.mp4'}", f"--camera={tmp_path / 'cam.json'}", f"--prompt={tmp_path / 'p.txt'}",
        "--dry-run", f"--out={tmp_path}/o.mp4",
    )  # fmt: skip
    assert code == 0, error
    assert '"prompt": "A dog."' in error


@pytest.mark.parametrize(
    "name", ["10:30.mp4", "100%d.mp4", "-x.mp4", "a b [c].mp4", "http:x.mp4", "犬.MP4", "\udcff.mp4"]
)
def test_a_name_is_a_name(ask, cases, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    shutil.copy(cases / "1.mp4", name)
    code, error = ask(f"--video={name}", *STILL, "--out=plain.mp4")
    assert code == 0, error
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    code, error = ask("--video=../plain.mp4", *STILL, f"--out={name}")
    if not name.isprintable():
        assert (code, "no UTF-8; choose another" in error) == (2, True), error
        return
    assert code == 0, error
    assert sorted(os.listdir()) == sorted([name, f"{name.rpartition('.')[0]}.json"])


def test_folders_as_systems_leave_them(ask, cases, tmp_path):
    (cases / "._1.mp4").write_bytes(b"\0")
    (cases / ".DS_Store").write_bytes(b"\0")
    (cases / "2.mp4").rename(cases / "2.MP4")
    code, error = ask(f"--video={cases}", f"--out={tmp_path / 'out'}", "--dry-run")
    assert (code, error.count("would write")) == (0, 3), error
    assert not (tmp_path / "out").exists()
    shutil.copy(cases / "1.mp4", cases / "1.mov")
    code, error = ask(f"--video={cases}", f"--out={tmp_path / 'out'}", "--dry-run")
    assert (code, "would both become 1.mp4" in error) == (2, True)


def test_a_card_that_writes_all_names_in_capitals(ask, cases, tmp_path):
    for path in list(cases.iterdir()):
        path.rename(path.with_name(path.name.upper()))
    (cases / "CAPTION.TXT").write_bytes(b"\xef\xbb\xbfA cat.\rA dog.\r\n\r\nA bus.\n")
    code, error = ask(f"--video={cases}", f"--out={tmp_path / 'out'}", "--dry-run")
    assert (code, error.count("would write")) == (0, 3), error
    assert '"prompt": "A dog."' in error


@pytest.mark.parametrize(
    "option",
    ["--device=cuda:99", "--dtype=fp16", "--offload=blah", "--offload=model", "--strategy=nope", "--mask=no.mp4",
     "--guidance=nan", "--seed=99999999999999999999999", "--set=shift=-1", "--size=0x0", "--attention-chunk=0"],
)  # fmt: skip
def test_a_dry_run_refuses_what_a_run_would(ask, cases, tmp_path, option):
    code, error = ask(
        f"--video={cases / '1.mp4'}", *STILL, "--dry-run", f"--out={tmp_path}/new/o.mp4", option
    )
    assert code == 2, error
    assert "Traceback" not in error
    assert not (tmp_path / "new").exists()


def test_only_the_frames_that_are_used_are_read(tmp_path):
    frames = np.repeat(np.arange(200, dtype=np.uint8)[:, None, None, None], 64, axis=1)
    frames = np.broadcast_to(frames, (200, 64, 64, 3))
    write_video(tmp_path / "v.mp4", frames, 15)
    whole = read_video(tmp_path / "v.mp4").frames
    assert np.array_equal(read_video(tmp_path / "v.mp4", keep_last=9).frames, whole[-9:])
    assert np.array_equal(read_video(tmp_path / "v.mp4", num_frames=50, keep_last=5).frames, whole[45:50])
    assert np.array_equal(read_video(tmp_path / "v.mp4", keep_last=500).frames, whole)
    assert video_facts(tmp_path / "v.mp4")[:4] == (64, 64, 15.0, False)


def test_another_rate_is_said_and_can_be_resampled(ask, cases, tmp_path):
    frames = np.broadcast_to(np.arange(60, dtype=np.uint8)[:, None, None, None] * 4, (60, 48, 64, 3))
    write_video(tmp_path / "fast.mp4", frames, 30)
    video = (f"--video={tmp_path / 'fast.mp4'}", *STILL)
    code, error = ask(*video, f"--out={tmp_path / 'a.mp4'}")
    assert (code, "fast.mp4 shows 30 frames a second, the model's videos 15" in error) == (0, True), error
    code, error = ask(*video, f"--out={tmp_path / 'b.mp4'}", "--resample")
    assert (code, "frames a second" in error) == (0, False), error
    every_second = read_video(tmp_path / "fast.mp4", fps=15.0).frames[:, 0, 0, 0].astype(int)
    assert len(every_second) in (30, 31)
    assert set(np.diff(every_second[:29]).tolist()) <= {7, 8, 9}


def test_steps_of_centimetres_are_doubted(ask, cases, tmp_path):
    video = (f"--video={cases / '1.mp4'}", "--prompt=A dog.", "--context-camera=still")
    for dry in ((), ("--dry-run",)):
        code, error = ask(*video, "--camera=dolly:in:900", f"--out={tmp_path / f'{len(dry)}.mp4'}", *dry)
        assert (code, error.count("are these metres?")) == (0, 1), error


def test_a_broken_clip_is_named_or_left_out(cli, tmp_path, model_folder):
    data = write_small_dataset(tmp_path / "data")
    (data / "test" / "clip_000001" / "cond.mp4").write_bytes(b"broken")
    encode = ("data", "encode", f"--data={data}", f"--model={model_folder}", f"--out={tmp_path / 'cache'}")
    code, error = cli(*encode)
    assert (code, "--skip-broken leaves such clips out" in error) == (2, True), error
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    code, error = cli(*encode, "--skip-broken")
    assert (code, "left out: " in error, "1 left out" in error) == (0, True, True), error
    judge = ("evaluate", f"--data={data}", f"--out={tmp_path / 'report'}", "--metrics=psnr", "--detector=none",
             "--features=none")  # fmt: skip
    code, error = cli(*judge)
    assert (code, "--skip-broken" in error) == (2, True), error
    code, error = cli(*judge, "--skip-broken")
    assert (code, "1 left out" in error) == (0, True), error


def test_a_dry_run_of_encoding_refuses_what_a_run_would(cli, tmp_path, model_folder):
    data, cache = write_small_dataset(tmp_path / "data"), tmp_path / "cache"
    encode = ("data", "encode", f"--data={data}", f"--out={cache}", "--dry-run")
    model = f"--model={model_folder}"
    before = digests(data)
    for wrong, reported in (
        ((model, "--device=cuda:99"), "cuda:99"), ((model, "--dtype=fp16"), "float16 or float32"),
        ((model, "--rendered=-1"), "expected ≥ 0 draws"), (("--model=nope",), "nope"),
        ((model, "--text=words"), "captions or states"),
    ):  # fmt: skip
        code, error = cli(*encode, *wrong)
        assert (code, reported in error) == (2, True), error
    assert cli(*encode, model)[0] == 0
    assert not cache.exists()
    film = data / "test" / "clip_000001" / "cond.mp4"
    whole = film.read_bytes()
    film.write_bytes(b"broken")
    code, error = cli(*encode, model)
    assert (code, "--skip-broken leaves such clips out" in error) == (2, True), error
    code, error = cli(*encode, model, "--skip-broken")
    assert (code, "1 left out" in error) == (0, True), error
    film.write_bytes(whole)
    assert digests(data) == before
    assert cli(*encode[:-1], model)[0] == 0
    code, error = cli(*encode, model, "--per-shard=1")
    assert (code, "made with another samples_per_shard" in error) == (2, True), error


def test_a_home_without_a_place_for_kernels(new_process, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/proc/nowhere")
    for variable in ("XDG_CACHE_HOME", "WARP_CACHE_PATH"):
        monkeypatch.delenv(variable, raising=False)
    code, _, error = new_process("world", "build", "--preset=mini", "--clips=1", "--out=w")
    assert (code, "WARP_CACHE_PATH=FOLDER" in error) == (2, True), error
    assert not (tmp_path / "w").exists()
