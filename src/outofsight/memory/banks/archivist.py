"""The archivist: which slot a new view of the static world goes to, and how it is merged into what is there.

A new slice goes, in this order::

    least of it is static?      → nothing is written
    a slot is relevant enough   → merged into the most relevant one
    a slot is free              → copied there
    a slot is not pinned        → copied over the least useful of those
    all are pinned              → nothing is written

A pinned slot is never dropped; it goes on learning by merges.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import layer_norm, silu

from outofsight.geometry.frustum import frustum_overlap
from outofsight.memory.banks.state import Archive, BankSettings, by_slot, entries_at, first_of, surely_none
from outofsight.nn.cameras import Lenses, view_points
from outofsight.nn.precision import full_precision

VIEW_SAMPLES = (3, 4, 24)
"""Depths, rows and columns by which a common view is measured: a pan is measured to 1/24 of the picture's width."""

ALONE_SAMPLES = (4, 4, 6)
"""The same, coarser, where every two slots of a full bank are compared."""

LEAST_STATIC = 0.1
"""A slice whose tokens are less static than this on average shows hardly any place, and is not written."""

USE_HALF_LIFE_FRAMES = 160.0
"""After so many video frames without being retrieved a slot's use counts half."""

GATE_WIDTH = 32
GATE_BIAS = 3.0
"""The gate begins at sigmoid(3) = 0.953 for every merge."""


class Slice(NamedTuple):
    """One latent frame to be filed: its slice tokens, how static each is (0 to 1), its camera and its time."""

    tokens: Float[Tensor, "b p d"]
    static: Float[Tensor, "b p"]
    pose: Float[Tensor, "b 12"]
    time: Float[Tensor, " b"]


class Choice(NamedTuple):
    """Where a slice goes. ``merges``: into what the slot holds, else in its place. ``written`` false: nowhere."""

    slot: Int[Tensor, " b"]
    merges: Bool[Tensor, " b"]
    written: Bool[Tensor, " b"]


def common_view(
    slots: Float[Tensor, "b n 12"], pose: Float[Tensor, "b 12"], intrinsics: Lenses
) -> Float[Tensor, "b n"]:
    """Tell which part, 0 to 1, of their views a camera and each slot's camera have in common.

    ``min(share of a that b sees, share of b that a sees) · max(0, cos of the angle between their x axes)``, over depths
    of 1 to 30 m, evenly in their logarithm. The lesser share, since a camera far behind sees all that one in front
    of it sees, and is another view nevertheless; the angle, since a camera on its side sees the same and shows it
    otherwise.
    """
    cameras = slots.unflatten(-1, (3, 4)), pose.unflatten(-1, (3, 4))[:, None]
    return _shared(*cameras, VIEW_SAMPLES, intrinsics)[..., 0]


def _shared(
    one: Float[Tensor, "b n 3 4"],
    other: Float[Tensor, "b m 3 4"],
    samples: tuple[int, int, int],
    intrinsics: Lenses,
) -> Float[Tensor, "b n m"]:
    """Return the common view of every two cameras of one lens, by sample points of a view."""
    points = view_points(intrinsics, samples)
    with full_precision(one.device):
        one, other, lens = one.float(), other.float(), intrinsics.float()
        of_one: Tensor = frustum_overlap(one, other, points, lens)
        of_other: Tensor = frustum_overlap(other, one, points, lens)
    upright = (one[:, :, None, :, 0] * other[:, None, :, :, 0]).sum(dim=-1).clamp(min=0)
    return torch.minimum(of_one, of_other.transpose(1, 2)) * upright


def likeness(
    archive: Archive, tokens: Float[Tensor, "b p d"], static: Float[Tensor, "b p"]
) -> Float[Tensor, "b n"]:
    """Tell how alike, 0 to 1, a slice and each slot are where both are static.

    ``max(0, cos(Σ w·c, Σ w·m))`` over the tokens c of the slice and m of the slot, w = static_c · static_m. Where the
    two have no static token in common nothing contradicts, and it is 1.
    """
    with full_precision(tokens.device):
        weight = static[:, None] * archive.static
        new = torch.einsum("bnp,bpd->bnd", weight, tokens)
        old = torch.einsum("bnp,bnpd->bnd", weight, archive.tokens)
        nothing = 1e-6
        product = (new * old).sum(dim=-1) + nothing
        return (product / (new.norm(dim=-1) * old.norm(dim=-1) + nothing)).clamp(0, 1)


def relevance(archive: Archive, new: Slice, intrinsics: Lenses) -> Float[Tensor, "b n"]:
    """Score every slot for a new slice: ``common_view · likeness``, 0 to 1; 0 for empty slots. No gradients.

    Places that look alike in other directions share no view; views of one direction from far positions share little of
    their near parts; other things at the same place are not alike.
    """
    with torch.no_grad():
        alike = likeness(archive, new.tokens, new.static)
        return common_view(archive.poses, new.pose, intrinsics) * alike * archive.filled


def usefulness(archive: Archive, pose: Float[Tensor, "b 12"], intrinsics: Lenses) -> Float[Tensor, "b n"]:
    """Tell what would be lost with each slot: ``alone · (1 + use / mean use)``.

    alone: the part of its view that no other slot has, nor the camera at ``pose`` that is about to be filed:
    Π (1 − ``common_view``), as if what each has in common with it were independent. A slot whose view another holds
    too is of no use, however often it is asked for; one that nobody has asked for keeps a place that nothing else
    shows. So a trail of views thins out, and most where nobody looks.
    """
    others = torch.cat((archive.poses, pose[:, None]), dim=1).unflatten(-1, (3, 4))
    shared = _shared(archive.poses.unflatten(-1, (3, 4)), others, ALONE_SAMPLES, intrinsics)
    present = torch.cat((archive.filled, torch.ones_like(archive.filled[:, :1])), dim=1)
    itself = torch.eye(present.shape[1], device=pose.device, dtype=torch.bool)[:-1]
    alone = (1 - shared * (present[:, None] & ~itself)).prod(dim=-1)
    mean_use = _mean_use(archive)[:, None]
    return alone * (1 + archive.use / torch.where(mean_use > 0, mean_use, 1.0))


def least_useful(archive: Archive, useful: Float[Tensor, "b n"]) -> Int[Tensor, " b"]:
    """Return the slot that goes when the bank is full.

    Of those not pinned, the least useful; of those the least used; of those the oldest, whose view was last written
    longest ago. Without such a slot the answer is meaningless.
    """
    candidates = archive.filled & ~archive.pinned
    for measure in (useful, archive.use, archive.times):
        lowest = measure.masked_fill(~candidates, torch.inf).amin(dim=1, keepdim=True)
        candidates = candidates & (measure <= lowest)
    return first_of(candidates)


def choose_slot(archive: Archive, new: Slice, settings: BankSettings, intrinsics: Lenses) -> Choice:
    """Choose where a slice goes, by the order that the module tells. No gradients."""
    with torch.no_grad():
        best, relevant = relevance(archive, new, intrinsics).max(dim=1)
        merges = best >= settings.relevance
        replaced = first_of(~archive.filled)
        full = archive.filled.all(dim=1)
        if not surely_none(full & ~merges):
            useless = least_useful(archive, usefulness(archive, new.pose, intrinsics))
            replaced = torch.where(full, useless, replaced)
        written = (merges | ~archive.pinned.all(dim=1)) & (new.static.mean(dim=1) >= LEAST_STATIC)
        return Choice(torch.where(merges, relevant, replaced), merges, written)


def merge_weight(new: Float[Tensor, "b p"], old: Float[Tensor, "b p"], rate: float) -> Float[Tensor, "b p"]:
    """Weigh a token by how static it is in the new slice against the slot: ``new / (rate·new + (1 − rate)·old)``.

    The merged token is then the mean of both, weighted by ``rate·new`` and ``(1 − rate)·old``: 1 where they are equally
    static; 0 where the new one shows a subject; up to 1/rate where the slot held one, of whom nothing shall stay.
    """
    return new / (rate * new + (1 - rate) * old).clamp(min=1e-6)


def write_slice(
    archive: Archive, new: Slice, choice: Choice, gate: Float[Tensor, " b"], settings: BankSettings
) -> Archive:
    """File a slice where it was chosen to go: ``m' = m + α·g·w·(c − m)``, or a copy of it. Gradients flow.

    α: ``archive_rate``; g: ``gate``; w: ``merge_weight`` of each token, by which ``static`` is merged too. A slot that
    is merged into keeps its pose, so that it does not wander off with a slow pan, and takes the new time: its place was
    seen again. A slot that is written anew begins with the mean use of all that are filled, so that it is not the
    first to go.
    """
    slot, rate = choice.slot, settings.archive_rate
    old, old_static = entries_at(archive.tokens, slot), entries_at(archive.static, slot)
    step = rate * gate.to(old.dtype)[:, None] * merge_weight(new.static, old_static, rate)
    here = torch.zeros_like(archive.filled).scatter(1, slot[:, None], choice.written[:, None])

    def put(field: Tensor, merged: Tensor, copied: Tensor) -> Tensor:
        value = torch.where(by_slot(choice.merges, copied), merged, copied)
        return torch.where(by_slot(here, field), value[:, None], field)

    return archive._replace(
        tokens=put(archive.tokens, old + step[..., None] * (new.tokens - old), new.tokens),
        static=put(archive.static, old_static + step * (new.static - old_static), new.static),
        poses=put(archive.poses, entries_at(archive.poses, slot), new.pose),
        times=put(archive.times, new.time, new.time),
        use=put(archive.use, entries_at(archive.use, slot), _mean_use(archive)),
        filled=archive.filled | here,
    )


def decay_use(archive: Archive, elapsed_frames: Float[Tensor, " b"]) -> Archive:
    """Let what a slot was good for fade: halved in ``USE_HALF_LIFE_FRAMES`` video frames."""
    return archive._replace(use=archive.use * 0.5 ** (elapsed_frames[:, None] / USE_HALF_LIFE_FRAMES))


def note_use(archive: Archive, scores: Float[Tensor, "b t n_plus_s"]) -> Archive:
    """Add to each slot's use its share of a chunk's retrieval: the mean of its scores over the coming frames."""
    share = scores.detach()[..., : archive.use.shape[1]].mean(dim=1)
    return archive._replace(use=archive.use + share)


class Gate(nn.Module):
    """Learn how much of a merge to let through, 0 to 1, from both slices' means and how static they are.

    Begins at sigmoid(``GATE_BIAS``), whatever it is given.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(2 * dim + 2, GATE_WIDTH)
        self.out = nn.Linear(GATE_WIDTH, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.constant_(self.out.bias, GATE_BIAS)

    def forward(
        self,
        old: Float[Tensor, "b p d"],
        old_static: Float[Tensor, "b p"],
        new: Float[Tensor, "b p d"],
        new_static: Float[Tensor, "b p"],
    ) -> Float[Tensor, " b"]:
        means = [
            layer_norm(static_mean(tokens, static), tokens.shape[-1:])
            for tokens, static in ((old, old_static), (new, new_static))
        ]
        clarity = [static.mean(dim=1, keepdim=True) for static in (old_static, new_static)]
        return self.out(silu(self.hidden(torch.cat((*means, *clarity), dim=-1)))).sigmoid()[:, 0]


class Archivist(nn.Module):
    """Write slices into an archive, with a learned gate. ``dim``: width of the tokens."""

    def __init__(self, dim: int, settings: BankSettings) -> None:
        super().__init__()
        self.settings = settings
        self.gate = Gate(dim)

    def write(self, archive: Archive, new: Slice, intrinsics: Lenses) -> Archive:
        """File one slice of each clip. ``intrinsics``: normalised."""
        new = Slice(*(value.to(archive.tokens.dtype) for value in new))
        choice = choose_slot(archive, new, self.settings, intrinsics)
        old, old_static = entries_at(archive.tokens, choice.slot), entries_at(archive.static, choice.slot)
        gate = self.gate(old, old_static, new.tokens, new.static)
        return write_slice(archive, new, choice, gate, self.settings)


def static_mean(tokens: Float[Tensor, "... p d"], static: Float[Tensor, "... p"]) -> Float[Tensor, "... d"]:
    """Return the mean of tokens weighted by how static they are; zeros where none is."""
    total = static.sum(dim=-1, keepdim=True).clamp(min=1e-6)
    return (static[..., None] * tokens).sum(dim=-2) / total


def _mean_use(archive: Archive) -> Float[Tensor, " b"]:
    """Return the mean use of the slots that are filled; 0 where none is."""
    return (archive.use * archive.filled).sum(dim=1) / archive.filled.sum(dim=1).clamp(min=1)
