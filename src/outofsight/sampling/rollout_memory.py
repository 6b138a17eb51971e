"""The two banks of a rollout, to look at and to touch, in the frame of its cameras."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from outofsight.errors import InputError
from outofsight.geometry.poses import compose
from outofsight.memory.banks import state as touch
from outofsight.memory.banks.state import Archive, Banks, Tracks


@dataclass(frozen=True, kw_only=True, eq=False)
class RememberedSubject:
    """A subject as the tracker has it. ``number``: counts births. ``position_m`` [3], ``velocity_m`` [3] (metres a
    video frame): in the world; ``spread_m``: standard deviation of the position along one axis. ``visibility``,
    ``confidence``: 0 to 1. ``unseen_frames``: video frames since it was last seen. ``box_m`` [4]: as ``Tracks.box``.
    ``slot``: its place among ``StepRecord.slots`` and ``scores``."""

    number: int
    slot: int
    position_m: NDArray[np.float64]
    velocity_m: NDArray[np.float64]
    spread_m: float
    visibility: float
    confidence: float
    unseen_frames: float
    box_m: NDArray[np.float64]
    pinned: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class RememberedView:
    """A view that the archivist keeps. ``world_from_camera`` [3, 4]: the camera that saw it; ``frame``: the video frame
    that it was, counted from the context's first; ``use``: what it has been good for lately."""

    slot: int
    world_from_camera: NDArray[np.float64]
    frame: float
    use: float
    pinned: bool


class RolloutMemory:
    """What a rollout remembers now. What is changed counts from the next step on, for this rollout alone.

    An archive slot is named by its index (``slot=3``), a subject by its number (``subject=1``).
    ``banks``: tells those that the rollout has now; ``replace_banks``: lets it go on with others; ``anchor``
    (``world_from_anchor`` [3, 4]): the frame of reference of what they hold.
    """

    def __init__(
        self, banks: Callable[[], Banks], replace_banks: Callable[[Banks], None], anchor: NDArray[np.float64]
    ) -> None:
        self._banks, self._replace, self._anchor = banks, replace_banks, anchor

    @property
    def banks(self) -> Banks:
        """Both banks, as plain tensors with a batch of one, in the frame of ``rollout.anchor``."""
        return self._banks()

    @property
    def archive(self) -> Archive:
        """The places that are filed."""
        return self.banks.archive

    @property
    def tracks(self) -> Tracks:
        """The subjects that are followed, seen or not."""
        return self.banks.tracks

    @property
    def subjects(self) -> list[RememberedSubject]:
        """The subjects that are followed, by their numbers."""
        tracks, rotation = self.tracks, self._anchor[:, :3]
        num_views = self.archive.filled.shape[1]
        now = float(self.banks.time[0])
        found = []
        for index in tracks.filled[0].nonzero().flatten().tolist():
            found.append(
                RememberedSubject(
                    number=int(tracks.number[0, index]),
                    slot=num_views + index,
                    position_m=rotation @ _numbers(tracks.position[0, index]) + self._anchor[:, 3],
                    velocity_m=rotation @ _numbers(tracks.velocity[0, index]),
                    spread_m=float(tracks.covariance[0, index, 0].clamp(min=0).sqrt()),
                    visibility=float(tracks.visibility[0, index]),
                    confidence=float(tracks.confidence[0, index]),
                    unseen_frames=now - float(tracks.last_seen[0, index]),
                    box_m=_numbers(tracks.box[0, index]),
                    pinned=bool(tracks.pinned[0, index]),
                )
            )
        return sorted(found, key=lambda subject: subject.number)

    @property
    def views(self) -> list[RememberedView]:
        """The views that are filed, by their slots."""
        archive = self.archive
        poses = _numbers(archive.poses[0]).reshape(-1, 3, 4)
        return [
            RememberedView(
                slot=slot,
                world_from_camera=compose(self._anchor, poses[slot]),
                frame=float(archive.times[0, slot]),
                use=float(archive.use[0, slot]),
                pinned=bool(archive.pinned[0, slot]),
            )
            for slot in archive.filled[0].nonzero().flatten().tolist()
        ]

    def pin(self, *, slot: int | None = None, subject: int | None = None, on: bool = True) -> None:
        """Keep an archive slot from being dropped, or a subject from dying; ``on`` false lets it go again.

        Raises:
            InputError: not exactly one of both is named, or it is not there.
        """
        self._replace(touch.pin(self.banks, slot=slot, subject=subject, on=on))

    def forget(self, *, slot: int | None = None, subject: int | None = None) -> None:
        """Empty an archive slot or a subject's, pinned or not. Raises ``InputError`` as ``pin``."""
        self._replace(touch.forget(self.banks, slot=slot, subject=subject))

    def edit(
        self,
        subject: int,
        *,
        position_m: Sequence[float] | None = None,
        velocity_m: Sequence[float] | None = None,
        tokens: Float[Tensor, "k d"] | None = None,
        identity: Float[Tensor, " e"] | None = None,
    ) -> None:
        """Change where a subject is, how it moves (metres a video frame; both in the world), or who it is.

        Raises:
            InputError: the subject is not there, nothing is changed, or a value does not fit.
        """
        rotation, origin = self._anchor[:, :3], self._anchor[:, 3]
        position = None if position_m is None else rotation.T @ (_vector(position_m, "position_m") - origin)
        velocity = None if velocity_m is None else rotation.T @ _vector(velocity_m, "velocity_m")
        edited = touch.edit_subject(
            self.banks,
            subject,
            position=None if position is None else position.tolist(),
            velocity=None if velocity is None else velocity.tolist(),
            tokens=tokens,
            identity=identity,
        )
        self._replace(edited)

    def edit_place(
        self,
        slot: int,
        *,
        tokens: Float[Tensor, "p d"] | None = None,
        static: Float[Tensor, " p"] | None = None,
    ) -> None:
        """Change what an archive slot shows, and how static each token is. Raises ``InputError`` as ``edit``."""
        self._replace(touch.edit_place(self.banks, slot, tokens=tokens, static=static))

    def swap(self, subject: int, other: int) -> None:
        """Let two subjects change places. Raises ``InputError`` if one of them is not there."""
        self._replace(touch.swap_subjects(self.banks, subject, other))


def _numbers(values: Tensor) -> NDArray[np.float64]:
    return values.detach().to("cpu", torch.float64).numpy()


def _vector(values: Sequence[float], name: str) -> NDArray[np.float64]:
    vector = np.asarray(values, dtype=np.float64)
    if vector.shape != (3,) or not np.isfinite(vector).all():
        raise InputError(f"{name}: expected three finite numbers, got {list(np.shape(values))}")
    return vector
