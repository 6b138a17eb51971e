"""How a target is cut into chunks, and what later chunks see of earlier ones: chance by position, poses by chunk.

::

    latent frame    0 1 2 | 3 4 5 6 | 7 8 9 10 | 11 12 13     context 3, chunks of 4, 4 and 3
    chunk 1                 └─new─┘                           after 0 1 2
    chunk 2           history └───┘   └──new─┘                after 4 5 6: as many as the context has
    chunk 3                           history    └──new──┘
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from outofsight.errors import InputError
from outofsight.flow.matching import add_noise
from outofsight.nn.cameras import relative_to
from outofsight.training.randomness import NoiseLevels, generator_for, normal
from outofsight.training.tasks import Chunks

Batch = dict[str, Tensor]


class ChunkSpan(NamedTuple):
    """One chunk's target latent frames, counted from the target's first: ``begin`` to ``end``."""

    begin: int
    end: int

    def after(self, earlier: int) -> slice:
        """Where the chunk lies among frames of which so many come before the target."""
        return slice(earlier + self.begin, earlier + self.end)


def chunk_spans(sizes: Sequence[int]) -> list[ChunkSpan]:
    """Turn sizes into spans that follow each other."""
    ends = list(accumulate(sizes))
    return [ChunkSpan(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def drawn_sizes(chunks: Chunks, num_target: int, seed: int, step: int) -> tuple[int, ...]:
    """Draw one of the ways to cut the target; the whole batch of a step has the same.

    Raises:
        InputError: the sizes do not sum to the target's latent frames.
    """
    if not chunks.sizes:
        return (num_target,)
    sizes = chunks.sizes[int(generator_for(seed, "chunks", step).integers(len(chunks.sizes)))]
    if sum(sizes) != num_target:
        raise InputError(
            f"task.chunks.sizes {list(sizes)} make {sum(sizes)} latent frames, the samples' targets have {num_target}"
        )
    return sizes


def chunk_chance(
    chunks: Chunks,
    levels: NoiseLevels,
    shape: tuple[int, ...],
    seed: int,
    step: int,
    positions: Sequence[int],
) -> Batch:
    """Draw what an unrolled step needs. ``shape``: of one sample's target latents [channels, t, h, w].

    ``chunk_sizes`` [b, k]; ``chunk_levels`` [b, k, 3] as ``levels``, the first chunk's the sample's own;
    ``history`` [b, k, 2]: whether what follows a chunk may see the model's own estimate of it (0 or 1), and the noise
    level of the truth that it sees else; ``history_noise`` [b, channels, t, h, w].
    """
    sizes = drawn_sizes(chunks, shape[1], seed, step)
    drawn, history = [], []
    for place in positions:
        drawn.append(torch.stack([levels.draw(seed, place, chunk=k) for k in range(len(sizes))]))
        chance = generator_for(seed, "history", place).random((len(sizes), 2))
        own = chance[:, 0] < chunks.self_forcing_probability
        level = chance[:, 1] * chunks.noise_augmentation
        history.append(torch.stack((torch.from_numpy(own).float(), torch.from_numpy(level).float()), dim=1))
    return {
        "chunk_sizes": torch.tensor(sizes).expand(len(positions), -1).clone(),
        "chunk_levels": torch.stack(drawn),
        "history": torch.stack(history),
        "history_noise": torch.stack([normal(shape, seed, "history noise", place) for place in positions]),
    }


def chunk_batch(
    batch: Batch, history: Float[Tensor, "b channels f h w"], index: int, span: ChunkSpan
) -> Batch:
    """Cut one chunk out of a batch, as a batch of its own: its history in the context's place.

    ``history``: latents of everything before the chunk as the model may see it, context first. Poses become relative
    to the chunk's first camera. The first chunk keeps what the batch has.
    """
    context = batch["context_latents"].shape[2]
    window, own, new = slice(span.begin, span.begin + context), span.after(0), span.after(context)
    poses = torch.cat((batch["context_cameras"], batch["target_cameras"]), dim=1)
    if span.begin:
        poses = relative_to(poses, poses[:, new.start])
    cut = dict(batch) | {
        "context_latents": history[:, :, window],
        "target_latents": batch["target_latents"][:, :, own],
        "noise": batch["noise"][:, :, own],
        "levels": batch["chunk_levels"][:, index],
        "context_cameras": poses[:, window],
        "target_cameras": poses[:, new],
    }
    both = slice(window.start, new.stop)
    if "subject_masks" in batch:
        cut["subject_masks"] = batch["subject_masks"][:, :, both]
    if "frame_levels" in batch:
        cut["frame_levels"] = batch["frame_levels"][:, both]
        noise = torch.cat((batch["context_noise"], batch["noise"]), dim=2)
        cut["context_noise"] = noise[:, :, window]
    if "rendered" in batch:
        cut["rendered"] = batch["rendered"][:, :, own]
    if "subject_share" in batch:
        cut["subject_share"] = batch["subject_share"][:, own]
    return cut


def seen_later(
    batch: Batch,
    index: int,
    span: ChunkSpan,
    own: Float[Tensor, "b channels f h w"] | None,
    sigma: Tensor,
    most: float,
) -> Float[Tensor, "b channels f h w"]:
    """Give a chunk's latents as what follows sees them: the model's own estimate, or the truth with a little noise.

    ``own``: the estimate, or ``None`` where nothing was generated. ``sigma`` [b]: the noise level that it was made at;
    above ``most`` it is too rough to be used.
    """
    noise, level = batch["history_noise"][:, :, span.after(0)], batch["history"][:, index, 1]
    truth = add_noise(batch["target_latents"][:, :, span.after(0)], noise, level)
    if own is None:
        return truth
    use = (batch["history"][:, index, 0] > 0) & (sigma <= most)
    return torch.where(use[:, None, None, None, None], own.detach().to(truth.dtype), truth)
