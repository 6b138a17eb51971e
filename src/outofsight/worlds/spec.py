"""A world is data: everything that is rendered, written or captioned is a function of a ``WorldSpec``."""

import json
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from outofsight.errors import WorldError, fault
from outofsight.types import Intrinsics

SPEC_VERSION = 1
MAX_SUBJECTS = 16


class _Strict:
    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise WorldError(message)


@dataclass(frozen=True, kw_only=True)
class PathSpec(_Strict):
    """Where one subject walks: a curve of the catalogue, laid on the ground.

    ``start_m``: x, y of the first step; ``heading_rad``: its direction; ``size_m``: the curve's extent;
    ``speed_m_s``: the pace; ``mirrored``: turn right where the curve would turn left; ``seed``: of ``wander``.
    """

    name: str
    start_m: tuple[float, float]
    heading_rad: float
    size_m: float
    speed_m_s: float
    mirrored: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        _require(self.size_m > 0, f"path {self.name!r}: size_m must be above 0, got {self.size_m}")
        _require(self.speed_m_s >= 0, f"path {self.name!r}: speed_m_s must be ≥ 0, got {self.speed_m_s}")


@dataclass(frozen=True, kw_only=True)
class SubjectSpec(_Strict):
    """One subject: its kind, its look, its path.

    ``sheds``: a removable part (a coat) that comes off at frame ``sheds_at_frame``, while nobody sees it.
    """

    kind: str
    look_seed: int
    path: PathSpec
    sheds: str | None = None
    sheds_at_frame: int | None = None

    def __post_init__(self) -> None:
        _require(
            (self.sheds is None) == (self.sheds_at_frame is None),
            f"subject {self.kind!r}: sheds and sheds_at_frame go together, got {self.sheds}, {self.sheds_at_frame}",
        )


@dataclass(frozen=True, kw_only=True)
class CameraSpec(_Strict):
    """A trajectory of the catalogue, started somewhere, on a timeline of its own.

    ``position_m``, ``yaw_rad`` (0 looks along +x, left positive), ``pitch_rad`` (up positive): the first pose.
    ``keys``: (fraction of the clip, amount of the movement) pairs, first at 0 and last at 1, eased between.
    ``amplitude``: scale of the trajectory's own movement; ``length_scale``: metres for each of its metres;
    ``pivot_m``: distance of the point that an orbit goes round; ``follows``: index of the subject it follows.
    """

    trajectory: str
    start: str
    position_m: tuple[float, float, float]
    yaw_rad: float
    pitch_rad: float
    fov_x_rad: float
    keys: tuple[tuple[float, float], ...]
    amplitude: float = 1.0
    length_scale: float = 1.0
    pivot_m: float = 5.0
    follows: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        times = [time for time, _ in self.keys]
        _require(
            len(times) >= 2 and times[0] == 0 and times[-1] == 1 and times == sorted(set(times)),
            f"camera {self.trajectory!r}: keys must rise from 0 to 1 without repeats, got times {times}",
        )
        _require(0 < self.fov_x_rad < 3, f"camera: fov_x_rad must lie in (0, 3), got {self.fov_x_rad}")


@dataclass(frozen=True, kw_only=True)
class WorldSpec(_Strict):
    """The whole truth of one clip. Frames: the context first, then the target; ``fps`` in frames a second."""

    seed: int
    scene: str
    layout_seed: int
    light: str
    subjects: tuple[SubjectSpec, ...]
    camera: CameraSpec
    num_context_frames: int = 77
    num_target_frames: int = 77
    fps: float = 15.0
    height_px: int = 96
    width_px: int = 160
    version: int = SPEC_VERSION

    def __post_init__(self) -> None:
        frames = (self.num_context_frames, self.num_target_frames)
        _require(
            min(frames) >= 1,
            f"a world needs ≥ 1 context and ≥ 1 target frame, got {frames[0]} and {frames[1]}",
        )
        _require(isfinite(self.fps) and self.fps > 0, f"fps must be above 0, got {self.fps}")
        size = (self.height_px, self.width_px)
        _require(
            min(size) >= 16 and not any(side % 2 for side in size),
            f"picture size: expected even height and width ≥ 16 px, got {size[0]}x{size[1]}",
        )
        _require(
            1 <= len(self.subjects) <= MAX_SUBJECTS,
            f"a world holds 1 to {MAX_SUBJECTS} subjects, got {len(self.subjects)}",
        )
        _require(
            self.version == SPEC_VERSION, f"spec version {self.version}: this package reads {SPEC_VERSION}"
        )

    @property
    def num_frames(self) -> int:
        return self.num_context_frames + self.num_target_frames

    @property
    def duration_s(self) -> float:
        return self.num_frames / self.fps

    @property
    def intrinsics(self) -> Intrinsics:
        return Intrinsics.from_fov(
            width_px=self.width_px, height_px=self.height_px, fov_x_rad=self.camera.fov_x_rad
        )


def spec_to_dict(spec: WorldSpec) -> dict[str, Any]:
    """Turn a spec into plain lists, numbers and strings."""
    return asdict(spec)


def spec_to_json(spec: WorldSpec) -> str:
    """Write a spec as JSON; ``spec_from_json`` gives the same spec back, to the last bit."""
    return json.dumps(spec_to_dict(spec), indent=2, ensure_ascii=False)


def spec_from_json(text: str, source: str = "spec") -> WorldSpec:
    """Read a spec. Raises ``WorldError`` naming ``source`` and the field that is missing, unknown or malformed."""
    try:
        return TypeAdapter(WorldSpec).validate_json(text)
    except ValidationError as error:
        wrong = [fault(found, ".".join(map(str, found["loc"]))) for found in error.errors()]
        raise WorldError(f"{source}: expected a world spec as JSON; {'; '.join(wrong)}") from error
    except WorldError as error:
        raise WorldError(f"{source}: {error}") from error


def spec_from_dict(value: Any, source: str = "spec") -> WorldSpec:
    """Read a spec from plain data. Raises ``WorldError`` naming ``source`` and the field that is wrong."""
    return spec_from_json(json.dumps(value), source)
