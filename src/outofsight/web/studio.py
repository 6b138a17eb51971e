"""A process apart that renders and decodes: the engine's kernels take seconds to compile, strangers' videos may be
anything, and a walk must not stand still for either.

One process serves all sessions, one job at a time. A job is the name of a function of this module and its arguments.
"""

import multiprocessing
import resource
import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import InputError, OutOfSightError, VideoError, first_line
from outofsight.web.protocol import Begin

JOB_S, DECODE_S = 600.0, 30.0
DECODE_BYTES = 4 << 30
MOST_PIXELS = 1920 * 1088
"""Of one frame of an uploaded video, of which as many frames are read as a context has."""
CALLED = {"clip": "rendering the world", "view": "rendering what is really there"}
"""What jobs are called on the page."""


class Studio:
    """The process, started when it is first needed, and again when it has died. Methods may be called by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: Any = None
        self._pipe: Connection | None = None
        self.closed = False

    def ask(self, job: str, *arguments: Any, seconds: float = JOB_S) -> Any:
        """Run a job and wait for what it gives.

        Raises:
            InputError: the job failed, took too long, or the process died of it.
        """
        with self._lock:
            pipe = self._started()
            try:
                pipe.send((job, arguments))
                if not pipe.poll(seconds):
                    self._end()
                    raise InputError(f"{CALLED[job]} took longer than {seconds:g} s and was stopped")
                good, value = pipe.recv()
            except (EOFError, OSError) as error:
                self._end()
                raise InputError(f"{CALLED[job]}: its process ended before it was done") from error
        if not good:
            raise InputError(value)
        return value

    def close(self) -> None:
        """End the process, whatever it does."""
        self.closed = True
        self._end()

    def _started(self) -> Connection:
        if self.closed:
            raise InputError("the explorer is closing")
        if self._process is None or not self._process.is_alive() or self._pipe is None:
            self._end()
            self._process, self._pipe = _begun(_work)
        return self._pipe

    def _end(self) -> None:
        process, pipe, self._process, self._pipe = self._process, self._pipe, None, None
        if process is not None and pipe is not None:
            _ended(process, pipe)


def _begun(serve: Callable[..., None], *arguments: Any) -> tuple[Any, Connection]:
    """Start a process that is called with its end of a pipe, and the arguments; return it and our end."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, *arguments), daemon=True, name="outofsight-studio")
    process.start()
    theirs.close()
    return process, ours


def _ended(process: Any, pipe: Connection) -> None:
    process.kill()
    process.join(5)
    process.close()
    pipe.close()


def decode_apart(path: Path, size: tuple[int, int] | None, num_frames: int) -> NDArray[np.uint8]:
    """Decode the first frames of a stranger's video in a process of its own, bounded in time and memory.

    Raises:
        VideoError: no video, too few frames, too many pixels, or it took too long.
    """
    process, ours = _begun(_decode, str(path), size, num_frames)
    try:
        if not ours.poll(DECODE_S):
            raise VideoError(f"the video took longer than {DECODE_S:g} s to decode and was given up")
        good, value = ours.recv()
    except (EOFError, OSError) as error:
        raise VideoError("the video could not be decoded: the process that tried has ended") from error
    finally:
        _ended(process, ours)
    if not good:
        raise VideoError(value)
    return np.asarray(value)


def _decode(pipe: Connection, path: str, size: tuple[int, int] | None, num_frames: int) -> None:
    from outofsight.data.video import read_video  # noqa: PLC0415 - in this process alone

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (DECODE_BYTES, DECODE_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (int(DECODE_S), int(DECODE_S)))
    try:
        _check_pixels(path)
        video, _ = read_video(path, num_frames=num_frames, size=size)
        pipe.send((True, video))
    except OutOfSightError as error:
        pipe.send((False, str(error).replace(path, "the video")))
    except MemoryError:
        pipe.send(
            (False, "the video could not be decoded: it needs too much memory; give a shorter or smaller one")
        )
    except ValueError as error:
        pipe.send((False, f"the video could not be decoded ({first_line(error)})"))


def _check_pixels(path: str) -> None:
    import av  # noqa: PLC0415 - in this process alone

    try:
        with av.open(path) as container:
            for stream in container.streams.video:
                if stream.width * stream.height > MOST_PIXELS:
                    raise VideoError(
                        f"the video is {stream.width}×{stream.height}; give one of at most 1920×1088"
                    )
    except av.FFmpegError as error:
        raise VideoError(f"the file is no video that can be read ({error.strerror})") from error


def _work(pipe: Connection) -> None:
    """Serve jobs until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's, which then ends this process
    jobs: dict[str, Callable[..., Any]] = {"clip": _clip, "view": _view}
    while True:
        try:
            job, arguments = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = True, jobs[job](*arguments)
        except OutOfSightError as error:
            answer = False, str(error)
        except Exception as error:  # whatever the renderer does, a walk goes on
            answer = False, f"{CALLED[job]} failed ({first_line(error)})"
        pipe.send(answer)


def _clip(plan: Any, request: Mapping[str, Any]) -> Any:
    """Plan, render and confirm a clip. ``request``: the fields of ``Begin``."""
    from outofsight.demo.unseen_clip import UnseenRequest, unseen_clip  # noqa: PLC0415 - in this process alone

    begin = Begin(kind="begin", **request)
    chosen = planned(plan, begin)
    casting = "known" if chosen == plan else "anyone"
    clip = unseen_clip(UnseenRequest(seed=begin.seed, casting=casting), chosen)
    return replace(clip, masks=None, depth_m=None, video=clip.video[: clip.num_context_frames + 1], subjects=(),
                   cameras=clip.cameras[: clip.num_context_frames + 1])  # fmt: skip


def planned(plan: Any, begin: Begin) -> Any:
    """Narrow a plan to what was asked for. Raises ``WorldError`` for names that are not known."""
    changes: dict[str, Any] = {}
    if begin.scene is not None:
        changes |= {"scenes": (begin.scene,), "lights": ()}
    if begin.light is not None:
        changes["lights"] = (begin.light,)
    if begin.subjects:
        changes["kinds"] = begin.subjects
    if begin.num_subjects != 1:
        changes |= {"min_subjects": begin.num_subjects, "max_subjects": begin.num_subjects}
    if begin.sheds:
        changes["shed_share"] = 1.0
    return replace(plan, **changes)


@lru_cache(maxsize=4)
def _engine(spec_json: str) -> Any:
    from outofsight.web.engine_view import EngineView  # noqa: PLC0415 - in this process alone
    from outofsight.worlds.spec import spec_from_json  # noqa: PLC0415

    return EngineView(spec_from_json(spec_json))


def _view(spec_json: str, frames: NDArray[np.int64], cameras: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.asarray(_engine(spec_json).render(frames, cameras))
