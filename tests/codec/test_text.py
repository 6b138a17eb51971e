"""Captions to states: against the published encoder, each caption by itself, zero beyond its end."""

import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from accelerate import cpu_offload
from codec_vectors import official_weights, small_text_encoder, vectors
from hypothesis import given
from hypothesis import strategies as st
from transformers import ByT5Tokenizer, UMT5EncoderModel

from golden import relative_difference
from outofsight.codec.official import text_encoder_from_official
from outofsight.codec.text import (
    CaptionTruncatedWarning,
    clean_prompt,
    encode_prompts,
    encode_tokens,
    max_text_tokens,
)
from outofsight.errors import CheckpointError, InputError

PROMPTS = ["a red fox runs", "snow", "two people walk behind a parked car and come back"]


@pytest.fixture(scope="module")
def tokenizer() -> ByT5Tokenizer:
    return ByT5Tokenizer()  # bytes: token = byte + 3, then 1 for the end


@pytest.fixture(scope="module")
def encoder() -> UMT5EncoderModel:
    return small_text_encoder()


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def test_golden_states():
    golden = vectors("text_encoder_tiny")
    encoder = text_encoder_from_official(official_weights("text_encoder_tiny"))
    ids = golden["in.ids"][0, : int(golden["in.mask"].sum())].tolist()
    states = encode_tokens(encoder, ids, max_length=150)
    assert relative_difference(states, golden["out.prompt_emb_zero_padded"][0]) <= 1e-5
    assert torch.equal(states[len(ids) :], torch.zeros(10, 32))


def test_states_are_those_of_the_padded_caption(encoder, tokenizer):
    """The published way: pad, mask, run, zero; ours runs only the caption itself."""
    padded = tokenizer(PROMPTS, padding="max_length", max_length=64, return_tensors="pt")
    expected = encoder(padded.input_ids, attention_mask=padded.attention_mask).last_hidden_state
    expected = expected * padded.attention_mask[..., None]
    states = encode_prompts(encoder, tokenizer, PROMPTS, max_length=64)
    assert states.shape == (3, 64, 16)
    assert relative_difference(states, expected) <= 1e-5


def test_each_caption_ends_in_zeros_of_its_own(encoder, tokenizer):
    states = encode_prompts(encoder, tokenizer, PROMPTS, max_length=64)
    for prompt, state in zip(PROMPTS, states, strict=True):
        length = len(prompt) + 1  # bytes and the end token
        assert (state[:length].abs().sum(-1) > 0).all()
        assert torch.equal(state[length:], torch.zeros(64 - length, 16))


def test_a_batch_equals_its_elements_bit_for_bit(encoder, tokenizer):
    states = encode_prompts(encoder, tokenizer, PROMPTS, max_length=64)
    for prompt, state in zip(PROMPTS, states, strict=True):
        assert torch.equal(encode_prompts(encoder, tokenizer, [prompt], max_length=64)[0], state)


def test_the_published_length_is_the_default(encoder, tokenizer):
    assert encode_prompts(encoder, tokenizer, ["snow"]).shape == (1, 512, 16)


@pytest.mark.parametrize(
    ("written", "cleaned"),
    [
        ("  a\tred \n fox  ", "a red fox"),
        ("cats &amp;amp; dogs", "cats & dogs"),
        ("a &lt;b&gt; c", "a <b> c"),
        ("cafÃ©", "café"),  # UTF-8 read as Latin-1
        ("&nbsp;", ""),
        ("", ""),
    ],
)
def test_cleaning(written, cleaned):
    assert clean_prompt(written) == cleaned


@given(st.text(alphabet=st.characters(codec="ascii", exclude_characters="&"), max_size=40))
def test_cleaning_twice_changes_nothing_more(text):
    once = clean_prompt(text)
    assert clean_prompt(once) == once
    assert "  " not in once


def test_a_caption_is_cleaned_before_it_is_encoded(encoder, tokenizer):
    plain = encode_prompts(encoder, tokenizer, ["cats & dogs"], max_length=32)
    assert torch.equal(encode_prompts(encoder, tokenizer, ["  cats &amp;\n dogs"], max_length=32), plain)


def test_a_long_caption_is_cut_before_its_end_token_and_said_so(encoder, tokenizer):
    with pytest.warns(
        CaptionTruncatedWarning, match=r"caption 1 \('a red fox runs'.*has 15 tokens.*takes 6"
    ) as caught:
        states = encode_prompts(encoder, tokenizer, ["snow", "a red fox runs"], max_length=6)
    assert caught[0].filename == __file__
    assert torch.equal(states[1], encode_prompts(encoder, tokenizer, ["a red"], max_length=6)[0])
    with warnings.catch_warnings():  # a caption of exactly max_length is whole
        warnings.simplefilter("error")
        encode_prompts(encoder, tokenizer, ["a red"], max_length=6)


def test_empty_captions(encoder, tokenizer):
    with pytest.raises(InputError, match="caption 1 is empty; say what"):
        encode_prompts(encoder, tokenizer, ["snow", " \n&nbsp;"])
    states = encode_prompts(encoder, tokenizer, [""], max_length=4, allow_empty=True)
    assert states[0, 0].abs().sum() > 0  # the end token
    assert torch.equal(states[0, 1:], torch.zeros(3, 16))
    assert torch.equal(encode_tokens(encoder, [], 4), torch.zeros(4, 16))


def test_bad_calls(encoder, tokenizer):
    with pytest.raises(InputError, match="put a single one into a list"):
        encode_prompts(encoder, tokenizer, "snow")
    with pytest.raises(InputError, match="expected a list of captions"):
        encode_prompts(encoder, tokenizer, [])
    with pytest.raises(InputError, match="max_length of 1 token or more, got 0"):
        encode_prompts(encoder, tokenizer, ["snow"], max_length=0)
    with pytest.raises(CheckpointError, match="token 122, but the text encoder knows only 100"):
        encode_prompts(small_text_encoder(vocab_size=100), tokenizer, ["snow"])


def test_bf16_encoder(encoder, tokenizer):
    half = small_text_encoder().to(torch.bfloat16)
    states = encode_prompts(half, tokenizer, PROMPTS, max_length=64)
    assert states.dtype == torch.bfloat16
    expected = encode_prompts(encoder, tokenizer, PROMPTS, max_length=64)
    assert relative_difference(states, expected) < 0.05
    assert torch.equal(states.abs().sum(-1) == 0, expected.abs().sum(-1) == 0)


def test_an_offloaded_encoder_works_as_before(encoder, tokenizer):
    offloaded = cpu_offload(small_text_encoder(), torch.device("cpu"))
    expected = encode_prompts(encoder, tokenizer, PROMPTS, max_length=64)
    assert torch.equal(encode_prompts(offloaded, tokenizer, PROMPTS, max_length=64), expected)


def test_gradients_reach_the_encoder(tokenizer):
    encoder = small_text_encoder()
    with torch.enable_grad():
        encode_prompts(encoder, tokenizer, ["snow"], max_length=8).sum().backward()
    assert encoder.shared.weight.grad.abs().sum() > 0


def test_a_saved_folder_gives_the_same_states(tmp_path, encoder, tokenizer):
    encoder.save_pretrained(tmp_path / "text_encoder")
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    loaded = UMT5EncoderModel.from_pretrained(tmp_path / "text_encoder")
    expected = encode_prompts(encoder, tokenizer, PROMPTS, max_length=64)
    loaded_tokenizer = ByT5Tokenizer.from_pretrained(tmp_path / "tokenizer")
    assert torch.equal(encode_prompts(loaded, loaded_tokenizer, PROMPTS, max_length=64), expected)


def test_a_tokenizer_says_how_much_is_read_up_to_the_published_512() -> None:
    assert max_text_tokens(ByT5Tokenizer()) == 512
    assert max_text_tokens(ByT5Tokenizer(model_max_length=256)) == 256
    assert max_text_tokens(ByT5Tokenizer(model_max_length=4096)) == 512


def test_threads_that_share_a_tokenizer_take_turns(encoder, tokenizer):
    """Fast tokenizers refuse a second thread ("Already borrowed")."""

    class Borrowed:
        busy = False

        def __call__(self, text, **options):
            assert not self.busy, "Already borrowed"
            self.busy = True
            time.sleep(0.005)
            self.busy = False
            return tokenizer(text, **options)

    shared = Borrowed()
    with ThreadPoolExecutor(4) as pool:
        states = list(pool.map(lambda text: encode_prompts(encoder, shared, [text]), PROMPTS * 2))
    assert torch.equal(states[0], states[3])
