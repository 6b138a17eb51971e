"""Small manners: help that can be read, progress in a file, and failures that say at once what to do."""

import resource
from io import StringIO
from pathlib import Path

import pytest
import typer.main
from rich.console import Console

import outofsight.cli.progress as progress
from outofsight.cli import build_app
from outofsight.cli.failures import exit_line
from outofsight.cli.values import refuse_empty_values
from outofsight.data.video import read_video
from outofsight.errors import InputError
from small_world import write_small_dataset


def verbs(command, path=()):
    """Give every verb of the command line, with the words that call it."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from verbs(inner, (*path, name))
    if not hasattr(command, "commands"):
        yield " ".join(path), command


@pytest.mark.parametrize("width", [60, 80])
def test_help_shows_every_option_in_full(width):
    found = dict(verbs(typer.main.get_command(build_app())))
    assert {"generate", "data encode", "world build", "convert lora"} <= found.keys()
    for name, command in found.items():
        words = (
            command.make_context(name, [], resilient_parsing=True, terminal_width=width).get_help().split()
        )
        for option in (option for one in command.params for option in one.opts if option.startswith("--")):
            assert any(word.rstrip(",").split("/")[0].rstrip(",") == option for word in words), (name, option)


def test_an_empty_value_is_refused_by_every_option_of_every_verb():
    """An empty path would be the current folder."""
    command = typer.main.get_command(build_app())
    refuse_empty_values(command)
    asked = 0
    for name, verb in verbs(command):
        for one in verb.params:
            if getattr(one, "is_flag", False):
                continue
            words = [f"{one.opts[0]}="] if one.opts[0].startswith("-") else ["--", ""]
            with pytest.raises(InputError, match="is empty; give a value"):
                command([*name.split(), *words], standalone_mode=False)
            asked += 1
    assert asked > 200


def test_an_empty_folder_name_makes_nothing_here(cli, model_folder, tmp_path, monkeypatch):
    data = write_small_dataset(tmp_path / "data")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    code, error = cli("data", "encode", f"--data={data}", f"--model={model_folder}", "--out", "")
    assert (code, error) == (2, "outofsight: --out: is empty; give a value, or leave it out")
    assert not any((tmp_path / "here").iterdir())


def test_the_version(new_process):
    code, said, _ = new_process("--version")
    assert (code, said.split()[0], said.count("\n")) == (0, "outofsight", 1)


@pytest.mark.parametrize(
    "command",
    [
        ("generate", "--video=1.mp4", "--camera=still", "--context-camera=still", "--prompt=dog", "--out=o.mp4"),
        ("roll", "--video=1.mp4", "--camera=still", "--context-camera=still", "--prompt=dog", "--steps=1",
         "--context-frames=9", "--out=o.mp4"),
    ],
)  # fmt: skip
def test_a_model_that_is_mistyped_is_said_at_once(cli, cases, monkeypatch, command):
    monkeypatch.chdir(cases)
    code, error = cli(*command, "--model=minni")
    assert (code, "minni" in error) == (2, True), error
    assert not (cases / "o.mp4").exists()


def test_ctrl_c_says_how_to_go_on(cli, cases, model_folder, monkeypatch):
    def stop(*_arguments, **_settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("outofsight.cli.generate.find_cases", stop)
    code, error = cli("generate", f"--model={model_folder}", f"--video={cases}", "--frames=9+9",
                      f"--out={cases.parent / 'out'}")  # fmt: skip
    assert (code, error) == (
        130,
        "outofsight: stopped; what is finished is kept, and the same command goes on",
    )
    assert not (cases.parent / "out").exists()


def test_ctrl_c_while_a_library_is_imported():
    stopped = ImportError("initialization failed")
    stopped.__cause__ = KeyboardInterrupt()
    assert exit_line(stopped)[0] == 130
    assert exit_line(ImportError("initialization failed"))[0] == 1


def test_progress_without_a_terminal_is_a_line_now_and_then(monkeypatch):
    monkeypatch.setattr(progress, "FIRST_LINE_S", 0.0)
    written = StringIO()
    with progress.shown_progress(Console(file=written), "answers") as show:
        for done in (1, 2, 3):
            show(done, 3, f"clip_{done}")
    assert written.getvalue() == "answers 1 of 3 (0:00): clip_1\n"


def test_a_long_video_takes_the_memory_of_the_frames_that_are_used(tmp_path):
    """500 frames of 240×416 are 150 MB of pixels, of which five frames are kept."""
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    code = (
        "import resource, sys, numpy as np; from outofsight.data.video import write_video, read_video\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; frame = np.zeros((240, 416, 3), np.uint8)\n"
        "write_video(sys.argv[1], (frame + index % 200 for index in range(500)), fps=15, quality='low')\n"
        "before = peak(); assert len(read_video(sys.argv[1], keep_last=5).frames) == 5; print(peak() - before)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "long.mp4")]
    grown_kib = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert grown_kib < 60_000
    assert read_video(tmp_path / "long.mp4", num_frames=2).frames.shape == (2, 240, 416, 3)


def test_a_disk_that_is_full_is_one_line(cli, cases, model_folder, tmp_path):
    full = resource.getrlimit(resource.RLIMIT_FSIZE)
    parts = {
        "transformer": "transformer",
        "vae": "vae",
        "text-encoder": "text_encoder",
        "tokenizer": "tokenizer",
    }
    convert = ("convert", "to-diffusers", *(f"--{key}={model_folder / part}" for key, part in parts.items()))
    made = (
        "generate",
        f"--model={model_folder}",
        f"--video={cases}",
        "--frames=9+9",
        "--steps=1",
        "--guidance=1",
    )
    for command in (convert, ("convert", "to-official", f"--model={model_folder}"), made):
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, full[1]))
        try:
            code, error = cli(*command, f"--out={tmp_path / 'new' / 'm'}")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, full)
        reported = error.split("outofsight: ")[-1]
        assert (code, "Traceback" in error, "written" in reported) == (2, False, True), error
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("part", ["vae", "text-encoder"])
@pytest.mark.parametrize("wrong", ["empty", "transformer"])
def test_folders_that_hold_something_else_are_one_line(cli, model_folder, tmp_path, part, wrong):
    (tmp_path / "empty").mkdir()
    parts = {
        "transformer": "transformer",
        "vae": "vae",
        "text-encoder": "text_encoder",
        "tokenizer": "tokenizer",
    }
    paths = {key: model_folder / name for key, name in parts.items()}
    paths[part] = tmp_path / "empty" if wrong == "empty" else model_folder / "transformer"
    code, error = cli("convert", "to-diffusers", *(f"--{key}={path}" for key, path in paths.items()),
                      f"--out={tmp_path / 'm'}")  # fmt: skip
    assert (code, "Traceback" in error, "Error" in error) == (2, False, False), error
    assert f"--{part}" in error or str(paths[part]) in error, error
    assert not (tmp_path / "m").exists()


def test_a_name_that_is_no_text_is_one_line():
    with pytest.raises(UnicodeEncodeError) as raised:
        "detector-\udcff.pt".encode()  # as a file's bytes come from the command line
    said = r"'detector-\udcff.pt': expected text in UTF-8, got other bytes; give another name"
    assert exit_line(raised.value) == (2, said)
    with pytest.raises(ValueError, match="null byte") as raised:
        Path("a\0b").touch()
    assert exit_line(raised.value) == (2, "a name holds a null byte; give another")
