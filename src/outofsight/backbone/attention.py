"""HyDRA's dynamic retrieval attention, eqs. 2 to 6: ``HydraAttnProcessor.__call__`` is one layer's whole computation.

::

    hidden states ─ + camera (2) ─┬─ query, key, value ────────────────────────┐
                                  └─ tokenizer (3) ─ memory key, value ──┬─────┤
                                                     affinity (4), top k (5)   │
                                                                         └─ softmax over [window ; slices] (6) ─ out

Every published subtlety is kept (``docs/parity.md``). Other memories add keys of their own (``extra_keys``).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.transformers.transformer_wan import WanAttention
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from outofsight.backbone.extra_keys import BankContext, ExtraKeys, join_extra, states_over_time
from outofsight.backbone.kept_context import LayerContext
from outofsight.backbone.sequence import CAMERA_DIM, AttentionContext
from outofsight.errors import InputError
from outofsight.memory.rivals import IdentityAttention
from outofsight.memory.selectors import (
    Kernel,
    MemoryTokenizer,
    mean_pooled_affinity,
    position_paired_affinity,
    top_slices,
)
from outofsight.memory.state_space import StateSpace
from outofsight.nn.rope import num_ray_features, rotate

Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""Softmax attention: query [n, q, heads, d], key and value [n, k, heads, d], a mask that is true where attended
[n, 1, 1, k] or ``None`` → [n, q, heads, d]."""


def sdpa(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attend by torch's own kernel. Shapes as in ``Attend``."""
    query, key, value = (states.transpose(1, 2) for states in (query, key, value))
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2)


class HydraAttnProcessor:
    """Dynamic retrieval attention. Source: HyDRA, eqs. 2 to 6."""

    _attention_backend = None  # set by diffusers' `set_attention_backend`
    _parallel_config = None

    def __call__(
        self,
        attn: "HydraAttention",
        hidden_states: Float[Tensor, "b s d"],
        encoder_hidden_states: None = None,
        attention_mask: None = None,
        rotary_emb: AttentionContext | BankContext | None = None,
    ) -> Float[Tensor, "b s d"]:
        # Wan's block hands its fourth argument on, by the name of what Wan puts there, a rotary table. Ours is all that
        # the layers share: so Wan's block stays as it is, and hooks that move arguments between devices find it.
        context, backend = rotary_emb, self._attention_backend
        attend: Attend = sdpa if backend is None else partial(_dispatched, backend=backend)
        if context is None:
            raise InputError("HyDRA's attention needs the context that HydraTransformer3DModel.forward makes")
        if isinstance(context, BankContext):
            return context.attend(attn, hidden_states, attend)
        states = hidden_states + attn.camera_embedding(context).to(hidden_states.dtype)  # eq. 2
        query, key, value = attn.project(states)
        memory_key, memory_value = attn.memory(states, key, value, context)  # eq. 3
        slices = choose_slices(query, memory_key, context)  # eqs. 4 and 5
        if context.log is not None:
            kept = context.kept.of(attn.layer) if context.kept is not None else None
            context.log.append(slices if kept is None else torch.cat((kept.slices, slices), dim=1))
        memory = (memory_key, memory_value)
        query, key, value, memory_key, memory_value = (
            part.unflatten(-1, (attn.heads, -1)) for part in (query, key, value, *memory)
        )
        query, key = rotate(query, context.rotary), rotate(key, context.rotary)
        if context.kept is not None:
            now = LayerContext(states, key, value, slices, memory if context.keeps_slices else None)
            key, value = context.kept.joined_or_kept(attn.layer, now, context.grid)
        if context.memory is not None:  # only now: affinity is of unrotated queries and keys
            slots = memory_key.shape[1:3]
            memory_key = rotate(memory_key.flatten(1, 2), context.memory.rotary).unflatten(1, slots)
        extra = attn.extra_keys(context, key)
        frame = context.grid.tokens_per_frame
        sees_all = context.windows.shape[1] * frame == key.shape[1]
        if context.memory is None and sees_all:  # nothing left to retrieve
            attended = full_attention(query, key, value, extra, attend)
        else:
            attended = retrieval_attention(  # eq. 6
                query.unflatten(1, (-1, frame)), key.unflatten(1, (-1, frame)), value.unflatten(1, (-1, frame)),
                memory_key, memory_value,
                Selection(context.windows[None], slices),
                extra=extra, frames_per_chunk=context.frames_per_chunk, attend=attend,
            ).flatten(1, 2)  # fmt: skip
        return attn.with_others(attn.project_out(attended), states, context)


def choose_slices(
    query: Float[Tensor, "b s d"], memory_key: Float[Tensor, "b m p d"], context: AttentionContext
) -> Int[Tensor, "b f k"]:
    """Return the slices that each frame retrieves, by queries and keys of all heads together, before rotation.

    Source: HyDRA, eqs. 4 (affinity) and 5 (top k).
    """
    grid, memory, settings = context.grid, context.memory, context.settings
    if memory is None or settings.affinity == "all":
        every = torch.arange(memory_key.shape[1], device=query.device)
        return every.expand(query.shape[0], grid.frames, -1)
    by_frame = query.unflatten(1, (grid.frames, grid.tokens_per_frame))
    if memory.camera_scores is not None:
        scores = memory.camera_scores
    elif settings.affinity == "mean_pooled":
        scores = mean_pooled_affinity(by_frame, memory_key)  # as published code has eq. 4
    else:
        scores = position_paired_affinity(by_frame, memory_key, grid, settings.kernel[1:])  # eq. 4
    # The choice has no gradient. What is chosen has: the tokenizer learns through eq. 6 alone.
    return top_slices(scores, memory.excluded, settings.top_k)  # eq. 5


class Selection(NamedTuple):
    """What each query frame attends to. An entry of −1 is empty and only allowed when ``padded`` is true.

    ``frames``: indices of full-resolution frames; a leading 1 shares one choice among the batch.
    ``slices``: indices of memory slices.
    """

    frames: Int[Tensor, "batch_or_1 f window"]
    slices: Int[Tensor, "batch f k"]
    padded: bool = False


def retrieval_attention(
    query: Float[Tensor, "batch f n heads d"],
    key: Float[Tensor, "batch f n heads d"],
    value: Float[Tensor, "batch f n heads d"],
    memory_key: Float[Tensor, "batch m p heads d"],
    memory_value: Float[Tensor, "batch m p heads d"],
    selection: Selection,
    *,
    extra: ExtraKeys | None = None,
    frames_per_chunk: int | None = None,
    attend: Attend = sdpa,
) -> Float[Tensor, "batch f n heads d"]:
    """Attend from every frame to its selected frames (all n tokens) and slices (all p tokens): one softmax.

    ``extra``: what every query sees beside its own.
    ``frames_per_chunk`` query frames are gathered and attended to at a time; ``None`` takes all at once, which is
    fastest and needs memory for ``f · (window · n + k · p)`` keys and as many values. The result does not depend on it.
    ``attend``: the kernel.

    Source: HyDRA, eq. 6.
    """
    size, outputs = frames_per_chunk or query.shape[1], []
    for start in range(0, query.shape[1], size):
        chunk = slice(start, start + size)
        frames, slices = selection.frames[:, chunk], selection.slices[:, chunk]
        keys = _gather(key, memory_key, frames, slices)
        values = _gather(value, memory_value, frames, slices)
        mask = _key_mask(frames, slices, key.shape[2], memory_key.shape[2]) if selection.padded else None
        if extra is not None:
            keys, values, mask = extra.appended_to(keys, values, mask)
        attended = attend(query[:, chunk].flatten(0, 1), keys, values, mask)
        outputs.append(attended.unflatten(0, (query.shape[0], -1)))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)


def full_attention(
    query: Float[Tensor, "batch n heads d"],
    key: Float[Tensor, "batch n heads d"],
    value: Float[Tensor, "batch n heads d"],
    extra: ExtraKeys | None = None,
    attend: Attend = sdpa,
) -> Float[Tensor, "batch n heads d"]:
    """Attend from every token to every token, and to ``extra``."""
    if extra is None:
        return attend(query, key, value, None)
    return attend(query, *extra.appended_to(key, value, None))


def _dispatched(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, backend: object) -> Tensor:
    """Attend by a backend that the user chose in diffusers (FlashAttention, SageAttention, ...)."""
    return dispatch_attention_fn(query, key, value, attn_mask=mask, backend=backend)


def _gather(full: Tensor, memory: Tensor, frames: Tensor, slices: Tensor) -> Tensor:
    """Lay the selected frames and slices of every query frame side by side: [batch · f, keys, heads, d]."""
    near, far = _chosen(full, frames), _chosen(memory, slices)
    return torch.cat((near.flatten(2, 3), far.flatten(2, 3)), dim=2).flatten(0, 1)


def _chosen(states: Tensor, indices: Tensor) -> Tensor:
    """Return entries of [batch, entries, ...] by [batch or 1, f, k]: [batch, f, k, ...]. A −1 reads the last."""
    batch, entries = states.shape[:2]
    indices = torch.where(indices < 0, indices + entries, indices)
    # One index over batch and entries: its gradient is added up several times as fast as that of two indices.
    indices = indices + entries * torch.arange(batch, device=indices.device)[:, None, None]
    chosen = states.flatten(0, 1).index_select(0, indices.flatten())
    return chosen.unflatten(0, indices.shape)


def _key_mask(frames: Tensor, slices: Tensor, tokens_per_frame: int, tokens_per_slice: int) -> Tensor:
    """Return [batch · f, 1, 1, keys], true where the entry is not empty."""
    near = (frames >= 0).repeat_interleave(tokens_per_frame, dim=-1)
    far = (slices >= 0).repeat_interleave(tokens_per_slice, dim=-1)
    near = near.expand(far.shape[0], -1, -1)
    return torch.cat((near, far), dim=-1).flatten(0, 1)[:, None, None]


class HydraAttention(WanAttention):
    """Wan's self-attention with HyDRA's four additions: two camera encoders, tokenizer, projector.

    At the start the camera encoders add nothing and the projector changes nothing, so that training starts from
    Wan. ``ray_octaves``: above 0, tokens also know the ray that they look along; ``reads_identity``: they also look at
    identity tokens; ``has_state_space``: every place carries a state (none of these is in the paper).

    Source: HyDRA, section 4.
    """

    _default_processor_cls = HydraAttnProcessor
    _available_processors = [HydraAttnProcessor]  # noqa: RUF012 - diffusers' own class attribute

    def __init__(
        self,
        dim: int,
        heads: int,
        eps: float,
        kernel: Kernel,
        ray_octaves: int = 0,
        *,
        reads_identity: bool = False,
        has_state_space: bool = False,
    ) -> None:
        super().__init__(dim=dim, heads=heads, dim_head=dim // heads, eps=eps, processor=HydraAttnProcessor())
        self.context_camera_encoder = nn.Linear(CAMERA_DIM, dim)
        self.target_camera_encoder = nn.Linear(CAMERA_DIM, dim)
        self.tokenizer = MemoryTokenizer(dim, kernel)
        self.projector = nn.Linear(dim, dim)
        self.ray_encoder = nn.Linear(num_ray_features(ray_octaves), dim) if ray_octaves else None
        for encoder in (self.context_camera_encoder, self.target_camera_encoder, self.ray_encoder):
            if encoder is not None:
                nn.init.zeros_(encoder.weight)
                nn.init.zeros_(encoder.bias)
        self.layer = 0  # set by the transformer: its place among the blocks
        self.identity_attention = IdentityAttention(dim, heads) if reads_identity else None
        self.state_space = StateSpace(dim) if has_state_space else None
        nn.init.eye_(self.projector.weight)
        nn.init.zeros_(self.projector.bias)

    def set_processor(self, processor: object) -> None:
        """Set the processor; refuse one that would drop the memory.

        Raises:
            InputError: ``processor`` is not a ``HydraAttnProcessor``.
        """
        if not isinstance(processor, HydraAttnProcessor):
            raise InputError(
                f"{type(processor).__name__} would silently drop HyDRA's memory and cameras from self-attention; "
                "use a HydraAttnProcessor (a subclass, or set_attention_backend for a faster kernel)"
            )
        super().set_processor(processor)

    def camera_embedding(self, context: AttentionContext) -> Float[Tensor, "b s d"]:
        """Embed every frame's pose and repeat it for the frame's tokens, and add what rays say, if they are read.

        Source: HyDRA, eq. 2.
        """
        grid, parts = context.grid, []
        if grid.context_frames:
            parts.append(self.context_camera_encoder(context.context_cameras))
        if grid.context_frames < grid.frames:
            parts.append(self.target_camera_encoder(context.target_cameras))
        embedding = torch.cat(parts, dim=1).repeat_interleave(grid.tokens_per_frame, dim=1)
        if context.rays is None or self.ray_encoder is None:
            return embedding
        return embedding + self.ray_encoder(context.rays)

    def project(self, states: Float[Tensor, "b s d"]) -> tuple[Tensor, Tensor, Tensor]:
        """Return normalised query, normalised key and value, each [b, s, d], before rotation."""
        if self.fused_projections:
            query, key, value = self.to_qkv(states).chunk(3, dim=-1)
        else:
            query, key, value = self.to_q(states), self.to_k(states), self.to_v(states)
        return self.norm_q(query), self.norm_k(key), value

    def memory(
        self, states: Float[Tensor, "b s d"], key: Tensor, value: Tensor, context: AttentionContext
    ) -> tuple[Float[Tensor, "b m p d"], Float[Tensor, "b m p d"]]:
        """Make memory slices of the layer's states: normalised key and value, before rotation.

        ``key``, ``value``: the sequence's own; no slices are like those, and none.

        Source: HyDRA, eq. 3.
        """
        if context.memory is None:
            return key[:, :0, None], value[:, :0, None]
        source, kept = context.memory.source, None
        if context.kept is not None and (kept := context.kept.of(self.layer)) is not None:
            if kept.memory is not None:
                return kept.memory
            states = torch.cat((kept.states, states), dim=1)
        # Of states that carry the camera, so a slice knows where it was seen from; and by the frames' own projections.
        memory = self.tokenizer(states[:, : source.num_tokens], source)
        return self.norm_k(self.to_k(memory)), self.to_v(memory)

    def project_out(self, attended: Float[Tensor, "b s heads head_dim"]) -> Float[Tensor, "b s d"]:
        """Join the heads, and apply Wan's output layers and HyDRA's projector."""
        attended = attended.flatten(-2)
        for layer in self.to_out:
            attended = layer(attended)
        projected: Tensor = self.projector(attended)
        return projected

    def extra_keys(self, context: AttentionContext, like: Tensor) -> ExtraKeys | None:
        """Return what other memories add to every query's keys: state tokens, which have no place and are not rotated,
        and what the two banks give this layer."""
        state = None
        if context.extra.state is not None:
            key, value = self.norm_k(self.to_k(context.extra.state)), self.to_v(context.extra.state)
            state = ExtraKeys(key.unflatten(-1, (self.heads, -1)), value.unflatten(-1, (self.heads, -1)))
        banks = context.banks.of(self.layer, like) if context.banks is not None else None
        return join_extra(state, banks)

    def with_others(
        self, output: Float[Tensor, "b s d"], states: Float[Tensor, "b s d"], context: AttentionContext
    ) -> Float[Tensor, "b s d"]:
        """Add what other memories give beside the softmax: a state for each place, a look at identity tokens."""
        if self.state_space is not None:
            output = output + states_over_time(self, states, context.grid, context.extra.older, context.kept)
        if self.identity_attention is None or context.extra.identity is None:
            return output
        return output + self.identity_attention(states, context.extra.identity, context.extra.identity_known)
