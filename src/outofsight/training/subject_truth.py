"""What is true of a clip's subjects in its latent frames: for losses and figures of a memory that tracks them."""

from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from outofsight.data.latent_cache import LatentSample
from outofsight.errors import DatasetError, InputError
from outofsight.geometry.poses import invert_rigid, transform_points
from outofsight.memory.banks.two_banks import latent_times
from outofsight.memory.rivals import SEEN_SHARE

PREFIX = "truth/"


class SubjectTruth(NamedTuple):
    """Subjects of a batch of clips, in the order of their annotation; f latent frames, context first.

    ``shares``: of every latent pixel, how much of it the subject covers, 0 to 1. ``position``: of its origin in the
    anchor frame (the first target camera's; OpenCV axes, metres), ``velocity`` there, metres a video frame; both at
    ``times``, in video frames. ``known``: false where a clip has fewer subjects than another. ``kind``: a number for
    its name, equal for subjects that look alike.
    """

    shares: Float[Tensor, "b s f h w"]
    position: Float[Tensor, "b s f 3"]
    velocity: Float[Tensor, "b s f 3"]
    known: Bool[Tensor, "b s"]
    kind: Int[Tensor, "b s"]
    times: Float[Tensor, "b f"]

    @property
    def seen(self) -> Bool[Tensor, "b s f"]:
        """Whether a subject covers enough of the picture to be read there."""
        return self.shares.flatten(3).sum(dim=3) >= SEEN_SHARE

    def of_tokens(self, patch: tuple[int, int]) -> Float[Tensor, "b s f rows columns"]:
        """Return each subject's share of every video token of ``patch`` latent pixels."""
        return avg_pool2d(self.shares.flatten(0, 2)[:, None], patch)[:, 0].unflatten(0, self.shares.shape[:3])

    def batch(self) -> dict[str, Tensor]:
        """Give its parts by names that a batch carries."""
        return {PREFIX + name: value for name, value in self._asdict().items()}


def truth_of(batch: dict[str, Tensor]) -> SubjectTruth:
    """Take the truth out of a batch. Raises ``InputError`` if it has none."""
    if f"{PREFIX}position" not in batch:
        raise InputError(
            "this batch does not tell the truth of its subjects; make it for a task with memory_losses"
        )
    return SubjectTruth(**{name: batch[PREFIX + name] for name in SubjectTruth._fields})


def subject_truth(samples: Sequence[LatentSample]) -> SubjectTruth:
    """Read the truth of some samples of one length and size.

    Raises:
        DatasetError: a sample does not know where its subjects, or its cameras, are.
    """
    each = [_of_sample(sample) for sample in samples]
    most = max(len(own.known) for own in each)

    def stacked(name: str) -> Tensor:
        values = [getattr(own, name) for own in each]
        return torch.stack([pad(own, [0, 0] * (own.ndim - 1) + [0, most - len(own)]) for own in values])

    parts = {name: stacked(name) for name in SubjectTruth._fields if name != "times"}
    return SubjectTruth(**parts, times=torch.stack([own.times for own in each]))


def _of_sample(sample: LatentSample) -> SubjectTruth:
    """The truth of one sample, without the batch axis; one unknown subject where it has none."""
    context, target = sample.context_latents.shape[1], sample.target_latents.shape[1]
    places = _places(sample, context, target)
    named = list(sample.facts.get("subjects", ()))
    if sample.subject_ids is None or sample.subject_share is None:
        raise _missing(sample, "no subject masks")
    share = torch.from_numpy(sample.subject_share).float() / 255
    if not named:
        return _no_subjects(share, places)
    if sample.world_from_subject is None or sample.velocity_m_s is None:
        raise _missing(sample, "no positions of its subjects")
    if len(named) > 1 and not sample.facts.get("masks_are_instances", False):
        raise _missing(sample, "one mask for all its subjects")
    ids = torch.from_numpy(sample.subject_ids)
    shows = [ids > 0 if len(named) == 1 else ids == subject["id"] for subject in named]
    assert sample.world_from_camera is not None
    anchor_from_world = invert_rigid(sample.world_from_camera[places[context]])
    points = sample.world_from_subject[..., 3][:, places].reshape(-1, 3)
    position = transform_points(anchor_from_world, points).reshape(len(named), len(places), 3)
    turned = sample.velocity_m_s[:, places].astype(np.float64) @ anchor_from_world[:, :3].T
    return SubjectTruth(
        shares=torch.stack(shows).float() * share,
        position=torch.from_numpy(position).float(),
        velocity=torch.from_numpy(turned / float(sample.facts["fps"])).float(),
        known=torch.ones(len(named), dtype=torch.bool),
        kind=torch.tensor([crc32(str(subject["name"]).encode()) for subject in named]),
        times=torch.tensor(places, dtype=torch.float32),
    )


def _places(sample: LatentSample, context: int, target: int) -> list[int]:
    """The video frames that stand for a sample's latent frames."""
    if sample.world_from_camera is None:
        raise _missing(sample, "no poses of its cameras in the world")
    places = [int(time) for times in latent_times(context, target) for time in times]
    if places[-1] + 1 != (frames := len(sample.world_from_camera)):
        latent = f"{context} + {target} latent frames (one, then four for each, in each half)"
        raise _missing(sample, f"{frames} video frames for {latent}")
    return places


def _no_subjects(share: Tensor, places: list[int]) -> SubjectTruth:
    zeros = torch.zeros(1, len(places), 3)
    return SubjectTruth(
        shares=torch.zeros_like(share)[None], position=zeros, velocity=zeros.clone(),
        known=torch.zeros(1, dtype=torch.bool), kind=torch.zeros(1, dtype=torch.long),
        times=torch.tensor(places, dtype=torch.float32),
    )  # fmt: skip


def _missing(sample: LatentSample, what: str) -> DatasetError:
    return DatasetError(
        f"sample {sample.name!r} has {what}, by which a memory that tracks subjects is trained; encode clips of our "
        "worlds (outofsight world build), or set task.memory_losses.* to 0"
    )
