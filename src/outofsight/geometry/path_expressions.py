"""Camera paths in words: ``pan:left:60,pan:right:60`` instead of matrices.

::

    PATH     = STEP , STEP , ...
    STEP     = NAME:DIRECTION:AMOUNT[:DURATION]   pan, tilt, roll, orbit, dolly, truck, crane
             | still[:DURATION]
             | back[:DURATION]                    retraces everything since the start, or since the last back
             | there-and-back(PATH)[:DURATION]
             | NAME:DIRECTION:AMOUNT + ... [:DURATION]    at the same time: pan:left:60+truck:right:1:30
    DURATION = frames, or seconds: 30 or 2s

    pan:left:60,still:10,back     with 71 frames: the start, 25 frames left, 10 still, 35 back

The first frame is the start; the steps share the others. A step's last frame has its amount exactly.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Literal, get_args

import numpy as np

from outofsight.errors import CameraError
from outofsight.geometry.path_makers import DEFAULT_ORBIT_RADIUS_M, PathMaker, describe_paths
from outofsight.geometry.poses import Poses, level_pose
from outofsight.types import CameraPath, Intrinsics

Ease = Literal["linear", "smooth"]
"""How a movement's amount grows over its duration: evenly, or softly at both ends (peak speed 1.5 times the mean)."""

START_HEIGHT_M = 1.6
THERE_AND_BACK = "there-and-back"
_NUMBER = re.compile(r"\d+(\.\d*)?|\.\d+")


@dataclass(frozen=True, kw_only=True)
class Step:
    """A parsed step.

    ``amount``: signed, degrees or metres. ``num_frames``: ``None`` shares what is left. ``inner``: the steps of a
    there-and-back, with its ``back`` at their end. ``together``: movements made at the same time as this one.
    """

    text: str
    maker: PathMaker
    amount: float = 0.0
    radius_m: float = DEFAULT_ORBIT_RADIUS_M
    num_frames: int | None = None
    inner: tuple["Step", ...] = ()
    together: tuple["Step", ...] = ()


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A part of a path: ``pose_at`` maps 0 to ``num_frames``, and all between, to a pose [3, 4]."""

    num_frames: int
    pose_at: Callable[[float], Poses]


def make_path(
    expression: str,
    num_frames: int,
    *,
    start: Poses | None = None,
    fps: float = 15.0,
    ease: Ease = "linear",
    intrinsics: Intrinsics | None = None,
) -> CameraPath:
    """Make a camera path of exactly ``num_frames`` frames, the first of which is ``start``.

    ``start`` [3, 4]: ``world_from_camera``; ``None``: 1.6 m above the origin, looking along +x. ``fps`` turns
    durations in seconds into frames. To go on from a camera without repeating its frame, ask for one frame more and
    drop the first: ``make_path(..., n + 1, start=last)[1:]``.

    Raises:
        CameraError: an expression that cannot be understood, or durations that do not fit ``num_frames``.
    """
    if not isinstance(expression, str) or not isinstance(num_frames, Integral):
        raise CameraError(
            f"expected a path in words, such as pan:left:60, and a whole number of frames, got {expression!r:.80} "
            f"and {num_frames!r:.80}"
        )
    if ease not in get_args(Ease):
        raise CameraError(f"expected ease to be one of {', '.join(get_args(Ease))}, got {ease!r}")
    steps = parse_path(expression, fps)
    first = level_pose([0.0, 0.0, START_HEIGHT_M]) if start is None else np.asarray(start, dtype=np.float64)
    first = CameraPath(world_from_camera=first[None]).world_from_camera[0]
    poses = [first]
    for stretch in _lay(steps, num_frames - 1, first, ease, expression):
        poses += [stretch.pose_at(frame) for frame in range(1, stretch.num_frames + 1)]
    return CameraPath(world_from_camera=np.stack(poses), intrinsics=intrinsics)


def parse_path(expression: str, fps: float = 15.0) -> tuple[Step, ...]:
    """Parse a path expression.

    Raises:
        CameraError: naming the step that cannot be understood.
    """
    steps: list[Step] = []
    for text in _split_steps(expression):
        step = _parse_step(text, fps)
        if step.maker.name == "back" and not _retraced(steps):
            raise CameraError(f"camera path {expression!r}: 'back' has nothing to retrace")
        steps.append(step)
    return tuple(steps)


def _split_steps(expression: str) -> list[str]:
    """Split at the commas outside parentheses."""
    parts, depth = [""], 0
    for character in expression:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            break
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if depth:
        raise CameraError(f"camera path {expression!r}: the parentheses do not match")
    parts = [part.strip() for part in parts]
    if not all(parts):
        raise CameraError(f"camera path {expression!r}: expected steps such as pan:left:60, got an empty one")
    return parts


def _parse_step(text: str, fps: float) -> Step:
    if "(" in text:
        return _parse_group(text, fps)
    if "+" in text:
        return _parse_together(text, fps)
    name, *fields = (field.strip() for field in text.split(":"))
    if name == "zoom":
        advice = "dolly:in or dolly:out moves the camera"
        raise _malformed(text, f"a zoom changes the lens, and a video is seen through one; {advice}")
    maker = next((maker for maker in describe_paths() if maker.name == name), None)
    if maker is None or name == THERE_AND_BACK:
        raise _malformed(text, f"unknown; known are {', '.join(maker.form for maker in describe_paths())}")
    num_own = 2 if maker.directions else 0
    if not num_own <= len(fields) <= num_own + 1:
        raise _malformed(text, f"expected {maker.form}[:DURATION], for example {maker.example}")
    duration = _parse_duration(fields[num_own], text, fps) if len(fields) > num_own else None
    step = Step(text=text, maker=maker, num_frames=duration)
    return _with_amount(step, fields[0], fields[1]) if maker.directions else step


def _with_amount(step: Step, direction: str, amount: str) -> Step:
    maker, text = step.maker, step.text
    if direction not in maker.directions:
        raise _malformed(text, f"expected {' or '.join(maker.directions)}, got {direction!r}")
    value, at, radius = amount.partition("@")
    if at and not maker.has_radius:
        raise _malformed(text, "only orbit takes a radius (@METRES)")
    return replace(
        step,
        amount=maker.directions[direction] * _parse_number(value, "an amount (directions have names)", text),
        radius_m=_parse_number(radius, "a radius", text) if at else DEFAULT_ORBIT_RADIUS_M,
    )


def _parse_together(text: str, fps: float) -> Step:
    """Read movements that are made at the same time; a duration, where given, is given once or alike."""
    parts = [part.strip() for part in text.split("+")]
    if not all(parts):
        raise _malformed(text, "expected movements on both sides of +")
    steps = [_parse_step(part, fps) for part in parts]
    # The vertical first, so that pan and tilt together leave the horizon level, in whatever order they are written.
    first, *others = sorted(steps, key=lambda step: {"tilt": 1, "roll": 2}.get(step.maker.name, 0))
    for step in steps:
        if not step.maker.directions:
            raise _malformed(text, f"{step.text} is no movement that another can go with")
    durations = {step.num_frames for step in steps if step.num_frames is not None}
    if len(durations) > 1:
        raise _malformed(text, f"its movements take {sorted(map(str, durations))} frames; give one duration")
    duration = durations.pop() if durations else None
    return replace(first, text=text, num_frames=duration, together=tuple(others))


def _parse_group(text: str, fps: float) -> Step:
    match = re.fullmatch(r"([^(]*)\((.*)\)\s*(?::([^()]*))?", text, re.DOTALL)
    if match is None or match[1].strip() != THERE_AND_BACK:
        raise _malformed(text, f"expected {THERE_AND_BACK}(PATH)[:DURATION]")
    makers = {maker.name: maker for maker in describe_paths()}
    inner = parse_path(match[2], fps)
    if not _retraced(inner):
        raise _malformed(text, "its path ends with a back and leaves nothing to retrace")
    duration = None if match[3] is None else _parse_duration(match[3].strip(), text, fps)
    back = Step(text="back", maker=makers["back"])
    return Step(text=text, maker=makers[THERE_AND_BACK], num_frames=duration, inner=(*inner, back))


def _parse_number(text: str, what: str, step: str) -> float:
    value = float(text) if _NUMBER.fullmatch(text) else 0.0
    if not 0 < value < 1e6:
        raise _malformed(step, f"expected {what} above 0, got {text!r}")
    return value


def _malformed(step: str, why: str) -> CameraError:
    return CameraError(f"camera path step {step!r}: {why}")


def _parse_duration(text: str, step: str, fps: float) -> int:
    """Read frames (``30``) or seconds (``2s``)."""
    seconds = text.endswith("s")
    frames = _parse_number(text.removesuffix("s"), "a duration", step) * (fps if seconds else 1)
    if abs(frames - round(frames)) > 1e-6 or round(frames) < 1:
        unit = f" ({frames:g} frames at {fps:g} a second)" if seconds else ""
        raise _malformed(step, f"expected a whole number of frames, got {text}{unit}")
    return round(frames)


def _retraced(steps: Sequence[Step]) -> Sequence[Step]:
    """Give the steps that a ``back`` after ``steps`` retraces."""
    backs = [index for index, step in enumerate(steps) if step.maker.name == "back"]
    return steps[backs[-1] + 1 :] if backs else steps


def _cost(steps: Sequence[Step], index: int) -> tuple[int, int]:
    """Give a step's own frames, and how many equal shares of the remaining frames it takes.

    A ``back`` takes as long as what it retraces.
    """
    step = steps[index]
    if step.num_frames is not None:
        return step.num_frames, 0
    parts: Sequence[Step] = step.inner
    if step.maker.name == "back":
        parts, first = steps[:index], index - len(_retraced(steps[:index]))
    elif parts:
        first = 0
    else:
        return 0, 1
    costs = [_cost(parts, part) for part in range(first, len(parts))]
    return sum(fixed for fixed, _ in costs), sum(shares for _, shares in costs)


def _shares(steps: Sequence[Step], num_frames: int, expression: str) -> list[int]:
    """Divide frames among steps: first the durations given, then equal shares; odd frames go to the earliest.

    Raises:
        CameraError: too many or too few frames for the durations given.
    """
    costs = [_cost(steps, index) for index in range(len(steps))]
    rest, num_shares = num_frames - sum(fixed for fixed, _ in costs), sum(shares for _, shares in costs)
    if rest < num_shares or (num_shares == 0 and rest != 0):
        need = f"{num_frames - rest}" + (f" and at least {num_shares} more" if num_shares else "")
        raise CameraError(
            f"camera path {expression!r}: its steps take {need} frames, but {max(num_frames, 0)} are to be filled "
            "(the first frame of all is the start); change the durations or the number of frames"
        )
    whole = [fixed + (rest * shares // num_shares if shares else 0) for fixed, shares in costs]
    remainders = [rest * shares % num_shares if shares else -1 for _, shares in costs]
    by_need = sorted(range(len(steps)), key=lambda index: -remainders[index])  # stable: the earliest first
    for index in by_need[: num_frames - sum(whole)]:
        whole[index] += 1
    return whole


def _lay(steps: Sequence[Step], num_frames: int, start: Poses, ease: Ease, expression: str) -> list[Stretch]:
    """Turn steps into stretches that follow each other from ``start`` and last ``num_frames`` in all."""
    laid: list[Stretch] = []
    for index, (step, share) in enumerate(zip(steps, _shares(steps, num_frames, expression), strict=True)):
        here = laid[-1].pose_at(laid[-1].num_frames) if laid else start
        if step.inner:
            laid.append(_joined(_lay(step.inner, share, here, ease, step.text)))
        elif step.maker.name == "back":
            laid.append(_reversed(_joined(laid[index - len(_retraced(steps[:index])) :]), share))
        else:
            laid.append(_moving(step, share, here, ease))
    return laid


def _moving(step: Step, num_frames: int, start: Poses, ease: Ease) -> Stretch:
    def pose_at(frame: float) -> Poses:
        done = frame / num_frames
        done = done * done * (3 - 2 * done) if ease == "smooth" else done
        moved = [_moved(part, start, done) for part in (step, *step.together)]
        return moved[0] if len(moved) == 1 else _superposed(start, moved)

    return Stretch(num_frames=num_frames, pose_at=pose_at)


def _moved(step: Step, start: Poses, done: float) -> Poses:
    return start if step.maker.move is None else step.maker.move(start, step.amount * done, step.radius_m)


def _superposed(start: Poses, moved: Sequence[Poses]) -> Poses:
    """Put movements from one start together: each turn in the camera's own axes, shifts along the start's, added."""
    rotation = start[:, :3]
    for pose in moved:
        rotation = rotation @ start[:, :3].T @ pose[:, :3]
    shift = sum((pose[:, 3] - start[:, 3] for pose in moved), np.zeros(3))
    return np.column_stack([rotation, start[:, 3] + shift])


def _joined(stretches: Sequence[Stretch]) -> Stretch:
    def pose_at(frame: float) -> Poses:
        for stretch in stretches[:-1]:
            if frame <= stretch.num_frames:
                return stretch.pose_at(frame)
            frame -= stretch.num_frames
        return stretches[-1].pose_at(frame)

    return Stretch(num_frames=sum(stretch.num_frames for stretch in stretches), pose_at=pose_at)


def _reversed(stretch: Stretch, num_frames: int) -> Stretch:
    """Retrace a stretch in ``num_frames``; frame for frame where it took as many."""

    def pose_at(frame: float) -> Poses:
        return stretch.pose_at(stretch.num_frames * (num_frames - frame) / num_frames)

    return Stretch(num_frames=num_frames, pose_at=pose_at)
