"""What lies where, seen from above: the camera's way, the subjects that memory holds, and those that truly are.

Everything lies in the banks' anchor frame (OpenCV axes of the first target camera, or of a rollout's last context
camera: x right, y down, z forward), in metres; the map is its x–z plane. Time is counted in video frames, context and
target together; a **moment** is a time at which all this is known, as a rule one for each latent frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from outofsight.errors import InputError
from outofsight.evaluation.case import Video
from outofsight.geometry.poses import relative_poses
from outofsight.memory.banks.state import Archive, Tracks
from outofsight.types import Clip, SubjectTrack, Visibility

Floats = NDArray[np.float64]
SAME_MOMENT_FRAMES = 0.5
"""A subject was seen at a moment if it was last seen no longer before it than this."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrackedSubjects:
    """What a tracker holds at n moments in s slots.

    ``position_m``, ``velocity_m`` [n, s, 3]: metres, and metres a video frame; ``deviation_m`` [n, s]: standard
    deviation of the position along any one axis; ``held``, ``seen`` bool [n, s]: the slot holds a subject, which the
    tracker saw at that moment; ``numbers`` int [n, s]: who it is.
    """

    position_m: Floats
    velocity_m: Floats
    deviation_m: Floats
    held: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    numbers: NDArray[np.int64]

    def __post_init__(self) -> None:
        shape = self.held.shape
        parts = (self.deviation_m, self.seen, self.numbers, self.position_m[..., 0], self.velocity_m[..., 0])
        if len(shape) != 2 or any(part.shape != shape for part in parts):
            raise InputError(
                f"held subjects: expected arrays of [moments, slots] and [moments, slots, 3], got {shape} and "
                f"{[part.shape for part in parts]}"
            )

    def __getitem__(self, moments: NDArray[np.int_]) -> "TrackedSubjects":
        """Take some of the moments."""
        return TrackedSubjects(**{name: part[moments] for name, part in vars(self).items()})


@dataclass(frozen=True, kw_only=True, eq=False)
class TrueSubjects:
    """Where q subjects truly are at n moments: ``position_m`` [n, q, 3]; ``seen`` bool [n, q]; ``names``.

    ``velocity_m`` [n, q, 3]: metres a video frame; ``None``: not known. A moment of which nothing is known has NaN for
    places and velocities, and shows no subject.
    """

    position_m: Floats
    seen: NDArray[np.bool_]
    names: tuple[str, ...] = ()
    velocity_m: Floats | None = None

    def __post_init__(self) -> None:
        if self.position_m.shape != (*self.seen.shape, 3) or self.seen.ndim != 2:
            raise InputError(
                f"true subjects: expected positions [moments, subjects, 3] and seen [moments, subjects], got "
                f"{self.position_m.shape} and {self.seen.shape}"
            )
        if self.velocity_m is not None and self.velocity_m.shape != self.position_m.shape:
            raise InputError(
                f"true subjects: expected velocities {self.position_m.shape}, got {self.velocity_m.shape}"
            )

    def __getitem__(self, moments: slice | NDArray[np.int_]) -> "TrueSubjects":
        """Take some of the moments."""
        velocity = None if self.velocity_m is None else self.velocity_m[moments]
        return replace(
            self, position_m=self.position_m[moments], seen=self.seen[moments], velocity_m=velocity
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class FiledViews:
    """Cameras of the archivist's slices at one moment, [m, 3, 4], and which of them were retrieved, bool [m]."""

    cameras: Floats
    retrieved: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class BirdsEye:
    """All that a map shows at n moments: ``times`` [n], rising; ``cameras`` [n, 3, 4] ``anchor_from_camera``.

    ``fov_x_rad``: horizontal field of view. ``held``, ``truth``: ``None`` where unknown. ``filed``: one for each
    moment, or none.
    """

    times: Floats
    cameras: Floats
    fov_x_rad: float
    held: TrackedSubjects | None = None
    truth: TrueSubjects | None = None
    filed: tuple[FiledViews, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.times)
        if n < 1 or self.cameras.shape != (n, 3, 4) or (np.diff(self.times) <= 0).any():
            raise InputError(
                f"a map needs rising times and a camera [3, 4] for each, got {n} times and {self.cameras.shape}"
            )
        if not 0 < self.fov_x_rad < np.pi:
            raise InputError(f"a field of view lies between 0 and π, got {self.fov_x_rad}")
        lengths = {
            "held subjects": n if self.held is None else len(self.held.held),
            "true subjects": n if self.truth is None else len(self.truth.seen),
            "filed views": len(self.filed) or n,
        }
        for what, length in lengths.items():
            if length != n:
                raise InputError(f"a map of {n} moments needs as many of its {what}, got {length}")

    def __getitem__(self, moments: NDArray[np.int_]) -> "BirdsEye":
        """Take some of the moments."""
        return BirdsEye(
            times=self.times[moments], cameras=self.cameras[moments], fov_x_rad=self.fov_x_rad,
            held=None if self.held is None else self.held[moments],
            truth=None if self.truth is None else self.truth[moments],
            filed=tuple(self.filed[index] for index in moments) if self.filed else (),
        )  # fmt: skip

    @property
    def num_moments(self) -> int:
        return len(self.times)


@dataclass(frozen=True, kw_only=True, eq=False)
class MemoryStep:
    """What memory held and gave in one step of a rollout, for its t latent frames.

    ``cameras`` [t, 12] or [t, 3, 4]: ``anchor_from_camera``; ``times`` [t] in video frames. ``tracks``: the tracker's
    slots after each frame, frames in place of a batch. ``archive``: what was retrieved from, a batch of one.
    ``scores`` [t, n + s]: of n views, then s subjects; ``slots``: the retrieved ones, by the same numbers.
    ``pictures`` uint8 [t, h, w, 3]: a video frame for each latent frame. ``None``: there is no such thing.
    """

    cameras: Tensor | Floats
    times: Tensor | Floats
    tracks: Tracks | None = None
    archive: Archive | None = None
    scores: Tensor | Floats | None = None
    slots: tuple[int, ...] = ()
    pictures: Video | None = None


def tracked_subjects(tracks: Tracks, times: Floats) -> TrackedSubjects:
    """Read a tracker's slots at n moments; ``tracks``: moments in place of a batch. Nobody is seen in an empty slot."""
    held = as_array(tracks.filled).astype(bool)
    last_seen = as_array(tracks.last_seen)
    seen = held & (last_seen >= np.asarray(times)[:, None] - SAME_MOMENT_FRAMES)
    return TrackedSubjects(
        position_m=as_array(tracks.position), velocity_m=as_array(tracks.velocity),
        deviation_m=np.sqrt(np.maximum(as_array(tracks.covariance)[..., 0], 0)), held=held, seen=seen,
        numbers=as_array(tracks.number).astype(np.int64),
    )  # fmt: skip


def joined_subjects(parts: Sequence[TrackedSubjects]) -> TrackedSubjects:
    """Put moments one after another. Raises ``InputError`` unless all have the same number of slots."""
    if len({part.held.shape[1] for part in parts}) != 1:
        raise InputError(
            f"expected moments of one tracker, got {[part.held.shape[1] for part in parts]} slots"
        )
    names = [field.name for field in fields(TrackedSubjects)]
    return TrackedSubjects(**{n: np.concatenate([getattr(part, n) for part in parts]) for n in names})


def filed_views(archive: Archive, retrieved: Sequence[int]) -> FiledViews:
    """Read the cameras of an archive (batch of one); ``retrieved``: numbers of slots."""
    filled = as_array(archive.filled)[0].astype(bool)
    chosen = np.isin(np.arange(len(filled)), list(retrieved))
    cameras = as_array(archive.poses)[0].reshape(-1, 3, 4)
    return FiledViews(cameras=cameras[filled], retrieved=chosen[filled])


def true_subjects(
    clip: Clip, frames: NDArray[np.int64], world_from_anchor: Floats | None = None
) -> TrueSubjects | None:
    """Read where a clip's subjects are at some of its frames, in the anchor frame; ``None``: it is not annotated.

    ``world_from_anchor`` [3, 4]: a rollout's ``anchor``, which is the context's last camera; ``None``: that of the
    first target camera.
    """
    anchor = _first_target_camera(clip) if world_from_anchor is None else world_from_anchor
    return anchored_subjects(clip.subjects, frames, anchor, clip.fps)


def anchored_subjects(
    subjects: Sequence[SubjectTrack], frames: NDArray[np.int64], world_from_anchor: Floats, fps: float
) -> TrueSubjects | None:
    """Read where subjects are at some frames, in the anchor frame; ``None``: that is not annotated."""
    if not subjects or any(subject.world_from_subject is None for subject in subjects):
        return None
    rotation, origin = world_from_anchor[:, :3], world_from_anchor[:, 3]
    world = np.stack([subject.world_from_subject[frames, :, 3] for subject in subjects], axis=1)  # type: ignore[index]
    seen = np.stack([subject.visibility[frames] <= Visibility.CUT for subject in subjects], axis=1)
    velocities = [subject.velocity_m_s for subject in subjects]
    known = [value[frames] for value in velocities if value is not None]
    return TrueSubjects(
        position_m=(world - origin) @ rotation, seen=seen, names=tuple(s.name for s in subjects),
        velocity_m=np.stack(known, axis=1) @ rotation / fps if len(known) == len(velocities) else None,
    )  # fmt: skip


def anchored_cameras(clip: Clip, frames: NDArray[np.int64]) -> Floats:
    """Give ``anchor_from_camera`` [n, 3, 4] of a clip's frames, by its first target camera."""
    return np.asarray(relative_poses(clip.cameras.world_from_camera[frames], _first_target_camera(clip)))


def _first_target_camera(clip: Clip) -> Floats:
    return np.asarray(clip.cameras.world_from_camera[min(clip.num_context_frames, len(clip.cameras) - 1)])


def as_array(value: Tensor | Floats) -> Floats:
    if isinstance(value, Tensor):
        value = value.detach().double().cpu().numpy()
    return np.asarray(value, dtype=np.float64)
