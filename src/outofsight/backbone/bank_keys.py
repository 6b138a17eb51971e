"""What the two banks recall, run once through the transformer's own blocks: keys and values for every layer.

Recalled tokens see each other and the caption, and nothing of the video, at one time step for all; so they are the same
in every denoising step.
"""

from collections import deque

import torch
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from jaxtyping import Float
from torch import Tensor, nn

from outofsight.backbone.attention import BankKeys, RecallGuide
from outofsight.errors import InputError
from outofsight.memory.banks.state import Recall
from outofsight.nn.rope import describe_rays, rotary_at_places

RECALL_TIMESTEP = 600.0
"""Time step at which recalled tokens pass through the blocks. They are clean, but so is the context, which the model
has learned to read at the time step of the noisy frames beside it: a middle one fits most of a denoising. With the
mini's weights, of which nothing was trained for banks, 0 gives a loss of 0.709, 300: 0.673, 600: 0.665, 800: 0.664,
950: 0.667 (archive alone; nothing recalled: 0.768; 8 validation clips, 5 noise levels)."""


def recalled_keys(
    transformer: WanTransformer3DModel, recall: Recall, text: Float[Tensor, "b l text_dim"]
) -> BankKeys:
    """Return every layer's keys and values of the recalled tokens. ``text``: the caption's states.

    Raises:
        InputError: recalled for another number of videos than there are captions.
    """
    if len(recall.tokens) != len(text):
        raise InputError(
            f"the banks recalled for {len(recall.tokens)} videos, but there are {len(text)} captions"
        )
    recall = known_part(recall)
    guide = _recall_guide(transformer, recall, text.dtype)
    timestep = torch.full((len(text),), RECALL_TIMESTEP, device=text.device)
    _, time, text, _ = transformer.condition_embedder(timestep, text, None, timestep_seq_len=None)
    time = time.unflatten(1, (6, -1))
    states, keys, values = recall.tokens.to(text.dtype), [], []
    for block in transformer.blocks:
        given = (block, states, text, time, guide)
        if torch.is_grad_enabled() and transformer.gradient_checkpointing:
            states, key, value = transformer._gradient_checkpointing_func(_through, *given)
        else:
            states, key, value = _through(*given)
        keys.append(key)
        values.append(value)
    return BankKeys(tuple(keys), tuple(values), recall.known)


def known_part(recall: Recall) -> Recall:
    """Leave out tokens that no video of the batch knows; one stays where none is known.

    All stay on the meta device, which cannot be asked.
    """
    if recall.known.device.type == "meta":
        return recall
    kept = recall.known.any(dim=0)
    kept[0] |= ~kept.any()
    chosen = kept.nonzero()[:, 0]
    parts = recall._asdict().items()
    return Recall(**{name: value if name == "scores" else value[:, chosen] for name, value in parts})


def _through(
    block: nn.Module, states: Tensor, text: Tensor, time: Tensor, guide: RecallGuide
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the tokens after a block, and the keys and values that they had in it."""
    kept: deque[Tensor] = deque()
    states = block(states, text, time, guide._replace(kept=kept))
    key, value = kept
    return states, key, value


def _recall_guide(transformer: WanTransformer3DModel, recall: Recall, dtype: torch.dtype) -> RecallGuide:
    config = transformer.config
    octaves = config["camera_ray_octaves"]
    rays = describe_rays(recall.directions, recall.moments, octaves).to(dtype) if octaves else None
    itself = torch.eye(recall.known.shape[1], dtype=torch.bool, device=recall.known.device)
    return RecallGuide(
        recall=recall,
        rotary=rotary_at_places(recall.places, config["attention_head_dim"]),
        rays=rays,
        # An unknown token is seen by itself alone, so that no softmax is over nothing.
        seen=(recall.known[:, None] | itself)[:, None],
        kept=deque(),
    )
