"""Where a rollout stands: all that the coming frames depend on, beside the model and the cameras to come.

Time is counted in video frames, frame 0 is the first of the context. The steps of a rollout whose context has 9::

    video frame    0 ... 8 | 9 ... 13 | 14 ... 21 | ...     a step of k latent frames shows 4·(k − 1) + 1 video
    latent frame   0 1 2   | 3   4    | 5   6     | ...     frames the first time, and 4·k every later time
    camera of it   0 4 8   | 9   13   | 17  21    | ...
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass as validated_dataclass
from torch import Tensor

from outofsight.codec.stream_decoding import Decoded
from outofsight.errors import CameraError, InputError, fault, in_words
from outofsight.geometry.conditioning import LENS_TOLERANCE
from outofsight.geometry.poses import rotation_angle
from outofsight.memory.banks.state import Banks, bank_tensors, banks_from_tensors
from outofsight.nn.cameras import relative_to
from outofsight.types import CameraPath, LatentClock


@validated_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class RolloutLimits:
    """``keep_steps``: how many steps can be taken back; each costs the size of one state, in main ``memory`` or on
    ``disk`` (``keep_in``). ``max_move_m``, ``max_turn_deg``: how far a camera may jump from one video frame to the next
    and still go on with its path."""

    keep_steps: Annotated[int, Field(ge=0)] = 4
    keep_in: Literal["memory", "disk"] = "memory"
    max_move_m: Annotated[float, Field(gt=0)] = 2.0
    max_turn_deg: Annotated[float, Field(gt=0)] = 30.0

    @model_validator(mode="wrap")
    @classmethod
    def _in_one_line(cls, given: Any, check: Callable[[Any], "RolloutLimits"]) -> "RolloutLimits":
        try:
            return check(given)
        except ValidationError as error:
            reasons = [fault(found, ".".join(map(str, found["loc"]))) for found in error.errors()]
            raise InputError(f"limits of a rollout: {'; '.join(reasons)}") from error


def as_limits(limits: "RolloutLimits | Mapping[str, Any] | None") -> RolloutLimits:
    """Take nothing, a dictionary or limits for limits. Raises ``InputError`` for anything else."""
    if limits is None or isinstance(limits, Mapping):
        return RolloutLimits(**{str(name): value for name, value in (limits or {}).items()})
    if not isinstance(limits, RolloutLimits):
        raise InputError(
            f"limits of a rollout: expected a dictionary of keep_steps, ..., got {in_words(type(limits))}"
        )
    return limits


SMALL_TENSORS = ("poses", "last_pose", "anchor", "intrinsics", "generator")
"""Those of a state that stay on the CPU, wherever the model works."""

TENSORS = ("latents", *SMALL_TENSORS, "masks")


@dataclass(frozen=True, kw_only=True, eq=False)
class RolloutState:
    """One moment between two steps. Nothing in it is ever changed, so moments may share what they hold.

    ``step``: steps made. ``num_context_frames``, ``num_frames``: video frames of the context, and shown since.
    ``prompt``: the caption in force. ``latents``: clean history, oldest first; ``poses``: of its latent frames, and
    ``last_pose``: of the last video frame, ``world_from_camera``. ``reach``: latent frames of the context. ``anchor``:
    the frame of reference of the banks, the context's last camera. ``intrinsics``: of the camera, normalised, the
    model's default where the context's is unknown. ``generator``: state of the random generator. ``masks``: subjects'
    share of each latent pixel of the history, where the model asks for it.
    """

    step: int
    num_context_frames: int
    num_frames: int
    reach: int
    prompt: str
    latents: Float[Tensor, "1 channels c h w"]
    poses: Float[Tensor, "c 3 4"]
    last_pose: Float[Tensor, "3 4"]
    anchor: Float[Tensor, "3 4"]
    intrinsics: Float[Tensor, " 4"]
    generator: Int[Tensor, " n"]
    decoded: Decoded
    masks: Float[Tensor, "1 s c h w"] | None = None
    banks: Banks | None = None

    def anchored(self, world_from_camera: NDArray[np.float64]) -> Float[Tensor, "1 f 12"]:
        """Express poses [f, 3, 4] in the banks' frame of reference."""
        return flat_poses(world_from_camera, self.anchor.numpy())

    @property
    def goes_on(self) -> bool:
        """Whether the coming frames follow others that were shown, so that each latent frame is several (``clock``)."""
        return self.step > 0

    def tensors(self) -> dict[str, Tensor]:
        """Name every tensor: ``latents``, ``banks.archive.tokens``, ``decoded.past``, ..."""
        named = {name: value for name in TENSORS if (value := getattr(self, name)) is not None}
        if self.banks is not None:
            named |= {f"banks.{name}": value for name, value in bank_tensors(self.banks).items()}
        return named | {f"decoded.{name}": value for name, value in self.decoded.kept.items()}

    def with_tensors(self, named: Mapping[str, Tensor]) -> "RolloutState":
        """Return the same moment with other tensors, by the names of ``tensors``; ``SMALL_TENSORS`` may be left out."""
        return replace(self, **state_fields(named, self.decoded.num_latent_frames))


def state_fields(named: Mapping[str, Tensor], decoded_latent_frames: int) -> dict[str, Any]:
    """Put the tensors that ``RolloutState.tensors`` has named into the fields of a state."""

    def group(mark: str) -> dict[str, Tensor]:
        return {name.removeprefix(mark): value for name, value in named.items() if name.startswith(mark)}

    banks = group("banks.")
    return {
        **{name: named[name] for name in TENSORS if name in named},
        "decoded": Decoded(decoded_latent_frames, MappingProxyType(group("decoded."))),
        "banks": banks_from_tensors(banks) if banks else None,
    }


def flat_poses(world_from_camera: Any, world_from_reference: Any) -> Float[Tensor, "1 f 12"]:
    """Express poses [f, 3, 4] of the world relative to another, as the transformer reads them."""
    poses, reference = (
        torch.from_numpy(np.asarray(value).astype(np.float64)).reshape(1, -1, 12)
        for value in (world_from_camera, world_from_reference)
    )
    return relative_to(poses, reference[:, 0])


def coming_latents(
    state: RolloutState, cameras: CameraPath, limits: RolloutLimits, clock: LatentClock
) -> int:
    """Check that cameras go on with the path, and return how many latent frames they are.

    Raises:
        CameraError: a number of video frames that makes no latent frames, another lens, or a jump.
    """
    try:
        num_latent = clock.num_latent(len(cameras), goes_on=state.goes_on)
    except InputError as error:
        raise CameraError(f"step {state.step + 1}, the coming cameras: {error}") from error
    _check_same_lens(state, cameras)
    path = np.concatenate((state.last_pose.numpy()[None], cameras.world_from_camera))
    for frame, (before, after) in enumerate(pairwise(path)):
        moved, turned = apart(before, after)
        if moved > limits.max_move_m or turned > limits.max_turn_deg:
            where = "the last frame shown" if frame == 0 else f"camera {frame - 1}"
            raise CameraError(
                f"step {state.step + 1}: the cameras do not go on with the path: from {where} to camera {frame} is "
                f"{moved:.3g} m and {turned:.3g}°, at most {limits.max_move_m:g} m and {limits.max_turn_deg:g}° are "
                "one video frame apart; begin the path at rollout.last_pose, or widen the limits"
            )
    return num_latent


def _check_same_lens(state: RolloutState, cameras: CameraPath) -> None:
    """A world is walked through with one lens: the context's, or the model's default."""
    if cameras.intrinsics is None:
        return
    ours, theirs = state.intrinsics.numpy(), cameras.intrinsics.normalized
    if np.abs(ours - theirs).max() > LENS_TOLERANCE:
        raise CameraError(
            f"step {state.step + 1}: the cameras have another lens than the rollout ({theirs.tolist()} and "
            f"{ours.tolist()}: fx, fy, cx, cy in shares of the picture); start it with the context's cameras and lens"
        )


def apart(before: NDArray[np.float64], after: NDArray[np.float64]) -> tuple[float, float]:
    """Tell how many metres, and by how many degrees of turning, two poses [3, 4] lie apart."""
    moved = float(np.linalg.norm(after[:, 3] - before[:, 3]))
    return moved, float(np.degrees(rotation_angle(before[:, :3].T @ after[:, :3])))
