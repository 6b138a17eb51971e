"""What the recogniser learns: masks, kinds, and vectors near for the same individual or place and far for others."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize

from outofsight.perception.network import RecogniserNetwork, Seen, pooled
from outofsight.training.recogniser_batches import NO_KIND
from outofsight.training.recogniser_task import RecogniserTask

DICE_SMOOTHING_PX = 8.0
"""Keeps the overlap's gradient finite for small subjects and for frames without any."""


class RecogniserObjective(nn.Module):
    """Give every sample's loss. ``forward`` takes what ``RecogniserBatches`` makes.

    The contrast is among the samples that one process sees at once: more processes, or ``batch.accumulation``, make
    it easier.
    """

    def __init__(self, network: RecogniserNetwork, task: RecogniserTask) -> None:
        super().__init__()
        self.network = network
        self.task = task

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Float[Tensor, " b"]]:
        samples, views = batch["frames"].shape[:2]
        seen: Seen = self.network(batch["frames"].flatten(0, 1))
        ids, task = batch["ids"].flatten(0, 1), self.task
        mask = mask_loss(seen.mask_logits.float(), ids > 0).view(samples, views).mean(dim=1)
        who = self._individuals(seen, batch)
        kind = mean_by_sample(
            cross_entropy(who["kind_logits"], who["kinds"], reduction="none"), who["samples"], samples
        )
        individual = who["samples"] * task.subjects_per_clip + who["places"]
        identity = mean_by_sample(
            contrast(who["identities"], individual, task.temperature), who["samples"], samples
        )
        own = batch["own_backdrop"].flatten()
        clips = torch.arange(samples, device=own.device).repeat_interleave(views)[own]
        picture = mean_by_sample(contrast(seen.pictures[own], clips, task.temperature), clips, samples)
        loss = (
            task.mask_weight * mask
            + task.kind_weight * kind
            + task.identity_weight * identity
            + task.picture_weight * picture
        )
        parts = {"mask": mask, "kind": kind, "identity": identity, "picture": picture}
        return {"loss": loss, **{name: value.detach() for name, value in parts.items()}}

    def _individuals(self, seen: Seen, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Gather every subject of every view that is large enough, one row each."""
        views = batch["frames"].shape[1]
        ids, kinds = batch["ids"].flatten(0, 1), batch["kinds"].repeat_interleave(views, dim=0)
        places = torch.arange(kinds.shape[1], device=ids.device)
        masks = ids[:, None] == (places + 1)[None, :, None, None]  # [b·v, s, h, w]
        large = (masks.flatten(2).sum(dim=2) >= self.task.least_px) & (kinds != NO_KIND)
        frame, place = large.nonzero(as_tuple=True)
        chosen = masks[frame, place]
        return {
            "samples": frame // views,
            "places": place,
            "kinds": kinds[frame, place],
            "kind_logits": pooled(seen.kind_logits[frame], chosen),
            "identities": normalize(pooled(seen.identities[frame], chosen), dim=-1),
        }


def mask_loss(logits: Float[Tensor, "n h w"], masks: Bool[Tensor, "n h w"]) -> Float[Tensor, " n"]:
    """Return each picture's cross entropy a pixel plus 1 − 2 |p ∧ m| / (|p| + |m|), both smoothed by some pixels.

    Source: Milletari et al. 2016 (the overlap as a loss).
    """
    truth = masks.float()
    entropy = binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(dim=(1, 2))
    probability = logits.sigmoid()
    shared = (probability * truth).sum(dim=(1, 2))
    total = probability.sum(dim=(1, 2)) + truth.sum(dim=(1, 2))
    return entropy + 1 - (2 * shared + DICE_SMOOTHING_PX) / (total + DICE_SMOOTHING_PX)


def contrast(
    vectors: Float[Tensor, "n d"], labels: Int[Tensor, " n"], temperature: float
) -> Float[Tensor, " n"]:
    """Return each vector's loss: −log of the share of e^(cosine / temperature) that its fellows have, their mean.

    Vectors of length 1. One without fellows, or among its fellows alone, has nothing to learn: 0.
    Source: Khosla et al. 2020, eq. 2 (supervised contrastive, the mean outside the logarithm).
    """
    others = ~torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    fellows = (labels[:, None] == labels[None]) & others
    with torch.autocast(vectors.device.type, enabled=False):  # bfloat16 would round cosines to 1/256
        likeness = (vectors.float() @ vectors.float().T / temperature).masked_fill(~others, float("-inf"))
    log_share = likeness - likeness.logsumexp(dim=1, keepdim=True) if len(vectors) > 1 else likeness
    count = fellows.sum(dim=1)
    loss = -log_share.masked_fill(~fellows, 0).sum(dim=1) / count.clamp(min=1)
    told = (count > 0) & (count < len(vectors) - 1)
    return torch.where(told, loss, torch.zeros_like(loss))


def mean_by_sample(
    values: Float[Tensor, " n"], samples: Int[Tensor, " n"], num_samples: int
) -> Float[Tensor, " b"]:
    """Average the values of each sample; 0 for a sample that has none."""
    total = values.new_zeros(num_samples).index_add(0, samples, values)
    count = values.new_zeros(num_samples).index_add(0, samples, torch.ones_like(values))
    return total / count.clamp(min=1)
