"""Rendered memory of training clips: views and cut-outs of the context, subjects put up where they truly will be.

The model is taught to believe where memory puts a subject: that place is the tracker's affair. So subjects stand nearly
where they truly are; seldom one is missing, or stands elsewhere.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn.functional import max_pool2d

from outofsight.errors import DatasetError
from outofsight.geometry.poses import compose, invert_rigid, relative_poses, transform_points
from outofsight.memory.banks.mask_reader import MaskReader, evidence
from outofsight.memory.banks.pictures import Picture, cut_out, empty_cutouts, joined, kept_best, view_of
from outofsight.memory.banks.state import Cutouts, Views
from outofsight.memory.rendering import PlacedSubjects, Rendered, render, with_subjects
from outofsight.types import WAN_CLOCK, Clip

NEAR_PX = 9
"""A read mask is a subject's own within so many pixels around its true one."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class PlaceErrors:
    """How subjects are misplaced in a render to learn from. ``near_m``: deviation of a constant error along each level
    axis, metres. ``missing_share``, ``astray_share``: of subjects that are left out, or are ``astray_m`` off."""

    near_m: float = Field(default=0.2, ge=0)
    missing_share: float = Field(default=0.06, ge=0, le=1)
    astray_share: float = Field(default=0.04, ge=0, le=1)
    astray_m: float = Field(default=1.5, ge=0)


class ClipMemory(NamedTuple):
    """What a context leaves in memory, and the coming cameras, in the frame of the first target camera."""

    views: Views
    cutouts: Cutouts
    placed: PlacedSubjects
    cameras: Float[Tensor, "1 t 12"]
    intrinsics: Float[Tensor, "1 4"]
    size: tuple[int, int]

    def scenery(self) -> Rendered:
        """Draw the target as memory has it, without subjects."""
        return render(self.views, self.cameras, self.intrinsics, self.size)

    def rendered(self, scenery: Rendered, errors: PlaceErrors, generator: np.random.Generator) -> Rendered:
        """Put subjects into the target's ``scenery``, misplaced by chance."""
        placed = misplaced(self.placed, errors, generator)
        return with_subjects(scenery, self.cutouts, placed, self.cameras, self.intrinsics)


class ClipFrames(NamedTuple):
    """A context's frames that stand for latent frames: pictures, cameras, times."""

    frames: UInt8[Tensor, "1 f 3 height width"]
    poses: Float[Tensor, "1 f 12"]
    intrinsics: Float[Tensor, "1 4"]
    times: Float[Tensor, "1 f"]
    numbers: np.ndarray


def known_clip(clip: Clip) -> Float[Tensor, "1 4"]:
    """Return a clip's intrinsics. Raises ``DatasetError`` if it does not know what rendered memory is taught by."""
    there = {
        "intrinsics": clip.cameras.intrinsics is not None,
        "instance masks": clip.masks is not None and clip.masks_are_instances,
        "subjects' places": all(s.world_from_subject is not None for s in clip.subjects),
    }
    lacks = [what for what, known in there.items() if not known]
    if lacks or clip.cameras.intrinsics is None:
        raise DatasetError(
            f"clip {clip.name!r} has no {' and no '.join(lacks)}, which rendered memory is made of; use clips of "
            "`outofsight world build`, or encode with --rendered 0"
        )
    return torch.from_numpy(clip.cameras.intrinsics.normalized)[None]


def context_frames(clip: Clip, start: int = 0) -> ClipFrames:
    """Take the frames that stand for the latent frames of the context, or of as many video frames from ``start`` on."""
    lens = known_clip(clip)
    index = np.arange(start, start + clip.num_context_frames, WAN_CLOCK.stride)
    frames = torch.from_numpy(np.ascontiguousarray(clip.video[index])).permute(0, 3, 1, 2)[None]
    return ClipFrames(frames, _cameras(clip, index), lens, torch.from_numpy(index)[None].float(), index)


def _cameras(clip: Clip, frames: slice | np.ndarray) -> Float[Tensor, "1 f 12"]:
    """Return poses in the frame of the first target camera."""
    reference = clip.cameras.world_from_camera[clip.num_context_frames]
    poses = relative_poses(clip.cameras.world_from_camera[frames], reference).reshape(1, -1, 12)
    return torch.from_numpy(poses).float()


def all_views(seen: ClipFrames) -> Views:
    """Take every frame for a view of which nothing is known to move."""
    nobody = torch.zeros(1, *seen.frames.shape[-2:])
    return joined([view_of(_picture(seen, index, nobody)) for index in range(len(seen.numbers))])


def clip_memory(clip: Clip, reader: MaskReader | None = None) -> ClipMemory:
    """Put a context into memory. Who is a subject is read by ``reader``; ``None``: is known."""
    seen = context_frames(clip)
    assert clip.masks is not None
    masks = clip.masks[seen.numbers]
    own = [masks == subject.subject_id for subject in clip.subjects] or [np.zeros(masks.shape, dtype=bool)]
    true = torch.from_numpy(np.stack(own, axis=1)).float()  # [f, s, height, width]
    shown = true.amax(dim=1)
    if reader is not None:
        testimony = evidence(all_views(seen), seen.frames, seen.poses, seen.intrinsics, seen.times)
        shown = reader.shares(testimony[0])
        true = max_pool2d(true, 2 * NEAR_PX + 1, 1, NEAR_PX) * shown[:, None]
    position, velocity = _courses(clip)
    cutouts = empty_cutouts(1, max(1, len(clip.subjects)))
    views = []
    for place, frame in enumerate(seen.numbers):
        picture = _picture(seen, place, shown[None, place])
        views.append(view_of(picture))
        new = cut_out(picture, true[None, place], position[:, frame], velocity[:, frame])
        cutouts = kept_best(cutouts, new)
    target = slice(clip.num_context_frames, None)
    cameras = _cameras(clip, target)
    there = torch.ones(1, cameras.shape[1], position.shape[2])
    placed = PlacedSubjects(position[:, target], velocity[:, target], there)
    size = (masks.shape[1], masks.shape[2])
    return ClipMemory(joined(views), cutouts, placed, cameras, seen.intrinsics, size)


def _picture(seen: ClipFrames, place: int, subject: Tensor) -> Picture:
    return Picture(
        seen.frames[:, place], subject, seen.poses[:, place], seen.times[:, place], seen.intrinsics
    )


def _courses(clip: Clip) -> tuple[Float[Tensor, "1 n s 3"], Float[Tensor, "1 n s 3"]]:
    """Return where subjects are and head to in every frame, in the frame of the first target camera.

    The heading is the subject's own, faster than ``SLOW_M``: a truth always knows which way somebody faces.
    """
    camera_from_world = invert_rigid(clip.cameras.world_from_camera[clip.num_context_frames])
    if not clip.subjects:
        return torch.zeros(1, len(clip.video), 1, 3), torch.zeros(1, len(clip.video), 1, 3)
    known = [s.world_from_subject for s in clip.subjects if s.world_from_subject is not None]
    places = np.stack(known, axis=1)
    inside = compose(camera_from_world, places)
    position = transform_points(camera_from_world, places[..., 3])
    return torch.from_numpy(position)[None].float(), torch.from_numpy(inside[..., 0])[None].float()


def misplaced(placed: PlacedSubjects, errors: PlaceErrors, generator: np.random.Generator) -> PlacedSubjects:
    """Move each subject of a single clip by one level error, or leave it out."""
    subjects = placed.position.shape[2]
    chance = generator.random(subjects)
    astray = chance < errors.astray_share
    missing = (chance >= errors.astray_share) & (chance < errors.astray_share + errors.missing_share)
    off = generator.standard_normal((subjects, 3)) * np.where(astray, errors.astray_m, errors.near_m)[:, None]
    off[:, 1] = 0
    shown = placed.shown * torch.from_numpy(~missing)
    return placed._replace(position=placed.position + torch.from_numpy(off).float(), shown=shown)
