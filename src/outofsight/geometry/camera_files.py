"""Read and write HM-World's camera files in their three published forms, and our neutral pose files.

=========  ==============================================  ===============================================
form       keys                                            poses
=========  ==============================================  ===============================================
unreal     ``cond_cam``, ``tgt_cam``: frame → 4×4 rows     Unreal axes, camera to world, centimetres
strings    frame → ``"[..] [..] [..] [..]"``               the same; each bracket is a *column*
relative   ``context_camera``, ``video_camera``: [f][12]   ready for the model: one for each latent frame
neutral    ``convention``, poses (see ``pose_files``)      OpenCV, OpenGL, COLMAP or Unreal
=========  ==============================================  ===============================================
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import CameraError, InputError
from outofsight.files import write_json
from outofsight.geometry.conditioning import CameraConditioning, camera_conditioning
from outofsight.geometry.conventions import check_homogeneous, from_unreal, to_unreal
from outofsight.geometry.json_files import frame_numbers, number_array, read_camera_json
from outofsight.geometry.matrix_repairs import (
    PUBLISHED_REPAIRS,  # noqa: F401 - users take it from here
    AppliedRepair,
    Malformed,
    check_repairs,
    pad_halves,
    repair_matrices,
)
from outofsight.geometry.pose_files import poses_from_json
from outofsight.types import ROTATION_TOLERANCE, CameraPath, check_rotations

CameraForm = Literal["unreal", "strings", "relative", "neutral"]

_HALVES = {"unreal": ("cond_cam", "tgt_cam"), "relative": ("context_camera", "video_camera")}
_BRACKET = re.compile(r"\[([^\[\]]*)\]")


@dataclass(frozen=True, kw_only=True)
class CameraFile:
    """What a camera file says.

    ``context`` and ``target`` are ``None`` in the relative form, which holds only what the model reads
    (``relative``); ``relative`` is ``None`` in the others. ``repairs``: what was repaired, and where.
    """

    path: Path
    form: CameraForm
    context: CameraPath | None = None
    target: CameraPath | None = None
    relative: CameraConditioning | None = None
    repairs: tuple[AppliedRepair, ...] = ()

    def conditioning(self, temporal_stride: int = 4) -> CameraConditioning:
        """Give what the model reads: twelve numbers for each latent frame.

        Raises:
            CameraError: naming the file, where a half is not temporal_stride · k + 1 frames long.
        """
        if self.relative is not None:
            return self.relative
        try:
            return camera_conditioning(*self.paths(), temporal_stride)
        except InputError as error:
            raise CameraError(f"{self.path}: {error}") from error

    def paths(self) -> tuple[CameraPath, CameraPath]:
        """Give the poses of context and target. Raises ``CameraError`` in the relative form."""
        if self.context is None or self.target is None:
            raise CameraError(
                f"{self.path}: holds only relative poses; absolute ones (cond_cam, tgt_cam) are needed here"
            )
        return self.context, self.target


def read_cameras(
    path: str | Path, *, num_context_frames: int | None = None, repairs: Collection[str] = ()
) -> CameraFile:
    """Read a camera file of any form.

    ``num_context_frames``: where the target begins, for forms that do not say (strings, neutral); where the
    file says it, it is checked; the relative form counts latent frames and has no use for it.
    ``repairs``: which of ``PUBLISHED_REPAIRS`` are permitted; they concern the string form only.

    Raises:
        CameraError: anything is missing or malformed, naming the file, and the frame where one is to blame.
        InputError: an unknown repair.
    """
    path = Path(path)
    check_repairs(repairs)
    content = read_camera_json(path)
    form = _form_of(content, path)
    if form == "relative":
        return _read_relative(content, path)
    if form == "unreal":
        file = _read_unreal(content, path)
    elif form == "neutral":
        poses, in_file = poses_from_json(content, path)
        file = _split(poses, path, "neutral", num_context_frames if in_file is None else in_file)
    else:
        file = _read_strings(content, path, num_context_frames, repairs)
    in_file = len(file.paths()[0])
    if num_context_frames not in (None, in_file):
        raise CameraError(f"{path}: expected {num_context_frames} context frames, the file has {in_file}")
    return file


def camera_form(path: str | Path) -> CameraForm:
    """Tell which form a camera file has, by its keys alone. Raises ``CameraError`` if it is of no known form."""
    return _form_of(read_camera_json(Path(path)), Path(path))


def write_cameras(
    path: str | Path,
    context: CameraPath,
    target: CameraPath,
    *,
    form: Literal["unreal", "strings"] = "unreal",
) -> None:
    """Write a camera file that ``read_cameras`` reads back to float precision; whole or not at all.

    The string form does not say where the target begins: read it with ``num_context_frames``. Neither form holds
    the lens; ``write_poses`` does.

    Raises:
        OutputError: the file cannot be written.
        InputError: an unknown form.
    """
    halves = [to_unreal(half.world_from_camera) for half in (context, target)]
    if form == "unreal":
        names = _HALVES["unreal"]
        content: Any = {name: _by_frame(half.tolist()) for name, half in zip(names, halves, strict=True)}
    elif form == "strings":
        content = _by_frame([_format_columns(matrix) for half in halves for matrix in half])
    else:
        raise InputError(
            f"expected the form unreal or strings, got {form!r}; write_conditioning writes the relative one"
        )
    write_json(Path(path), content, indent=1)


def write_conditioning(path: str | Path, conditioning: CameraConditioning) -> None:
    """Write what the model reads, in the relative form. Raises ``OutputError``."""
    rows = (conditioning.context.tolist(), conditioning.target.tolist())
    write_json(Path(path), dict(zip(_HALVES["relative"], rows, strict=True)), indent=1)


def _form_of(content: Any, path: Path) -> CameraForm:
    if isinstance(content, dict):
        for form, names in _HALVES.items():
            present = [name for name in names if name in content]
            if len(present) == 1:
                missing = names[1 - names.index(present[0])]
                raise CameraError(f"{path}: has {present[0]!r} but no {missing!r}; both halves are needed")
            if present:
                return form  # type: ignore[return-value]
        if "convention" in content:
            return "neutral"
        is_text = [isinstance(value, str) for value in content.values()]
        if any(is_text) and (all(is_text) or all(key.isdigit() for key in content)):
            return "strings"
    if cameras := cameras_of_many(content):
        raise CameraError(
            f"{path}: holds the poses of {len(cameras)} cameras ({', '.join(cameras[:3])}"
            f"{', ...' * (len(cameras) > 3)}), frame by frame; take one of them: "
            f"outofsight cameras import {path} --camera {cameras[0]} --out poses.json"
        )
    raise CameraError(
        f"{path}: expected cond_cam and tgt_cam, context_camera and video_camera, frames with string "
        f"matrices, or a convention with poses; got {_summary(content)}"
    )


def cameras_of_many(content: Any) -> list[str]:
    """Name the cameras of a file that holds several for each frame, as ReCamMaster's do; none for any other file."""
    frames = list(content.values()) if isinstance(content, dict) else []
    if not frames or not all(isinstance(frame, dict) and frame for frame in frames):
        return []
    several = all(isinstance(text, str) and _BRACKET.search(text) for text in frames[0].values())
    return sorted(frames[0]) if several else []


def read_one_of_many(path: Path, name: str | None) -> CameraPath:
    """Read one camera's path of a file that holds several. ``name``: may be left out where there is one alone.

    Raises:
        CameraError: it has no such camera in some frame, or a malformed pose.
    """
    content = read_camera_json(path)
    names = cameras_of_many(content)
    chosen = names[0] if name is None and len(names) == 1 else name
    if chosen not in names:
        raise CameraError(f"{path}: has the cameras {', '.join(names)}; name one by --camera")
    strings = {frame.removeprefix("frame"): poses.get(chosen) for frame, poses in content.items()}
    entries = {frame: _parse_columns(text) for frame, text in frame_numbers(strings, str(path))}
    return _camera_path(repair_matrices(entries, str(path), None)[0], str(path))


def _summary(content: Any) -> str:
    if isinstance(content, dict):
        keys = ", ".join(repr(key) for key in list(content)[:4]) or "none"
        return f"an object with the keys {keys}{', ...' if len(content) > 4 else ''}"
    return "a list" if isinstance(content, list) else repr(content)[:40]


def _read_unreal(content: Mapping[str, Any], path: Path) -> CameraFile:
    halves = []
    for name in _HALVES["unreal"]:
        source = f"{path}: {name}"
        if not isinstance(content[name], dict):
            found = _summary(content[name])
            raise CameraError(f"{source}: expected an object of frame → 4×4 matrix, got {found}")
        entries = {
            frame: number_array(matrix, (4, 4), f"{source}, frame {frame}")
            for frame, matrix in frame_numbers(content[name], source)
        }
        if not entries:
            raise CameraError(f"{source}: no frames; give at least one pose")
        halves.append(_camera_path(repair_matrices(entries, source, None)[0], source))
    return CameraFile(path=path, form="unreal", context=halves[0], target=halves[1])


def _read_strings(
    content: Mapping[str, Any], path: Path, num_context_frames: int | None, repairs: Collection[str]
) -> CameraFile:
    entries = {frame: _parse_columns(text) for frame, text in frame_numbers(content, str(path))}
    matrices, applied = repair_matrices(entries, str(path), repairs)
    whole = _camera_path(matrices, str(path))
    if "pad_halves" not in repairs:
        return _split(whole, path, "strings", num_context_frames, applied)
    *halves, padding = pad_halves(len(whole), str(path))
    context, target = (CameraPath(world_from_camera=whole.world_from_camera[frames]) for frames in halves)
    return CameraFile(path=path, form="strings", context=context, target=target, repairs=(*applied, padding))


def _read_relative(content: Mapping[str, Any], path: Path) -> CameraFile:
    halves = []
    for name in _HALVES["relative"]:
        source = f"{path}: {name}"
        if not isinstance(content[name], list) or not content[name]:
            raise CameraError(f"{source}: expected a list of 12 numbers for each latent frame")
        numbered = enumerate(content[name])
        rows = [number_array(row, (12,), f"{source}, latent frame {frame}") for frame, row in numbered]
        poses = np.stack(rows).reshape(-1, 3, 4)
        check_rotations(poses[:, :, :3], poses[:, :, 3], source)
        halves.append(poses)
    if np.abs(halves[1][0] - np.eye(3, 4)).max() > ROTATION_TOLERANCE:
        raise CameraError(
            f"{path}: video_camera, latent frame 0: expected the identity, since these poses are relative to "
            "the first target frame; give absolute poses in another form, and they are made relative"
        )
    context, target = (poses.reshape(-1, 12).astype(np.float32) for poses in halves)
    return CameraFile(path=path, form="relative", relative=CameraConditioning(context=context, target=target))


def _split(
    cameras: CameraPath,
    path: Path,
    form: CameraForm,
    num_context_frames: int | None,
    repairs: tuple[AppliedRepair, ...] = (),
) -> CameraFile:
    """Divide one path into context and target."""
    num = num_context_frames
    if num is None:
        repair = "permit the repair pad_halves or " if form == "strings" else ""
        raise CameraError(
            f"{path}: holds {len(cameras)} poses and does not say where the target begins; {repair}give "
            "num_context_frames"
        )
    if not 0 < num < len(cameras):
        raise CameraError(
            f"{path}: expected more than {num} poses (the context frames, then the target's), got {len(cameras)}"
        )
    return CameraFile(path=path, form=form, context=cameras[:num], target=cameras[num:], repairs=repairs)


def _camera_path(matrices_cm: NDArray[np.float64], source: str) -> CameraPath:
    poses = from_unreal(check_homogeneous(matrices_cm, source))
    check_rotations(poses[:, :, :3], poses[:, :, 3], source)
    return CameraPath(world_from_camera=poses)


def _parse_columns(text: Any) -> NDArray[np.float64] | Malformed:
    """Read ``"[x x x 0] [y y y 0] [z z z 0] [t t t 1]"``: each bracket is a column."""
    if not isinstance(text, str):
        return Malformed(reason=f"expected a string of four brackets, got {_summary(text)}")
    columns = [column.split() for column in _BRACKET.findall(text)]
    if _BRACKET.sub("", text).strip() or [len(column) for column in columns] != [4] * 4:
        return Malformed(reason=f"expected four brackets of four numbers, got {text[:60]!r}")
    try:
        return np.array([[float(number) for number in column] for column in columns]).T
    except ValueError as error:
        return Malformed(reason=f"expected four brackets of four numbers: {error}")


def _format_columns(matrix: NDArray[np.float64]) -> str:
    return " ".join(f"[{' '.join(repr(float(number)) for number in column)}]" for column in matrix.T)


def _by_frame(values: list[Any]) -> dict[str, Any]:
    return {str(frame): value for frame, value in enumerate(values)}
