"""What ``generate`` works on: one case given by options, or every case of a folder; read and checked."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from outofsight.cli import options as opt
from outofsight.cli.values import (
    names_file,
    parse_frames,
    parse_settings,
    parse_size,
    sampling_settings,
    text_or_file,
)
from outofsight.errors import CameraError, InputError, VideoError
from outofsight.files import read_text
from outofsight.model_folders import ModelSource
from outofsight.types import WAN_CLOCK

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from outofsight.cli.lenses import VideoLens
    from outofsight.geometry.camera_files import CameraFile
    from outofsight.geometry.conditioning import CameraConditioning
    from outofsight.sampling.continuation import SamplingSettings
    from outofsight.types import CameraPath

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi")
CAPTION_FILE = "caption.txt"
CLIP_VIDEO, CLIP_CAMERAS = "cond.mp4", "camera.json"
SAYS_SPLIT = {"cond_cam", "tgt_cam", "context_camera", "video_camera", "num_context_frames"}
"""Keys of camera files that say themselves where the target begins."""
MOST_STEP_M = 5.0
"""A camera that moves further from one frame to the next is faster than any that films."""
ESTIMATE = "estimate"
"""In place of a context's cameras: they are to be estimated from the video itself."""
ASKED = "are asked for (--frames of generate, --context-frames of roll)"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One continuation to make. ``camera`` and ``context_camera`` are files or path expressions. ``clip``: the folder
    of the clip that the video is of, if it is one."""

    name: str
    video: Path
    camera: str
    context_camera: str | None
    prompt: str
    out: Path
    clip: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Shape:
    """``frames``: context and target. ``size``: height and width; ``None`` keeps the video's own. ``fov_x_deg``: the
    video's horizontal field of view, where the user says it. ``fps``: of the model's videos; ``resample``: take the
    video's frames at that rate."""

    frames: tuple[int, int]
    size: tuple[int, int] | None
    repairs: tuple[str, ...] = ()
    fov_x_deg: float | None = None
    fps: float | None = None
    resample: bool = False


@dataclass(frozen=True, kw_only=True)
class Continued(ModelSource):
    """How cases are continued, as ``generate`` and ``exchange run`` ask for it."""

    path: opt.Model
    size: opt.Size = None
    frames: opt.Frames = None
    fov: opt.Fov = None
    steps: opt.Steps = None
    guidance: opt.Guidance = None
    seed: opt.Seed = 42
    settings: list[str] | None = None
    repair: list[str] | None = None
    resample: bool = False
    strategy: opt.StrategyName = None
    device: opt.Device = "auto"
    dtype: opt.Dtype = None

    @cached_property
    def shape(self) -> Shape:
        return Shape(
            frames=parse_frames(self.frames) if self.frames else self.use.frames,
            size=parse_size(self.size) if self.size else self.use.size,
            repairs=_repairs(self.repair or []), fov_x_deg=self.fov, fps=self.use.fps, resample=self.resample,
        )  # fmt: skip

    @cached_property
    def sampling(self) -> "SamplingSettings":
        options = {"num_inference_steps": self.steps, "guidance_scale": self.guidance, "seed": self.seed}
        return sampling_settings(self.use, options, parse_settings(self.settings or []))


def _repairs(names: list[str]) -> tuple[str, ...]:
    from outofsight.geometry.matrix_repairs import PUBLISHED_REPAIRS

    unknown = [name for name in names if name != "published" and name not in PUBLISHED_REPAIRS]
    if unknown:
        known = ", ".join(("published", *PUBLISHED_REPAIRS))
        raise InputError(f"--repair: expected one of {known}, got {unknown[0]!r}")
    return tuple(PUBLISHED_REPAIRS) if "published" in names else tuple(names)


@dataclass(frozen=True, kw_only=True)
class CaseInputs:
    """What a case reads. ``context`` is ``None`` where ``target`` is the conditioning of both halves.

    ``notes``: what a user should know was done (repairs, frames left out). ``lens``: of the video, as it is read."""

    video: "NDArray[np.uint8]"
    context: "CameraPath | None"
    target: "CameraPath | CameraConditioning"
    notes: tuple[str, ...]
    lens: "VideoLens | None" = None


def find_cases(
    video: Path, camera: str | None, context_camera: str | None, prompt: str | None, out: Path
) -> list[Case]:
    """Turn options into cases: of one video, of a clip's folder, or of a folder that holds N.mp4, camN.json and one
    line of caption.txt for each video, in order.

    Raises:
        InputError: something is missing, said twice, or captions do not match videos.
    """
    if not is_folder(video) or is_clip(video):
        return [case_of(video, camera, context_camera, prompt, out)]
    if out.suffix.lower() == ".mp4":
        raise InputError(f"--video is a folder of cases, so --out must be a folder too, got {out}")
    videos = _videos_in(video)
    captions = _captions(video, videos, prompt)
    return [
        Case(
            name=path.stem,
            video=path,
            camera=camera or str(_camera_beside(path)),
            context_camera=context_camera,
            prompt=caption,
            out=out / f"{path.stem}.mp4",
        )
        for path, caption in zip(videos, captions, strict=True)
    ]


def is_folder(path: Path) -> bool:
    """Tell whether there is such a folder. Raises ``InputError`` for what cannot be a path at all."""
    try:
        return path.is_dir()
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)[:80]}: is no name that a file can have; name a file") from error


def _videos_in(folder: Path) -> list[Path]:
    """Find the videos of a folder, in order; files of the system (``._1.mp4``) are none.

    Raises:
        InputError: there are none, or two would make one output.
    """
    from outofsight.data.dataset import natural_order

    found = [path for path in _listed(folder) if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()]
    if not found:
        raise InputError(f"{folder}: expected videos ({', '.join(VIDEO_SUFFIXES)}) in the folder, found none")
    names: dict[str, Path] = {}
    for path in found:
        other = names.setdefault(path.stem.casefold(), path)
        if other is not path:
            raise InputError(
                f"{folder}: {other.name} and {path.name} would both become {path.stem}.mp4; rename one"
            )
    return sorted(found, key=lambda path: natural_order(path.stem))


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder}: cannot be looked through: {error.strerror or error}") from error


def is_clip(folder: Path) -> bool:
    """Tell whether a folder is a clip of a data set: its context video and its cameras."""
    return (folder / CLIP_VIDEO).is_file() and (folder / CLIP_CAMERAS).is_file()


def case_of(
    video: Path, camera: str | None, context_camera: str | None, prompt: str | None, out: Path
) -> Case:
    """Read the options as one case; a clip's folder brings its own cameras and caption.

    Raises:
        InputError: something is missing, or said twice.
    """
    if out.suffix.lower() != ".mp4":
        raise InputError(f"--out: expected the name of an .mp4 file, got {out}")
    if not is_folder(video):
        if camera is None or prompt is None:
            missing = "--camera" if camera is None else "--prompt"
            raise InputError(f"{missing} is missing; only a folder (--video) brings its own")
        return Case(
            name=video.stem, video=video, camera=camera, context_camera=context_camera,
            prompt=text_or_file(prompt, "--prompt"), out=out,
        )  # fmt: skip
    for name in (CLIP_VIDEO, CLIP_CAMERAS):
        if not (video / name).is_file():
            raise InputError(
                f"--video: {video} is a folder but no clip: it lacks {name}; name a video or a clip's folder"
            )
    if context_camera is not None:
        raise InputError(f"--context-camera: {video} is a clip and brings its own; leave it out")
    if prompt is None and not (video / CAPTION_FILE).is_file():
        raise InputError(f"--prompt is missing; {video} has no {CAPTION_FILE}")
    own = str(video / CLIP_CAMERAS)
    return Case(
        name=video.name, video=video / CLIP_VIDEO, camera=camera or own, context_camera=own,
        prompt=text_or_file(prompt or str(video / CAPTION_FILE), "--prompt"), out=out, clip=video,
    )  # fmt: skip


def files_of(case: Case) -> list[str | Path | None]:
    """Name all that a case reads."""
    return [case.video, case.camera, case.context_camera, case.video.parent / CAPTION_FILE]


def read_case(case: Case, shape: Shape) -> CaseInputs:
    """Read a case's video and cameras and cut them to the frames asked for: the last of the context, the first of
    the target::

        camera file   |----- context poses -----|------ target poses -----|
        used                      |-- context --|-- target --|

    Raises:
        CameraError: too few poses, a malformed file, or lenses that contradict each other or the video's shape.
        VideoError: a missing or damaged video, or too few frames.
    """
    by_file = is_file(case.camera) or (case.context_camera is not None and is_file(case.context_camera))
    if shape.resample and by_file:
        raise CameraError(
            "--resample: a camera file has a pose for each frame of the video as it is; give the path in words, or "
            "convert the video"
        )
    inputs = _from_camera_file(case, shape) if is_file(case.camera) else _from_expression(case, shape)
    inputs = _seen_through_its_lens(inputs, case, shape)
    added = (*_rate_notes(case, shape), *_step_notes(case, inputs))
    return replace(inputs, notes=(*inputs.notes, *added))


def _seen_through_its_lens(inputs: CaseInputs, case: Case, shape: Shape) -> CaseInputs:
    """Give all cameras the lens that the clip, the camera file or the user gives; leave it unknown if none does."""
    from outofsight.cli.lenses import CAMERA_FILE, ESTIMATED_LENS, VideoLens, lens_of_clip, video_lens
    from outofsight.types import CameraPath

    own = None if case.clip is None else lens_of_clip(case.clip)
    lenses, context, target = [] if own is None else [own], inputs.context, inputs.target
    if context is not None and context.intrinsics is not None:
        name = case.camera if is_file(case.camera) else str(case.context_camera)
        source = ESTIMATED_LENS if name == ESTIMATE else CAMERA_FILE
        lenses.append(VideoLens(intrinsics=context.intrinsics, source=source, name=name))
    lens = video_lens(case.video, lenses, shape.fov_x_deg, shape.size)
    if lens is None:
        return inputs
    if context is not None:
        context = replace(context, intrinsics=lens.intrinsics)
    if isinstance(target, CameraPath):
        target = replace(target, intrinsics=lens.intrinsics)
    else:
        target = replace(target, intrinsics=lens.intrinsics.normalized)
    return replace(inputs, context=context, target=target, lens=lens)


def _rate_notes(case: Case, shape: Shape) -> Sequence[str]:
    """Say where a video moves at another rate than the model's videos do."""
    from outofsight.data.video import SAME_RATE, video_facts

    if shape.fps is None or shape.resample:
        return ()
    facts = video_facts(case.video)
    what = "frames of varying length" if facts.varies else f"{facts.fps:.4g} frames a second"
    if not facts.varies and abs(facts.fps / shape.fps - 1) <= SAME_RATE:
        return ()
    return (
        f"{case.video.name} shows {what}, the model's videos {shape.fps:g} a second, and each frame is taken for one: "
        "motion changes its speed; --resample takes frames at the model's rate",
    )


def _step_notes(case: Case, inputs: CaseInputs) -> Sequence[str]:
    """Say where a camera moves so far between two frames that its unit must be another."""
    import numpy as np

    from outofsight.types import CameraPath

    for path in (inputs.context, inputs.target):
        if isinstance(path, CameraPath) and len(path) > 1:
            moved = np.linalg.norm(np.diff(path.world_from_camera[:, :3, 3], axis=0), axis=1)
            if (step := float(np.median(moved))) > MOST_STEP_M:
                return (
                    f"{case.camera}: the camera moves {step:.3g} m from frame to frame; are these metres? Centimetres "
                    "taken for metres look so",
                )
    return ()


def _from_camera_file(case: Case, shape: Shape) -> CaseInputs:
    num_context, num_target = shape.frames
    cameras = _read_camera_file(Path(case.camera), num_context, shape.repairs)
    notes = tuple(str(repair) for repair in cameras.repairs)
    if cameras.context is None or cameras.target is None:
        conditioning = cameras.conditioning()
        given = tuple(WAN_CLOCK.num_frames(len(half)) for half in (conditioning.context, conditioning.target))
        if given != shape.frames:
            raise CameraError(
                f"{case.camera}: holds relative poses of {given[0]}+{given[1]} frames, which cannot be cut; "
                f"{num_context}+{num_target} frames are asked for (--frames)"
            )
        video = _read_video(case, num_context, num_context, shape)
        return CaseInputs(video=video, context=None, target=conditioning, notes=notes)
    for name, path, asked in (
        ("context", cameras.context, num_context),
        ("target", cameras.target, num_target),
    ):
        if len(path) < asked:
            raise CameraError(f"{case.camera}: has {len(path)} {name} poses, {asked} {ASKED}")
    video = _read_video(case, len(cameras.context), num_context, shape)
    left_out = len(cameras.context) - num_context
    if left_out:
        notes += (f"the first {left_out} context frames are left out",)
    return CaseInputs(
        video=video,
        context=cameras.context[left_out:],
        target=cameras.target[:num_target],
        notes=notes,
    )


def _from_expression(case: Case, shape: Shape) -> CaseInputs:
    from outofsight.cli.cameras import estimated_context
    from outofsight.geometry.path_expressions import make_path

    num_context, num_target = shape.frames
    if case.context_camera is None:
        raise CameraError(
            f"--camera {case.camera} says how the camera will move; say with --context-camera how it moved in the "
            "context (a camera file, a path such as pan:left:30, still, or estimate)"
        )
    context, frames_read = None, None
    notes: tuple[str, ...] = ()
    if is_file(case.context_camera):
        file = _read_camera_file(Path(case.context_camera), num_context, shape.repairs)
        if file.context is None or len(file.context) < num_context:
            given = "only relative poses" if file.context is None else f"{len(file.context)} context poses"
            raise CameraError(f"{case.context_camera}: has {given}, {num_context} {ASKED}")
        context, frames_read = file.context[len(file.context) - num_context :], len(file.context)
    elif case.context_camera != ESTIMATE:
        context = make_path(case.context_camera, num_context)
    video = _read_video(case, frames_read, num_context, shape)
    if len(video) < num_context:
        raise VideoError(f"{case.video}: has {len(video)} frames, {num_context} of context {ASKED}")
    if context is None:
        uncut = (
            video if shape.size is None else _read_video(case, None, num_context, replace(shape, size=None))
        )
        context, notes = estimated_context(uncut, case.video, shape.fov_x_deg)
    # The target begins one step after the context's last pose, as it does in HM-World.
    target = make_path(case.camera, num_target + 1, start=context.world_from_camera[-1])[1:]
    return CaseInputs(video=video, context=context, target=target, notes=notes)


def _read_video(case: Case, num_frames: int | None, keep_last: int, shape: Shape) -> "NDArray[np.uint8]":
    """Read the last frames of the context alone: the others are not used."""
    from outofsight.data.video import read_video

    fps = shape.fps if shape.resample else None
    return read_video(case.video, num_frames=num_frames, size=shape.size, keep_last=keep_last, fps=fps).frames


def _read_camera_file(path: Path, num_context: int, repairs: tuple[str, ...]) -> "CameraFile":
    from outofsight.geometry.camera_files import read_cameras

    # Forms with two halves say themselves where the target begins, and so do the published repairs of the third.
    split = None if _has_halves(path) or "pad_halves" in repairs else num_context
    return read_cameras(path, num_context_frames=split, repairs=repairs)


def _has_halves(path: Path) -> bool:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return True  # the reader will say what is wrong
    return isinstance(content, dict) and not SAYS_SPLIT.isdisjoint(content)


def is_file(camera: str) -> bool:
    """Tell whether a camera is given as a file, and not in words."""
    return camera.lower().endswith(".json") or names_file(camera)


def _camera_beside(video: Path) -> Path:
    for name in (f"cam{video.stem}.json", f"{video.stem}.json"):
        if (path := _in_any_case(video.parent / name)).is_file():
            return path
    raise CameraError(
        f"{video}: expected its cameras in cam{video.stem}.json beside it; or give --camera for all"
    )


def _in_any_case(path: Path) -> Path:
    """Find a file under its name, or under the same name in capitals, as cameras and their cards write it."""
    if path.is_file():
        return path
    alike = (each for each in _listed(path.parent) if each.name.casefold() == path.name.casefold())
    return next(alike, path)


def _captions(folder: Path, videos: list[Path], prompt: str | None) -> list[str]:
    if prompt is not None:
        return [text_or_file(prompt, "--prompt")] * len(videos)
    path = _in_any_case(folder / CAPTION_FILE)
    if not path.is_file():
        raise InputError(
            f"{folder}: expected {CAPTION_FILE} with a line for each video; or give --prompt for all"
        )
    lines = [line.strip() for line in read_text(path).split("\n") if line.strip()]
    if len(lines) != len(videos):
        raise InputError(
            f"{path}: has {len(lines)} captions for {len(videos)} videos; write one line for each"
        )
    return lines
