"""From keys to cameras: how the camera goes on from where it is."""

from dataclasses import dataclass, replace
from math import radians

import numpy as np
from numpy.typing import NDArray

from outofsight.geometry.poses import pose, rotation_about
from outofsight.types import CameraPath
from outofsight.web.protocol import Look

TURN_DEG_S, MOVE_M_S = 25.0, 1.5
"""Full speed: the mini learned from pans of up to 30 degrees a second."""

MOST_TURN_DEG = 3.0
"""In one video frame, a key and a drag of the mouse together."""

SOFTNESS_S = 0.12
"""Time constant with which speed follows the keys."""

MOST_PITCH_DEG = 60.0


@dataclass(frozen=True, kw_only=True)
class CameraMotion:
    """How the camera moves now: shares of full speed (yaw, pitch, forward, right, up), and degrees yet to be turned
    that a drag of the mouse asked for (yaw, pitch)."""

    speed: tuple[float, ...] = (0.0,) * 5
    to_turn_deg: tuple[float, float] = (0.0, 0.0)

    def dragged(self, look: Look) -> "CameraMotion":
        """Add what the mouse asks for, no more than two seconds of turning ahead."""
        asked = np.add(self.to_turn_deg, (look.yaw_deg, look.pitch_deg))
        yaw, pitch = np.clip(asked, -2 * TURN_DEG_S, 2 * TURN_DEG_S)
        return replace(self, to_turn_deg=(float(yaw), float(pitch)))


def go_on(
    start: NDArray[np.float64], look: Look, motion: CameraMotion, num_frames: int, fps: float
) -> tuple[CameraPath, CameraMotion]:
    """Give the coming cameras after the pose ``start`` [3, 4], and how the camera moves then.

    Yaw and pitch are positive to the left and upwards; moving keeps to the ground, whatever the pitch.
    """
    rotation, place = start[:, :3].copy(), start[:, 3].copy()
    asked = np.array([look.yaw, look.pitch, look.forward, look.right, look.up])
    speed, left = np.array(motion.speed), np.array(motion.to_turn_deg)
    gain, poses = 1 - np.exp(-1 / fps / SOFTNESS_S), []
    for _ in range(num_frames):
        speed = speed + gain * (asked - speed)
        speed[np.abs(speed) < 1e-3] = 0
        by_hand = np.clip(left / 3, -MOST_TURN_DEG, MOST_TURN_DEG)
        by_hand = np.where(np.abs(left) < 0.2, left, by_hand)
        left = left - by_hand
        turn = np.clip(speed[:2] * TURN_DEG_S / fps + by_hand, -MOST_TURN_DEG, MOST_TURN_DEG)
        rotation = _turned(rotation, float(turn[0]), float(turn[1]))
        place = place + _moved(rotation, speed[2:]) * MOVE_M_S / fps
        poses.append(pose(rotation, place))
    after = CameraMotion(speed=tuple(speed.tolist()), to_turn_deg=(float(left[0]), float(left[1])))
    return CameraPath(world_from_camera=np.stack(poses)), after


def heading_of(world_from_camera: NDArray[np.float64]) -> tuple[float, float]:
    """Give yaw (0 along x, left positive) and pitch (up positive) of a camera, radians."""
    ahead = world_from_camera[:, 2]
    return float(np.arctan2(ahead[1], ahead[0])), float(np.arcsin(np.clip(ahead[2], -1, 1)))


def _turned(rotation: NDArray[np.float64], yaw_deg: float, pitch_deg: float) -> NDArray[np.float64]:
    most = radians(MOST_PITCH_DEG)
    pitch = float(np.arcsin(np.clip(rotation[2, 2], -1, 1)))
    up = radians(pitch_deg)
    if pitch + up > most:
        up = min(up, max(most - pitch, 0.0))
    elif pitch + up < -most:
        up = max(up, min(-most - pitch, 0.0))
    turned = (
        rotation_about([0.0, 0.0, 1.0], radians(yaw_deg)) @ rotation @ rotation_about([1.0, 0.0, 0.0], up)
    )
    u, _, v = np.linalg.svd(turned)  # thousands of small turns must stay a rotation
    return np.asarray(u @ v)


def _moved(rotation: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the direction of (forward, right, up) over the ground; of length 1 at most."""
    ahead = np.array([rotation[0, 2], rotation[1, 2], 0.0])
    length = np.linalg.norm(ahead)
    ahead = ahead / length if length > 1e-6 else np.array([1.0, 0.0, 0.0])
    right = np.array([ahead[1], -ahead[0], 0.0])
    moved = share[0] * ahead + share[1] * right + share[2] * np.array([0.0, 0.0, 1.0])
    return moved / max(1.0, float(np.linalg.norm(moved)))
