"""May an estimate be believed? Frames placed, reprojection error, and a second estimate that must agree.

The second estimate (the round trip) is made of other material: of a turning camera from the other half of the points,
of a moving one by a map of other frames. What video does not determine differs between the two.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import CameraError
from outofsight.geometry.poses import Poses

MOST_ERROR_PX = 1.2
MOST_TURN_DEG = 1.0
MOST_SHIFT_SHARE = 0.03
"""Measured: good estimates 0.8% to 1.1%, one that was off by 80% of the path 5.1%."""
MOST_FOV_DEG = 3.0
FOVS_DEG = (20.0, 130.0)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """``motion``: turns, nearly turns or moves. ``placed`` of ``frames``; ``error_px``: of reprojection.

    How far a second estimate is off: ``turn_deg`` at most, ``shift_share`` (of the path) in the mean, ``fov_deg``
    in its lens.
    """

    motion: str
    frames: int
    placed: int
    error_px: float
    turn_deg: float
    shift_share: float
    fov_deg: float
    fov_x_deg: float
    lens_is_known: bool

    def problems(self) -> list[str]:
        """Say what speaks against the estimate; nothing: it is believed."""
        found = []
        if self.placed < self.frames:
            found.append(f"{self.placed} of {self.frames} frames could be placed")
        if not self.error_px <= MOST_ERROR_PX:
            found.append(f"points are missed by {self.error_px:.2f} px (at most {MOST_ERROR_PX:g})")
        if not FOVS_DEG[0] <= self.fov_x_deg <= FOVS_DEG[1]:
            found.append(f"its lens would be {self.fov_x_deg:.0f}° across")
        if not self.turn_deg <= MOST_TURN_DEG:
            found.append(
                f"a second estimate turns by {self.turn_deg:.1f}° differently (at most {MOST_TURN_DEG:g}°)"
            )
        if not self.shift_share <= MOST_SHIFT_SHARE:
            found.append(
                f"a second estimate moves by {100 * self.shift_share:.0f}% of the path differently (at most "
                f"{100 * MOST_SHIFT_SHARE:.0f}%)"
            )
        if not self.lens_is_known and not self.fov_deg <= MOST_FOV_DEG:
            found.append(
                f"a second estimate's lens is {self.fov_deg:.1f}° wider or narrower (at most {MOST_FOV_DEG:g}°)"
            )
        return found

    def check(self, name: str) -> None:
        """Raise ``CameraError`` with what speaks against the estimate."""
        problems = self.problems()
        if problems:
            advice = "" if self.lens_is_known else "say its lens with --fov, "
            raise CameraError(
                f"{name}: its cameras cannot be estimated: {'; '.join(problems)}; {advice}mask what moves with "
                "--masks, or film a place with more to see"
            )

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "problems": self.problems()}

    def __str__(self) -> str:
        known = "given" if self.lens_is_known else f"± {self.fov_deg:.1f}"
        moved = f" and {100 * self.shift_share:.1f}% of the path" if self.motion == "moves" else ""
        if self.motion == "nearly turns":
            moved = "; what it moves beside is too little to be estimated, and is left out"
        return (
            f"the camera {self.motion}: {self.placed} of {self.frames} frames, {self.error_px:.2f} px, lens "
            f"{self.fov_x_deg:.1f}° ({known}); a second estimate differs by {self.turn_deg:.2f}°{moved}"
        )


def disagreement(one: Poses, other: Poses) -> tuple[float, float]:
    """Compare two paths over the same frames, up to a common turn, shift and scale: largest turn in degrees, and the
    root mean square shift as a share of the path's size."""
    turn = nearest_rotation(np.einsum("nij,nkj->ik", one[:, :, :3], other[:, :, :3]))
    turned = np.einsum("ij,njk->nik", turn, other)
    cosines = (np.einsum("nij,nij->n", one[:, :, :3], turned[:, :, :3]) - 1) / 2
    first, second = (path[:, :, 3] - path[:, :, 3].mean(axis=0) for path in (one, turned))
    size = float(np.sqrt((first**2).sum(axis=1).mean()))
    scale = float((first * second).sum()) / max(float((second**2).sum()), 1e-12)
    shift = float(np.sqrt(((first - scale * second) ** 2).sum(axis=1).mean()))
    return float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).max()), shift / size if size > 1e-9 else 0.0


def nearest_rotation(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    left, _, right = np.linalg.svd(matrix)
    return np.asarray(left @ np.diag([1, 1, np.sign(np.linalg.det(left @ right))]) @ right)
