"""Keys and values beside the sequence's own: how memories other than HyDRA's slices enter the same softmax.

State tokens and the two banks are keys that every query sees; identity tokens have a cross-attention of their own.
"""

from collections import deque
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import pad

from outofsight.backbone.kept_context import KeptContext
from outofsight.memory.banks.state import RetrievedMemory
from outofsight.nn.rope import RotaryTable, rotate
from outofsight.types import LatentGrid


class ExtraKeys(NamedTuple):
    """Keys and values that every query sees beside its own; ``known``: which of them there are, ``None`` for all."""

    key: Float[Tensor, "batch e heads d"]
    value: Float[Tensor, "batch e heads d"]
    known: Bool[Tensor, "batch e"] | None = None

    def appended_to(
        self, key: Tensor, value: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Append to keys and values [batch · f, keys, heads, d each] the same for all f query frames of a video.

        ``mask``: which of the given keys there are [batch · f, 1, 1, keys]; ``None``: all.
        """
        frames = key.shape[0] // self.key.shape[0]
        extra_key, extra_value = (part.repeat_interleave(frames, dim=0) for part in (self.key, self.value))
        if self.known is not None:
            known = self.known.repeat_interleave(frames, dim=0)[:, None, None]
            mask = (
                pad(known, (key.shape[1], 0), value=True)
                if mask is None
                else torch.cat((mask, known), dim=-1)
            )
        elif mask is not None:
            mask = pad(mask, (0, self.key.shape[1]), value=True)
        return torch.cat((key, extra_key), dim=1), torch.cat((value, extra_value), dim=1), mask


def join_extra(*parts: ExtraKeys | None) -> ExtraKeys | None:
    """Lay several side by side; ``None`` stands for nothing."""
    given = [part for part in parts if part is not None]
    if len(given) < 2:
        return given[0] if given else None
    known = None
    if any(part.known is not None for part in given):
        every = (part.key.new_ones(part.key.shape[:2], dtype=torch.bool) for part in given)
        pairs = zip(given, every, strict=True)
        known = torch.cat([there if part.known is None else part.known for part, there in pairs], dim=1)
    key, value = (torch.cat([part[index] for part in given], dim=1) for index in (0, 1))  # type: ignore[misc]
    return ExtraKeys(key, value, known)


class OlderFrames(NamedTuple):
    """Context frames that are not in the sequence, oldest first: embedded patches, poses, and what rays say of them."""

    tokens: Float[Tensor, "b p n d"]
    cameras: Float[Tensor, "b p 12"]
    rays: Float[Tensor, "b s r"] | None


class ExtraTokens(NamedTuple):
    """Tokens of the rivals' memories. ``state``: more keys and values for every query. ``identity``: read by a
    cross-attention of its own, where ``identity_known``. ``older``: what blocks with a state space read first."""

    state: Float[Tensor, "b e d"] | None = None
    identity: Float[Tensor, "b n d"] | None = None
    identity_known: Bool[Tensor, "b n"] | None = None
    older: OlderFrames | None = None


def states_over_time(
    attn: Any,
    states: Float[Tensor, "b s d"],
    grid: LatentGrid,
    older: OlderFrames | None,
    kept: KeptContext | None,
) -> Float[Tensor, "b s d"]:
    """Tell every token what its place's state is, after the older frames and those before its own.

    ``attn``: the layer, a ``HydraAttention`` with a state space. ``kept``: where states after the context are kept.
    """
    if kept is not None and kept.is_made:
        state = kept.states.get(attn.layer)
    else:
        state = None if older is None else attn.state_space.read(_embedded(attn, older))
    frames = states.unflatten(1, (grid.frames, grid.tokens_per_frame))
    mixed, after = attn.state_space(frames, state)
    if kept is not None and not kept.is_made and grid.context_frames:
        kept.states[attn.layer] = after[:, grid.context_frames - 1]
    output: Tensor = mixed.flatten(1, 2)
    return output


def _embedded(attn: Any, older: OlderFrames) -> Float[Tensor, "b p n d"]:
    """Add cameras and rays to the tokens of frames that are not in the sequence."""
    tokens = older.tokens + attn.context_camera_encoder(older.cameras)[:, :, None].to(older.tokens.dtype)
    if older.rays is None or attn.ray_encoder is None:
        return tokens
    rays: Tensor = attn.ray_encoder(older.rays).unflatten(1, tokens.shape[1:3])
    return tokens + rays


class BankKeys(NamedTuple):
    """What tokens retrieved from the two banks are to every layer: rotated keys, and values; they serve all denoising
    steps of a chunk. ``known``: which tokens there are."""

    keys: tuple[Float[Tensor, "b e heads d"], ...]
    values: tuple[Float[Tensor, "b e heads d"], ...]
    known: Bool[Tensor, "b e"]

    def of(self, layer: int, like: Tensor) -> ExtraKeys:
        """Return a layer's, in the dtype and on the device of its own keys."""
        return ExtraKeys(self.keys[layer].to(like), self.values[layer].to(like), self.known.to(like.device))


class BankContext(NamedTuple):
    """What the attention layers share when they work on tokens of the two banks alone.

    ``seen``: which token sees which. ``kept`` receives the layer's keys and values; no list, which offloading hooks
    would copy.
    """

    retrieved: RetrievedMemory
    rotary: RotaryTable
    rays: Float[Tensor, "b e n"] | None
    seen: Bool[Tensor, "b 1 e e"]
    kept: deque[Tensor]

    def attend(self, attn: Any, hidden_states: Float[Tensor, "b e d"], attend: Any) -> Float[Tensor, "b e d"]:
        """Let the tokens see each other, and keep the keys and values that they are to the video.

        ``attn``: the layer, a ``HydraAttention``. ``attend``: its softmax attention.
        """
        states = hidden_states + self._embedding(attn, hidden_states.dtype)
        query, key, value = (part.unflatten(-1, (attn.heads, -1)) for part in attn.project(states))
        query, key = rotate(query, self.rotary), rotate(key, self.rotary)
        self.kept.extend((key, value))
        output: Tensor = attn.project_out(attend(query, key, value, self.seen))
        return output

    def _embedding(self, attn: Any, dtype: torch.dtype) -> Float[Tensor, "b e d"]:
        """Embed each token's camera and ray: views by the context's encoder; subjects, which are given for a coming
        view, by the target's."""
        poses = self.retrieved.poses.to(dtype)
        embedding: Tensor = torch.where(
            self.retrieved.subjects[..., None],
            attn.target_camera_encoder(poses),
            attn.context_camera_encoder(poses),
        )
        if self.rays is None or attn.ray_encoder is None:
            return embedding
        return embedding + attn.ray_encoder(self.rays)
