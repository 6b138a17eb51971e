"""A world is data: everything that is rendered, written or captioned is a function of a ``WorldSpec``."""

import dataclasses
import json
from dataclasses import dataclass
from math import isfinite
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from outofsight.errors import WorldError, in_words
from outofsight.types import Intrinsics

SPEC_VERSION = 1
MAX_SUBJECTS = 16


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise WorldError(message)


@dataclass(frozen=True, kw_only=True)
class PathSpec:
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
class SubjectSpec:
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
class CameraSpec:
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
class WorldSpec:
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
    return dataclasses.asdict(spec)


def spec_to_json(spec: WorldSpec) -> str:
    """Write a spec as JSON; ``spec_from_json`` gives the same spec back, to the last bit."""
    return json.dumps(spec_to_dict(spec), indent=2, ensure_ascii=False)


def spec_from_json(text: str, source: str = "spec") -> WorldSpec:
    """Read a spec. Raises ``WorldError`` naming ``source`` and the field that is missing, unknown or malformed."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise WorldError(f"{source}: expected a world spec as JSON, got something else ({error})") from error
    return spec_from_dict(value, source)


def spec_from_dict(value: Any, source: str = "spec") -> WorldSpec:
    """Read a spec from plain data. Raises ``WorldError`` naming ``source`` and the field that is wrong."""
    spec = _read_record(WorldSpec, value, source)
    assert isinstance(spec, WorldSpec)
    return spec


def _read_record(kind: type, value: Any, source: str) -> Any:
    if not isinstance(value, dict):
        raise WorldError(
            f"{source}: expected an object with {', '.join(one.name for one in dataclasses.fields(kind))}, got "
            f"{in_words(type(value))}"
        )
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(value) - set(fields))
    _require(not unknown, f"{source}: unknown field {', '.join(unknown)}; known are {', '.join(fields)}")
    needed = [name for name, field in fields.items() if field.default is dataclasses.MISSING]
    missing = sorted(set(needed) - set(value))
    _require(not missing, f"{source}: missing field {', '.join(missing)}")
    hints = get_type_hints(kind)
    return kind(**{name: _read_value(hints[name], item, f"{source}.{name}") for name, item in value.items()})


def _read_value(hint: Any, value: Any, source: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return None if value is None else _read_value(get_args(hint)[0], value, source)
    if origin is tuple:
        return _read_tuple(get_args(hint), value, source)
    if dataclasses.is_dataclass(hint):
        return _read_record(hint, value, source)  # type: ignore[arg-type]
    legal = (int, float) if hint is float else hint
    if not isinstance(value, legal) or (isinstance(value, bool) and hint is not bool):
        raise WorldError(f"{source}: expected {in_words(hint)}, got {value!r}")
    if hint is float and not isfinite(value):
        raise WorldError(f"{source}: expected a finite number, got {value!r}")
    return float(value) if hint is float else value


def _read_tuple(items: tuple[Any, ...], value: Any, source: str) -> tuple[Any, ...]:
    _require(isinstance(value, list | tuple), f"{source}: expected a list, got {value!r}")
    hints = [items[0]] * len(value) if items[-1] is Ellipsis else list(items)
    _require(len(value) == len(hints), f"{source}: expected {len(hints)} numbers, got {len(value)}")
    return tuple(
        _read_value(hint, item, f"{source}[{index}]")
        for index, (hint, item) in enumerate(zip(hints, value, strict=True))
    )
