"""WRBench's camera paths in words, and its two scores of how a camera was followed.

::

    yaw:left:60@40,yaw:right:60@41      pan:left:0.5+dolly:forward:1@81      static@81
    KIND:DIRECTION:VALUE@FRAMES         , one after the other   + at the same time

yaw, pitch and roll in degrees; pan (sideways), crane and dolly in scene units, along the axes of the *world*, whose
axes are the first camera's (OpenCV). A segment of n frames goes by i / (n − 1), so that its first frame repeats the
pose before it. Turns made at the same time are applied yaw, pitch, roll; theirs is not known. Source: WRBench (arXiv
2606.20545), actions.py, builder.py, presets.py.
"""

from math import radians

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import CameraError, InputError
from outofsight.geometry.conventions import z_up_world
from outofsight.geometry.poses import Poses, rotation_about, rotation_angle
from outofsight.types import CameraPath, check_rotations

PRESETS = {
    "yaw_LR_60": "yaw:left:60@40,yaw:right:60@41",
    "yaw_RL_60": "yaw:right:60@40,yaw:left:60@41",
    "yaw_LR_30": "yaw:left:30@40,yaw:right:30@41",
    "yaw_RL_30": "yaw:right:30@40,yaw:left:30@41",
    "static": "static@81",
}
AXES = {
    ("yaw", "left"): (0, -1.0, 0), ("yaw", "right"): (0, 1.0, 0),
    ("pitch", "up"): (1.0, 0, 0), ("pitch", "down"): (-1.0, 0, 0),
    ("roll", "left"): (0, 0, -1.0), ("roll", "right"): (0, 0, 1.0),
}  # fmt: skip
WAYS = {
    ("pan", "left"): (-1.0, 0, 0), ("pan", "right"): (1.0, 0, 0),
    ("crane", "up"): (0, -1.0, 0), ("crane", "down"): (0, 1.0, 0),
    ("dolly", "forward"): (0, 0, 1.0), ("dolly", "backward"): (0, 0, -1.0),
}  # fmt: skip
ORDER = ("yaw", "pitch", "roll")
LEAST_PEAK_DEG, FULL_PEAK_DEG = 2.0, 30.0
ROTATION_SCALE_DEG, STILL_DEG, STILL_UNITS = 45.0, 5.0, 0.1
LEAST_DISTANCE = 1e-6


def worded_poses(path: str) -> Poses:
    """Follow a path in words, or a preset by name: [n, 3, 4], camera to world, OpenCV, the first the identity.

    Raises:
        CameraError: naming the part that cannot be understood.
    """
    pose, poses = np.eye(3, 4), []
    for segment in PRESETS.get(path, path).split(","):
        words, _, count = segment.strip().partition("@")
        if not count.isdecimal() or not 1 <= int(count) <= 100_000:
            raise CameraError(f"camera {path!r}: {segment.strip()!r}: expected KIND:DIRECTION:VALUE@FRAMES")
        moves = [] if words == "static" else [_move(part.strip(), path) for part in words.split("+")]
        moves.sort(key=lambda move: ORDER.index(move[0]) if move[0] in ORDER else 0)
        begin = pose
        for frame in range(int(count)):
            pose = _moved(begin, moves, frame / max(int(count) - 1, 1))
            poses.append(pose)
    return np.stack(poses)


Move = tuple[str, tuple[float, float, float], float]


def _move(text: str, path: str) -> Move:
    fields = text.split(":")
    known = AXES | WAYS
    if len(fields) != 3 or (fields[0], fields[1]) not in known:
        raise CameraError(
            f"camera {path!r}: {text!r} is not known; known are static, and "
            f"{', '.join(':'.join(pair) for pair in known)} with a value"
        )
    try:
        value = float(fields[2])
    except ValueError as error:
        raise CameraError(f"camera {path!r}: {text!r}: expected a number, got {fields[2]!r}") from error
    if not 0 <= value < 1e6:
        raise CameraError(f"camera {path!r}: {text!r}: expected a number from 0 on, got {fields[2]}")
    return fields[0], known[fields[0], fields[1]], value


def _moved(begin: Poses, moves: list[Move], share: float) -> Poses:
    rotation, place = begin[:, :3], begin[:, 3].copy()
    for kind, axis, value in moves:
        if kind in ORDER:
            rotation = rotation @ rotation_about(axis, radians(value * share))
        else:
            place += value * share * np.array(axis)
    return np.column_stack([rotation, place])


def as_camera_path(poses: Poses) -> CameraPath:
    """Take WRBench's poses (OpenCV, y down) into our world."""
    return CameraPath(world_from_camera=z_up_world(poses, "-y"))


def camera_scores(target: Poses, estimated: Poses) -> dict[str, float]:
    """Score how a generated camera follows its target: CamPrec and CamAlign, 0 to 1.

    CamPrec: exp(−(mean turn off / 45° + way off / way)), the ways' scale free; 0 where it turns the wrong way, or by
    less than 2° where it should turn. A target that does not move asks nothing of the way. CamAlign: (largest turn −
    2°) / 28°, 0 the wrong way; of a still target 1 − the larger of turn / 5° and way / 0.1.

    Raises:
        InputError: they have different numbers of frames. CameraError: NaN, or no rotations.
    """
    if len(target) != len(estimated):
        raise InputError(
            f"the target has {len(target)} poses, the estimate {len(estimated)}; they must agree"
        )
    for poses, name in ((target, "target"), (estimated, "estimate")):
        check_rotations(poses[:, :, :3], poses[:, :, 3], name)
    one, other = _from_first(target), _from_first(estimated)
    if _is_still(one):
        off = max(
            _angles(other).max() / STILL_DEG, np.linalg.norm(other[:, :, 3], axis=1).max() / STILL_UNITS
        )
        return {"cam_prec": _precision(one, other), "cam_align": float(max(0.0, 1 - off))}
    yaw = _yaw(one)
    peak = int(np.abs(yaw).argmax())
    reached = float((np.sign(yaw[peak]) * _yaw(other)).max())
    turns = abs(yaw[peak]) >= LEAST_PEAK_DEG
    follows = not turns or (reached >= LEAST_PEAK_DEG and np.sign(_yaw(other)[peak]) == np.sign(yaw[peak]))
    align = float(np.clip((reached - LEAST_PEAK_DEG) / (FULL_PEAK_DEG - LEAST_PEAK_DEG), 0, 1))
    return {
        "cam_prec": _precision(one, other) if follows else 0.0,
        "cam_align": align if follows and turns else 0.0,
    }


def _from_first(poses: Poses) -> Poses:
    turn = poses[0, :, :3].T
    return np.concatenate([turn @ poses[:, :, :3], (turn @ (poses[:, :, 3:] - poses[0, :, 3:]))], axis=2)


def _angles(poses: Poses) -> NDArray[np.float64]:
    # Not by arccos, as published: near 0 it makes a hundredth of a degree of a rounding error.
    return np.degrees(rotation_angle(poses[:, :, :3]))


def _yaw(poses: Poses) -> NDArray[np.float64]:
    return np.degrees(np.unwrap(np.arctan2(poses[:, 0, 2], poses[:, 2, 2])))


def _is_still(poses: Poses) -> bool:
    return bool(_angles(poses).max() < LEAST_PEAK_DEG and np.abs(poses[:, :, 3]).max() < LEAST_DISTANCE)


def _precision(target: Poses, estimated: Poses) -> float:
    between = np.einsum("nji,njk->nik", target[:, :, :3], estimated[:, :, :3])
    turn_off = float(_angles(np.concatenate([between, np.zeros((len(between), 3, 1))], axis=2)).mean())
    distance = float(np.sqrt((target[:, :, 3] ** 2).sum(axis=1).mean()))
    off = 0.0
    if distance > LEAST_DISTANCE:
        size = float((estimated[:, :, 3] ** 2).sum())
        scale = float((target[:, :, 3] * estimated[:, :, 3]).sum()) / size if size > LEAST_DISTANCE else 0.0
        off = (
            float(np.sqrt(((scale * estimated[:, :, 3] - target[:, :, 3]) ** 2).sum(axis=1).mean()))
            / distance
        )
    return float(np.exp(-(turn_off / ROTATION_SCALE_DEG + off)))
