"""Who may write where: never over inputs, never over what is not ours, one process at a time."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from outofsight.data.outputs import check_outputs, claimed
from outofsight.errors import InputError, OutputError
from outofsight.files import (
    folder_in_one_piece,
    lock,
    one_writer,
    read_text,
    remove_unfinished,
    replaced_folder,
    write_bytes,
    written_whole,
)

HOLD = """
import sys, time
from pathlib import Path
from outofsight.data.outputs import claimed
from outofsight.files import written_whole
out = Path(sys.argv[1])
with claimed(out), written_whole(out) as temporary:
    temporary.write_text("half")
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that writes an output and does not end by itself."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "o.mp4")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_an_input_is_never_an_output(tmp_path):
    film, other = tmp_path / "film.mp4", tmp_path / "other.mp4"
    film.write_text("film")
    (tmp_path / "link.mp4").symlink_to(film)
    os.link(film, tmp_path / "hard.mp4")
    for out in (film, tmp_path / "link.mp4", tmp_path / "hard.mp4", tmp_path / "x" / ".." / "film.mp4"):
        with pytest.raises(OutputError, match="input"):
            check_outputs([out], [film], ours=True)
    check_outputs([other], [film, None, "still", "a" * 5000])


def test_folders_and_what_lies_in_them(tmp_path):
    (tmp_path / "data" / "train").mkdir(parents=True)
    (tmp_path / "data" / "train" / "x").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    for out, reads in (
        (tmp_path / "data" / "out", tmp_path / "data"),
        (tmp_path / "link" / "out", tmp_path / "data"),
        (tmp_path / "data", tmp_path / "data" / "train" / "x"),
        (tmp_path / "data", tmp_path / "link"),
    ):
        with pytest.raises(OutputError, match="never written over"):
            check_outputs([out], [reads], ours=True)
    check_outputs([tmp_path / "data-2"], [tmp_path / "data"])


def test_what_is_not_ours_is_not_replaced(tmp_path):
    there = tmp_path / "notes.json"
    there.write_text("{}")
    with pytest.raises(OutputError, match="not made by outofsight"):
        check_outputs([there], [])
    check_outputs([there], [], ours=True)
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(OutputError, match="not made by outofsight"):
        check_outputs([tmp_path / "dangling"], [])
    (tmp_path / "empty").mkdir()
    check_outputs([tmp_path / "empty"], [])


@pytest.mark.parametrize("name", ["a" * 300, "nul\0byte", "file/x", "file/x/y"])
def test_names_that_no_file_can_have(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot "):
        check_outputs([tmp_path / name], [])


def test_a_claim_leaves_nothing_behind(tmp_path):
    out = tmp_path / "a" / "b" / "o.mp4"
    with pytest.raises(InputError), claimed(out):
        raise InputError("came to nothing")
    assert not list(tmp_path.iterdir())
    with claimed(out):
        write_bytes(out, b"x")
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["o.mp4"]


def test_who_comes_second_replaces_nothing_that_was_to_be_new(tmp_path):
    out = tmp_path / "cameras.json"
    with claimed(out, new=True):
        out.write_text("first")
    with pytest.raises(OutputError, match="exists already"), claimed(out, new=True):
        out.write_text("second")
    assert out.read_text() == "first"


def test_the_second_writer_is_told_who_the_first_is(tmp_path, holder):
    reported = rf"o\.mp4: another process \({holder.pid} on .*, since 20"
    with pytest.raises(OutputError, match=reported), claimed(tmp_path / "o.mp4"):
        pass
    with claimed(tmp_path / "p.mp4"):
        pass


def test_a_kill_leaves_no_lock_and_its_leftovers_go(tmp_path, holder):
    assert len(list(tmp_path.glob(".unfinished-*"))) == 1
    assert remove_unfinished(tmp_path) == 0  # its owner lives
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with claimed(tmp_path / "o.mp4"):
        pass
    assert not list(tmp_path.iterdir())


def test_names_of_users_are_no_leftovers(tmp_path):
    for name in (".unfinished-novel", ".unfinished-", ".unfinished-12"):
        (tmp_path / name).write_text("mine")
    (tmp_path / ".unfinished-123-old").write_text("of an earlier version of ours")
    assert remove_unfinished(tmp_path) == 1
    assert len(list(tmp_path.iterdir())) == 3


def take(place, out, results):
    try:
        with one_writer(place, out):
            results.put("worked")
            time.sleep(1)
    except OutputError:
        results.put("refused")


def test_of_eight_at_once_one_works(tmp_path):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [
        context.Process(target=take, args=(tmp_path / "lock", tmp_path / "o", results)) for _ in range(8)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    reported = [results.get() for _ in processes]
    assert reported.count("refused") == 7
    assert reported.count("worked") == 1
    assert not (tmp_path / "lock").exists()


def test_whole_or_not_at_all(tmp_path):
    with pytest.raises(ZeroDivisionError), written_whole(tmp_path / "x.txt") as temporary:
        temporary.write_text("half" * (1 // temporary.name.count("y")))
    assert not list(tmp_path.iterdir())
    for make in (folder_in_one_piece, replaced_folder):
        with make(tmp_path / make.__name__) as folder:
            (folder / "a").write_text("a")
        assert (tmp_path / make.__name__ / "a").read_text() == "a"
    with replaced_folder(tmp_path / "replaced_folder") as folder:
        (folder / "b").write_text("b")
    assert [path.name for path in (tmp_path / "replaced_folder").iterdir()] == ["b"]
    with folder_in_one_piece(tmp_path / "replaced_folder", others_too=True) as folder:
        (folder / "c").write_text("c")
    assert [path.name for path in (tmp_path / "replaced_folder").iterdir()] == ["b"]
    with (
        pytest.raises(OutputError, match="it is there already"),
        folder_in_one_piece(tmp_path / "replaced_folder"),
    ):
        pass


def test_a_folder_whose_replacement_fails_is_put_back(tmp_path, monkeypatch):
    place = tmp_path / "export"
    with replaced_folder(place) as folder:
        (folder / "a").write_text("a")
    rename = os.rename

    def fails_for_the_new(source, target):
        if Path(target) == place and not Path(source).name.startswith(".unfinished-replaced-"):
            raise OSError(5, "Input/output error")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("outofsight.files.os.rename", fails_for_the_new)
        with pytest.raises(OutputError, match="Input/output error"), replaced_folder(place) as folder:
            (folder / "b").write_text("b")
    assert [path.name for path in place.iterdir()] == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_a_folder_that_a_kill_left_out_of_the_way_is_put_back(tmp_path):
    for clean_up in (
        lambda: remove_unfinished(tmp_path),
        lambda: replaced_folder(tmp_path / "export").__enter__(),
    ):
        old = tmp_path / ".unfinished-replaced-export"
        old.mkdir()
        (old / "a").write_text("a")
        clean_up()
        assert (tmp_path / "export" / "a").read_text() == "a"
        assert not old.exists()
        (tmp_path / "export").rename(tmp_path / "kept")
        shutil.rmtree(tmp_path / "kept")


def test_a_lock_is_one_handle_s(tmp_path):
    first, second = (os.open(tmp_path, os.O_RDONLY) for _ in range(2))
    assert lock(first)
    assert not lock(second)
    os.close(first)
    assert lock(second)
    os.close(second)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_of_any_editor(tmp_path, encoding):
    (tmp_path / "t.txt").write_text("Ein Mädchen.", encoding=encoding)
    assert read_text(tmp_path / "t.txt") == "Ein Mädchen."


def test_text_in_another_encoding(tmp_path):
    (tmp_path / "t.txt").write_bytes("Mädchen".encode("latin-1"))
    with pytest.raises(InputError, match=r"t\.txt: expected text in UTF-8.*save it as UTF-8"):
        read_text(tmp_path / "t.txt")
