"""Captions to the states that the transformer attends to, by a umT5 encoder.

The transformer does not mask padding: it attends to all ``max_length`` states, and those beyond a caption's
end must be zero::

    token   a  dog  runs </s> <pad> <pad> ... <pad>
    state   x   x    x    x     0     0   ...   0

Each caption is run by itself and at its own length, so its states depend on nothing else and short captions
cost little; the encoder masks padding, so running it too would change no state. (The published code zeroes
every caption of a batch at the length of each.)

The functions follow the caller's gradient mode.
"""

import html
import re
import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import ftfy
import torch
from torch import Tensor
from transformers import UMT5EncoderModel

from outofsight.codec.placement import work_device
from outofsight.errors import CheckpointError, InputError
from outofsight.nn.turns import in_turn

PUBLISHED_MAX_LENGTH = 512  # tokens


class CaptionTruncatedWarning(UserWarning):
    """A caption has more tokens than the model attends to; its end was left out."""


class Tokenizer(Protocol):
    """What is asked of a tokenizer; those of transformers have it, ``ByT5Tokenizer`` (bytes) among them."""

    def __call__(self, text: str, **options: Any) -> Any: ...


def max_text_tokens(tokenizer: Tokenizer) -> int:
    """Return how many tokens of a caption a model reads: the published 512, or its tokenizer's own limit if less.

    This is also the number of states its transformer attends to, so a small model saves time by a lower limit.
    """
    return min(PUBLISHED_MAX_LENGTH, int(getattr(tokenizer, "model_max_length", PUBLISHED_MAX_LENGTH)))


def clean_prompt(prompt: str) -> str:
    """Clean a caption as published: mend broken Unicode, undo HTML escapes (twice), collapse white space."""
    text = html.unescape(html.unescape(ftfy.fix_text(prompt)))
    return re.sub(r"\s+", " ", text).strip()


def encode_prompts(
    text_encoder: UMT5EncoderModel,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    max_length: int = PUBLISHED_MAX_LENGTH,
    *,
    allow_empty: bool = False,
) -> Tensor:
    """Turn captions into text states [b, max_length, text_dim], zero beyond each caption's own end.

    ``max_length`` counts tokens, the end token included. A longer caption is cut, which a
    ``CaptionTruncatedWarning`` says; ``warnings.simplefilter("error", CaptionTruncatedWarning)`` refuses it.
    ``allow_empty`` lets an empty caption pass, as the negative prompt of guidance may be. The states lie where
    the encoder works, in its dtype.

    Raises:
        InputError: No captions, one bare string, or an empty caption.
        CheckpointError: The tokenizer knows tokens that the encoder does not.
    """
    if isinstance(prompts, str) or not prompts:
        raise InputError(f"expected a list of captions, got {prompts!r}; put a single one into a list")
    if max_length < 1:
        raise InputError(f"expected a max_length of 1 token or more, got {max_length}")
    texts = [clean_prompt(prompt) for prompt in prompts]
    if not allow_empty and "" in texts:
        raise InputError(
            f"caption {texts.index('')} is empty; say what is to be seen: the place, the subjects, "
            "what they do"
        )
    states = []
    for index, text in enumerate(texts):
        with in_turn(tokenizer):  # a fast tokenizer that two threads use at once refuses one of them
            ids = _tokenize(tokenizer, text, index, max_length)
        states.append(encode_tokens(text_encoder, ids, max_length))
    return torch.stack(states)


def encode_tokens(text_encoder: UMT5EncoderModel, ids: list[int], max_length: int) -> Tensor:
    """Run one caption's tokens, without padding; returns states [max_length, text_dim], zero beyond its end.

    Raises:
        CheckpointError: There are tokens that the encoder does not know.
    """
    config = text_encoder.config
    if ids and max(ids) >= config.vocab_size:
        raise CheckpointError(
            f"the tokenizer gave token {max(ids)}, but the text encoder knows only {config.vocab_size}; "
            "take the tokenizer that belongs to it"
        )
    device = work_device(text_encoder)
    padding = torch.zeros(max_length - len(ids), config.d_model, dtype=text_encoder.dtype, device=device)
    if not ids:  # an empty caption of a tokenizer that adds no end token
        return padding
    tokens = torch.tensor([ids], device=device)
    states = text_encoder(input_ids=tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state[0]
    return torch.cat([states.to(padding), padding])


def _tokenize(tokenizer: Tokenizer, text: str, index: int, max_length: int) -> list[int]:
    """Give a caption's tokens, the end token included, cut to ``max_length``."""
    whole = tokenizer(text, truncation=False, verbose=False).input_ids
    if len(whole) <= max_length:
        return whole
    warnings.warn(
        f"caption {index} ({text[:40]!r}...) has {len(whole)} tokens, the model takes {max_length}; "
        "its end is left out, so shorten it",
        CaptionTruncatedWarning,
        stacklevel=3,  # the caller of encode_prompts
    )
    return tokenizer(text, truncation=True, max_length=max_length, verbose=False).input_ids
