"""HyDRA's self-attention as a diffusers attention module and processor."""

from collections import deque
from functools import partial
from typing import NamedTuple

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.transformers.transformer_wan import WanAttention
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from outofsight.backbone.kept_context import KeptContext, LayerContext
from outofsight.errors import InputError
from outofsight.memory.banks.state import Recall
from outofsight.memory.rivals import IdentityAttention
from outofsight.memory.selectors import (
    Kernel,
    MemoryTokenizer,
    mean_pooled_affinity,
    position_paired_affinity,
    top_slices,
)
from outofsight.memory.settings import MemorySettings
from outofsight.memory.state_space import StateSpace
from outofsight.nn.retrieval_attention import (
    Attend,
    MoreKeys,
    Selection,
    full_attention,
    join_more,
    retrieval_attention,
    sdpa,
)
from outofsight.nn.rope import RotaryTable, num_ray_features, rotate
from outofsight.types import LatentGrid

CAMERA_DIM = 12


class RetrievalLog:
    """Collects what each layer retrieved, in the order of the layers."""

    def __init__(self) -> None:
        self._slices: list[Tensor] = []

    def add(self, slices: Int[Tensor, "b f k"]) -> None:
        self._slices.append(slices.detach())

    def stacked(self) -> Int[Tensor, "b layers f k"]:
        return torch.stack([slices.to(self._slices[0].device) for slices in self._slices], dim=1)


class MemoryGuide(NamedTuple):
    """What the layers of one forward share about memory slices.

    ``source``: the part of the sequence that slices are made of, from its first frame on. ``excluded``: slices that a
    frame must not choose. ``camera_scores``: scores that depend on cameras alone, or ``None`` where each layer
    scores by itself.
    """

    source: LatentGrid
    rotary: RotaryTable
    excluded: Bool[Tensor, "f m"]
    camera_scores: Float[Tensor, "b f m"] | None


class OlderFrames(NamedTuple):
    """Context frames that are not in the sequence, oldest first: embedded patches, poses, and what rays say of them."""

    tokens: Float[Tensor, "b p n d"]
    cameras: Float[Tensor, "b p 12"]
    rays: Float[Tensor, "b s r"] | None


class ExtraTokens(NamedTuple):
    """Memories beside the sequence. ``state``: more keys and values for every query. ``identity``: read by a
    cross-attention of its own, where ``identity_known``. ``older``: what blocks with a state space read first."""

    state: Float[Tensor, "b e d"] | None
    identity: Float[Tensor, "b n d"] | None
    identity_known: Bool[Tensor, "b n"] | None
    older: OlderFrames | None = None


class BankKeys(NamedTuple):
    """What recalled tokens of the two banks are to every layer: rotated keys, and values; they serve all denoising
    steps of a chunk. ``known``: which tokens there are."""

    keys: tuple[Float[Tensor, "b e heads d"], ...]
    values: tuple[Float[Tensor, "b e heads d"], ...]
    known: Bool[Tensor, "b e"]

    def of(self, layer: int, like: Tensor) -> MoreKeys:
        """Return a layer's, in the dtype and on the device of its own keys."""
        return MoreKeys(self.keys[layer].to(like), self.values[layer].to(like), self.known.to(like.device))


class RecallGuide(NamedTuple):
    """What the attention layers share when they work on recalled tokens alone. ``seen``: which token sees which.
    ``kept`` receives the layer's keys and values; no list, which offloading hooks would copy."""

    recall: Recall
    rotary: RotaryTable
    rays: Float[Tensor, "b e n"] | None
    seen: Bool[Tensor, "b 1 e e"]
    kept: deque[Tensor]


class AttentionGuide(NamedTuple):
    """All that the attention layers of one forward share. It travels where diffusers passes rotary embeddings.

    ``memory``: ``None`` where no slices are made. ``rays``: what ``ray_features`` says of every token, or ``None``.
    ``banks``: what the two banks have recalled, or ``None``. ``context``: where the layers keep what the context is to
    them, or, once it is made, find it: then the sequence is the target alone.
    """

    grid: LatentGrid
    settings: MemorySettings
    rotary: RotaryTable
    context_cameras: Float[Tensor, "b c 12"]
    target_cameras: Float[Tensor, "b t 12"]
    windows: Int[Tensor, "f w"]
    memory: MemoryGuide | None
    rays: Float[Tensor, "b s n"] | None
    extra: ExtraTokens
    banks: BankKeys | None
    frames_per_chunk: int | None
    log: RetrievalLog | None
    context: KeptContext | None = None


class HydraAttnProcessor:
    """Dynamic retrieval attention: camera embedding, memory tokens, selection, one softmax, projector.

    Source: HyDRA, eqs. 2 to 6; every published subtlety is kept (see ``docs/parity.md``).
    """

    _attention_backend = None  # set by diffusers' `set_attention_backend`
    _parallel_config = None

    def __call__(
        self,
        attn: "HydraAttention",
        hidden_states: Float[Tensor, "b s d"],
        encoder_hidden_states: None = None,
        attention_mask: None = None,
        rotary_emb: AttentionGuide | RecallGuide | None = None,
    ) -> Float[Tensor, "b s d"]:
        if rotary_emb is None:
            raise InputError("HyDRA's attention needs the guide that HydraTransformer3DModel.forward makes")
        guide = rotary_emb
        if isinstance(guide, RecallGuide):
            return self._recalled(attn, hidden_states, guide)
        states = hidden_states + attn.camera_embedding(guide).to(hidden_states.dtype)
        query, key, value = (part.unflatten(-1, (attn.heads, -1)) for part in attn.project(states))
        kept = _kept(attn.layer, guide)
        memory, slices = self._memory(attn, states, query, guide, kept)
        if guide.log is not None:
            guide.log.add(slices if kept is None else torch.cat((kept.slices, slices), dim=1))
        query, key = rotate(query, guide.rotary), rotate(key, guide.rotary)
        if kept is not None:
            key, value = torch.cat((kept.key, key), dim=1), torch.cat((kept.value, value), dim=1)
        elif guide.context is not None:
            guide.context.layers[attn.layer] = _context_of(states, key, value, slices, memory, guide)
        recalled = guide.banks.of(attn.layer, key) if guide.banks is not None else None
        more = join_more(attn.state_keys(guide.extra), recalled)
        if guide.memory is None and guide.windows.shape[1] * guide.grid.tokens_per_frame == key.shape[1]:
            attended = full_attention(query, key, value, more, self._attend_function())
        else:
            by_frame = (-1, guide.grid.tokens_per_frame)
            attended = retrieval_attention(
                query.unflatten(1, by_frame),
                key.unflatten(1, by_frame),
                value.unflatten(1, by_frame),
                *memory[1:],
                Selection(guide.windows[None], slices),
                more=more,
                frames_per_chunk=guide.frames_per_chunk,
                attend=self._attend_function(),
            ).flatten(1, 2)
        attended = attn.give_out(attended)
        if attn.state_space is not None:
            attended = attended + attn.over_time(states, guide)
        if attn.identity_attention is None or guide.extra.identity is None:
            return attended
        return attended + attn.identity_attention(states, guide.extra.identity, guide.extra.identity_known)

    def _recalled(
        self, attn: "HydraAttention", hidden_states: Float[Tensor, "b e d"], guide: RecallGuide
    ) -> Float[Tensor, "b e d"]:
        """Let recalled tokens see each other, and keep the keys and values that they are to the video."""
        states = hidden_states + attn.recalled_embedding(guide).to(hidden_states.dtype)
        query, key, value = (part.unflatten(-1, (attn.heads, -1)) for part in attn.project(states))
        query, key = rotate(query, guide.rotary), rotate(key, guide.rotary)
        guide.kept.extend((key, value))
        return attn.give_out(self._attend_function()(query, key, value, guide.seen))

    def _memory(
        self,
        attn: "HydraAttention",
        states: Tensor,
        query: Tensor,
        guide: AttentionGuide,
        kept: LayerContext | None,
    ) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        """Make memory slices: keys before [b, m, p, d] and after rotation, values [b, m, p, heads, d each], and each
        frame's choice [b, f, k]."""
        if guide.memory is None:
            nothing = query.new_zeros(query.shape[0], 0, 1, *query.shape[2:])
            none = torch.zeros(query.shape[0], guide.grid.frames, 0, dtype=torch.long, device=query.device)
            return (nothing, nothing, nothing), none
        if kept is not None and kept.memory is not None:
            made = kept.memory
        else:
            made = _slices(
                attn, states if kept is None else torch.cat((kept.states, states), dim=1), guide.memory
            )
        return made, _choose_slices(query.flatten(-2), made[0], guide.memory, guide)

    def _attend_function(self) -> Attend:
        if self._attention_backend is None:
            return sdpa
        return partial(_dispatched, backend=self._attention_backend)


def _slices(attn: "HydraAttention", states: Tensor, memory: MemoryGuide) -> tuple[Tensor, Tensor, Tensor]:
    """Make slices' keys before and after rotation, and values, of the first frames of ``states``."""
    tokens = attn.tokenizer(states[:, : memory.source.num_tokens], memory.source)
    key, value = attn.norm_k(attn.to_k(tokens)), attn.to_v(tokens)
    by_head, value = (part.unflatten(-1, (attn.heads, -1)) for part in (key, value))
    rotated = rotate(by_head.flatten(1, 2), memory.rotary).unflatten(1, key.shape[1:3])
    return key, rotated, value


def _kept(layer: int, guide: AttentionGuide) -> LayerContext | None:
    """Return what the context was to a layer, once that is made."""
    return guide.context.layers[layer] if guide.context is not None and guide.context.is_made else None


def _context_of(
    states: Tensor,
    key: Tensor,
    value: Tensor,
    slices: Tensor,
    memory: tuple[Tensor, Tensor, Tensor],
    guide: AttentionGuide,
) -> LayerContext:
    """Say what the context is to a layer in a forward of the whole sequence."""
    frames = guide.grid.context_frames
    tokens = frames * guide.grid.tokens_per_frame
    alone = guide.memory is not None and guide.memory.source.frames <= frames
    return LayerContext(
        states[:, :tokens], key[:, :tokens], value[:, :tokens], slices[:, :frames], memory if alone else None
    )


def _dispatched(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, backend: object) -> Tensor:
    """Attend by a backend that the user chose in diffusers (FlashAttention, SageAttention, ...)."""
    return dispatch_attention_fn(query, key, value, attn_mask=mask, backend=backend)


def _choose_slices(
    query: Float[Tensor, "b s d"],
    memory_key: Float[Tensor, "b m p d"],
    memory: MemoryGuide,
    guide: AttentionGuide,
) -> Int[Tensor, "b f k"]:
    grid, settings = guide.grid, guide.settings
    if settings.affinity == "all":
        every = torch.arange(memory_key.shape[1], device=query.device)
        return every.expand(query.shape[0], grid.frames, -1)
    if memory.camera_scores is not None:
        scores = memory.camera_scores
    else:
        by_frame = query.unflatten(1, (grid.frames, grid.tokens_per_frame))
        if settings.affinity == "mean_pooled":
            scores = mean_pooled_affinity(by_frame, memory_key)
        else:
            scores = position_paired_affinity(by_frame, memory_key, grid, settings.kernel[1:])
    return top_slices(scores, memory.excluded, settings.top_k)


class HydraAttention(WanAttention):
    """Wan's self-attention with HyDRA's four additions.

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

    def camera_embedding(self, guide: AttentionGuide) -> Float[Tensor, "b s d"]:
        """Embed every frame's pose and repeat it for the frame's tokens, and add what rays say, if they are read.

        Source: HyDRA, eq. 2.
        """
        parts = []
        if guide.grid.context_frames:
            parts.append(self.context_camera_encoder(guide.context_cameras))
        if guide.grid.context_frames < guide.grid.frames:
            parts.append(self.target_camera_encoder(guide.target_cameras))
        embedding = torch.cat(parts, dim=1).repeat_interleave(guide.grid.tokens_per_frame, dim=1)
        if guide.rays is None or self.ray_encoder is None:
            return embedding
        return embedding + self.ray_encoder(guide.rays)

    def recalled_embedding(self, guide: RecallGuide) -> Float[Tensor, "b e d"]:
        """Embed the camera and the ray of every recalled token: views by the context's encoder, subjects, who are given
        for a coming view, by the target's."""
        recall = guide.recall
        poses = recall.poses.to(self.context_camera_encoder.weight.dtype)
        embedding: Tensor = torch.where(
            recall.subjects[..., None], self.target_camera_encoder(poses), self.context_camera_encoder(poses)
        )
        if guide.rays is None or self.ray_encoder is None:
            return embedding
        return embedding + self.ray_encoder(guide.rays)

    def state_keys(self, extra: ExtraTokens) -> MoreKeys | None:
        """Return key and value [b, e, heads, d each] of the state tokens, which have no place and are not rotated."""
        if extra.state is None:
            return None
        key, value = self.norm_k(self.to_k(extra.state)), self.to_v(extra.state)
        return MoreKeys(key.unflatten(-1, (self.heads, -1)), value.unflatten(-1, (self.heads, -1)))

    def over_time(self, states: Float[Tensor, "b s d"], guide: AttentionGuide) -> Float[Tensor, "b s d"]:
        """Tell every token what its place's state is, after the older frames and those before its own."""
        assert self.state_space is not None
        kept, older = guide.context, guide.extra.older
        if kept is not None and kept.is_made:
            state = kept.states.get(self.layer)
        else:
            state = None if older is None else self.state_space.read(self._embedded(older))
        frames = states.unflatten(1, (guide.grid.frames, guide.grid.tokens_per_frame))
        told, after = self.state_space(frames, state)
        if kept is not None and not kept.is_made and guide.grid.context_frames:
            kept.states[self.layer] = after[:, guide.grid.context_frames - 1]
        return told.flatten(1, 2)

    def _embedded(self, older: OlderFrames) -> Float[Tensor, "b p n d"]:
        """Add cameras and rays to the tokens of frames that are not in the sequence."""
        cameras = self.context_camera_encoder(older.cameras)[:, :, None]
        tokens = older.tokens + cameras.to(older.tokens.dtype)
        if older.rays is None or self.ray_encoder is None:
            return tokens
        return tokens + self.ray_encoder(older.rays).unflatten(1, tokens.shape[1:3])

    def give_out(self, attended: Float[Tensor, "b s heads head_dim"]) -> Float[Tensor, "b s d"]:
        """Join the heads, and apply the output layers and the projector."""
        attended = attended.flatten(-2)
        for layer in self.to_out:
            attended = layer(attended)
        projected: Tensor = self.projector(attended)
        return projected

    def project(self, states: Float[Tensor, "b s d"]) -> tuple[Tensor, Tensor, Tensor]:
        """Return normalised query, normalised key and value, each [b, s, d], before rotation."""
        if self.fused_projections:
            query, key, value = self.to_qkv(states).chunk(3, dim=-1)
        else:
            query, key, value = self.to_q(states), self.to_k(states), self.to_v(states)
        return self.norm_q(query), self.norm_k(key), value
