"""What the two banks hold while a clip is unrolled, beside what is true of it: the memory's losses."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool3d

from outofsight.backbone.transformer import HydraTransformer3DModel
from outofsight.memory.banks.dynamics import PredictedSubjects
from outofsight.memory.banks.scene_reader import read_positions
from outofsight.memory.banks.state import Archive, RetrievedMemory, SceneReading, Tracks
from outofsight.memory.banks.two_banks import Observed, TwoBankMemory
from outofsight.nn.cameras import relative_to
from outofsight.nn.rope import token_rays
from outofsight.training.memory_losses import (
    NEAREST_M,
    Held,
    Pairs,
    background_loss,
    identity_loss,
    longest_absence,
    match_slots,
    own_entries,
    reading_loss,
    shown,
    shown_identity,
    split_loss,
    state_loss,
)
from outofsight.training.subject_truth import SubjectTruth
from outofsight.training.unrolling import ChunkSpan
from outofsight.types import LatentGrid


class Asked(NamedTuple):
    """What the banks gave for one chunk, before it was generated. ``archive``: as it was then."""

    span: ChunkSpan
    retrieved: RetrievedMemory
    predicted: PredictedSubjects
    archive: Archive


class Unrolled(NamedTuple):
    """A clip as the banks saw it: f frames in order, context first, and what they were asked on the way.

    ``poses``: of all latent frames, in the anchor frame. ``intrinsics``: normalised.
    """

    observed: Observed
    asked: list[Asked]
    poses: Float[Tensor, "b whole 12"]
    intrinsics: Float[Tensor, "b 4"]
    num_context: int


class Watched(NamedTuple):
    """An unrolled clip beside its truth, cut to the frames that were observed.

    ``shares``: of tokens. ``distance``: of each subject from each frame's camera, at least ``NEAREST_M``. ``seen``:
    in which frames it can be read. ``known_slots``: each subject's slot when the context ended, ``last_slots``: when
    it was last seen; −1: none.
    """

    held: Held
    shares: Float[Tensor, "b s f h w"]
    position: Float[Tensor, "b s f 3"]
    velocity: Float[Tensor, "b s f 3"]
    distance: Float[Tensor, "b s f"]
    seen: Bool[Tensor, "b s f"]
    known_slots: Int[Tensor, "b s"]
    last_slots: Int[Tensor, "b s"]


def observed_together(parts: list[Observed]) -> Observed:
    """Join what was observed in several goes."""

    def joined(many: list[tuple[Tensor, ...]]) -> list[Tensor]:
        return [torch.cat(each, dim=1) for each in zip(*many, strict=True)]

    return Observed(
        SceneReading(*joined([part.reading for part in parts])),
        Tracks(*joined([part.tracks for part in parts])),
        torch.cat([part.assigned for part in parts], dim=1),
    )


def held_in(tracks: Tracks) -> Held:
    """What losses look at of tracks [b, f, n, ...]. Who does not count yet is taught too, else nobody ever would."""
    return Held(tracks.position, tracks.velocity, tracks.covariance[..., 0], tracks.taken)


def predicted_in(predicted: PredictedSubjects) -> Held:
    filled = predicted.filled[:, None].expand(predicted.variance.shape)
    return Held(predicted.position, predicted.velocity, predicted.variance, filled)


def watched(unrolled: Unrolled, truth: SubjectTruth, patch: tuple[int, int]) -> Watched:
    """Lay the truth beside what was observed, and find out which slot is whose."""
    frames = unrolled.observed.assigned.shape[1]
    distance = distances(unrolled, truth)
    seen = (truth.seen & truth.known[..., None])[:, :, :frames]
    held = held_in(unrolled.observed.tracks)

    def slots_after(until: int) -> Int[Tensor, "b s"]:
        last, ever = last_seen_in(seen[:, :, :until])
        return match_slots(held, last, truth.position, distance, ever)

    return Watched(
        held=held,
        shares=truth.of_tokens(patch)[:, :, :frames],
        position=truth.position[:, :, :frames],
        velocity=truth.velocity[:, :, :frames],
        distance=distance[:, :, :frames],
        seen=seen,
        known_slots=slots_after(unrolled.num_context),
        last_slots=slots_after(frames),
    )


def distances(unrolled: Unrolled, truth: SubjectTruth) -> Float[Tensor, "b s whole"]:
    """Return how far each subject is from each frame's camera, at least ``NEAREST_M``."""
    origin = unrolled.poses.float().unflatten(-1, (3, 4))[..., 3]
    return (truth.position - origin[:, None]).norm(dim=-1).clamp(min=NEAREST_M)


def last_seen_in(seen: Bool[Tensor, "b s f"]) -> tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]:
    """Return the last frame in which each subject is seen (0 where it never is), and whether it ever is."""
    frames = torch.arange(seen.shape[2], device=seen.device)
    return torch.where(seen, frames, 0).amax(dim=2), seen.any(dim=2)


def bank_losses(
    transformer: HydraTransformer3DModel,
    unrolled: Unrolled,
    truth: SubjectTruth,
    target: Float[Tensor, "b channels t h w"],
    names: tuple[str, ...],
) -> dict[str, Float[Tensor, " b"]]:
    """Return the losses of these names, every sample's own."""
    view = watched(unrolled, truth, tuple(transformer.config["patch_size"][1:]))
    reading = unrolled.observed.reading
    losses: dict[str, Tensor] = {}
    if "split" in names:
        losses["split"] = split_loss(reading.dynamic, view.shares.sum(dim=1))
    if "reading" in names:
        frames = reading.dynamic.shape[1]
        positions = read_positions(reading, unrolled.poses[:, :frames], unrolled.intrinsics[:, None])
        losses["reading"] = reading_loss(positions, reading.noise, view.shares, view.position, view.distance)
    if "state" in names:
        losses["state"] = _state(unrolled, view, truth)
    if "identity" in names:
        before, after, pairs = identities(reading, unrolled.observed.tracks, view)
        losses["identity"] = identity_loss(before, after, pairs.valid & truth.known, truth.kind)
    if "background" in names:
        errors = [
            background_loss(*rebuilt_background(transformer, unrolled, asked, truth, target))
            for asked in unrolled.asked
        ]
        losses["background"] = torch.stack(errors).mean(dim=0)
    return losses


def _state(unrolled: Unrolled, view: Watched, truth: SubjectTruth) -> Float[Tensor, " b"]:
    """Mean of three: as the context is observed, as the target is observed, and as each chunk was predicted."""
    split, frames = unrolled.num_context, view.seen.shape[2]
    parts = []
    for when, slots in ((slice(0, split), view.known_slots), (slice(split, frames), view.last_slots)):
        if frames <= when.start:
            continue
        held = Held(*(value[:, when] for value in view.held))
        course = (values[:, :, when] for values in (view.position, view.velocity, view.distance))
        parts.append(state_loss(held, slots, *course))
    distance, predicted = distances(unrolled, truth), []
    for asked in unrolled.asked:
        coming = asked.span.after(split)
        last, ever = last_seen_in(view.seen[:, :, : coming.start])
        slots = match_slots(view.held, last, view.position, view.distance, ever)
        course = (values[:, :, coming] for values in (truth.position, truth.velocity, distance))
        predicted.append(state_loss(predicted_in(asked.predicted), slots, *course))
    parts.append(torch.stack(predicted).mean(dim=0))
    return torch.stack(parts).mean(dim=0)


def identities(
    reading: SceneReading, tracks: Tracks, view: Watched
) -> tuple[Float[Tensor, "b s e"], Float[Tensor, "b s e"], Pairs]:
    """Return who each subject was in its slot before its longest absence, and who it is read to be after it.

    A subject without a slot is as it was read.
    """
    pairs = longest_absence(view.seen)
    shown = [shown_identity(reading.identity, view.shares, frame) for frame in (pairs.before, pairs.after)]
    slots = match_slots(view.held, pairs.before, view.position, view.distance, pairs.valid)
    frame = pairs.before[..., None, None].expand(-1, -1, 1, tracks.identity.shape[-1])
    kept = own_entries(tracks.identity, slots).gather(2, frame)[:, :, 0]
    return torch.where((slots >= 0)[..., None], kept, shown[0]), shown[1], pairs


def rebuilt_background(
    transformer: HydraTransformer3DModel,
    unrolled: Unrolled,
    asked: Asked,
    truth: SubjectTruth,
    target: Float[Tensor, "b channels t h w"],
) -> tuple[Float[Tensor, "b t p d"], Float[Tensor, "b t p d"], Float[Tensor, "b t p"]]:
    """Return a chunk's slice tokens rebuilt of what was retrieved, the video tokens' means that they ought to be
    (``mean_tokens``), and how much each counts.

    A token counts as it is static and as what is retrieved covers its ray: what was never seen cannot be rebuilt.
    """
    memory = transformer.needed_banks()
    coming = asked.span.after(unrolled.num_context)
    with torch.no_grad():
        true, grid = mean_tokens(transformer, memory, target[:, :, asked.span.after(0)])
    height, width = truth.shares.shape[-2:]
    shares = truth.of_tokens((height // grid.height, width // grid.width))[:, :, coming]
    static = 1 - shown(shares.sum(dim=1)).flatten(2)
    poses = relative_to(unrolled.poses[:, coming], unrolled.poses[:, coming.start])
    rays = [ray.unflatten(1, true.shape[1:3]) for ray in token_rays(poses, grid, unrolled.intrinsics)]
    rebuilt = memory.rebuild(asked.archive, asked.retrieved, *rays)
    covered = memory.rebuild.covered(asked.archive, asked.retrieved, *rays)
    return rebuilt, true, static * covered.detach()


def mean_tokens(
    transformer: HydraTransformer3DModel, memory: TwoBankMemory, latents: Float[Tensor, "b channels f h w"]
) -> tuple[Float[Tensor, "b f p d"], LatentGrid]:
    """Return the means of the video tokens that one slice token stands for, and their grid.

    Not what the tokenizer makes of them: judged by itself it would learn to make what is easily predicted, and the
    transformer could no longer read it.
    """
    tokens = transformer.patch_embedding(latents.to(transformer.dtype)).float()
    kernel = memory.settings.kernel
    means = avg_pool3d(tokens, kernel, kernel)
    grid = LatentGrid(frames=means.shape[2], height=means.shape[3], width=means.shape[4])
    return means.flatten(3).permute(0, 2, 3, 1), grid
