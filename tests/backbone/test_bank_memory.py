"""What the two banks retrieve, inside the transformer: what is not known changes nothing, all else is attended to."""

import pytest
import torch

from models import lens, tiny_inputs, tiny_transformer, turned_cameras
from outofsight.backbone.bank_memory import RETRIEVED_TIMESTEP
from outofsight.backbone.extra_keys import BankKeys
from outofsight.backbone.transformer import HydraTransformer3DModel
from outofsight.errors import InputError
from outofsight.memory.banks.state import RetrievedMemory
from outofsight.memory.strategies import strategy
from outofsight.nn.rope import token_rays
from outofsight.types import LatentGrid

CONTEXT, TARGET = 8, 4
SMALL = {"archive_slots": 12, "subject_slots": 2, "top_k": 3, "reader_width": 8, "identity_width": 4}
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def made(name: str, **changes) -> HydraTransformer3DModel:
    chosen = dict(strategy(name).settings)
    if chosen["banks"] is not None:
        chosen["banks"] = SMALL
    return tiny_transformer(**{**chosen, "memory_kernel": (1, 1, 1), "camera_ray_octaves": 2, **changes})


def like(model: HydraTransformer3DModel, other: HydraTransformer3DModel) -> HydraTransformer3DModel:
    """Give a model the weights that it shares with another."""
    own = model.state_dict()
    model.load_state_dict(
        {key: value for key, value in other.state_dict().items() if key in own}, strict=False
    )
    return model


def inputs(batch: int = 1, seed: int = 1) -> dict:
    """A camera that stands still and turns back and forth."""
    given = tiny_inputs(batch, CONTEXT, TARGET, seed=seed)
    poses = turned_cameras(-40, -30, -20, -10, 0, 10, 20, 30, 0, -10, -20, -30).expand(batch, -1, -1)
    return given | {"context_cameras": poses[:, :CONTEXT], "target_cameras": poses[:, CONTEXT:]}


@torch.no_grad()
def target(model: HydraTransformer3DModel, given: dict, **more) -> torch.Tensor:
    return model(**given, **more).sample[:, :, -TARGET:]


def hand_made(batch: int = 1, known: int = 5, e: int = 7, seed: int = 3) -> RetrievedMemory:
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(batch, *shape, generator=generator)

    there = (torch.arange(e) < known).expand(batch, e)
    return RetrievedMemory(
        tokens=randn(e, 48), known=there, places=randn(e, 3) * 3, poses=randn(e, 12), directions=randn(e, 3),
        moments=randn(e, 3), subjects=(torch.arange(e) % 2 == 1).expand(batch, e), scores=torch.zeros(batch, 4, 14),
        slots=torch.zeros(batch, e).long(), frames=torch.full((batch, e), -1),
    )  # fmt: skip


@pytest.mark.parametrize(("name", "base"), [("hybrid", "window"), ("hybrid+hydra", "hydra")])
def test_nothing_known_is_the_strategy_without_banks(name, base):
    given, model = inputs(), made(name)
    plain = like(made(base), model)
    torch.testing.assert_close(
        target(model, given, retrieved=hand_made(known=0)), target(plain, given), **CLOSE
    )
    some = target(model, given, retrieved=hand_made(known=5))
    assert not torch.allclose(some, target(plain, given), rtol=1e-2)


def test_what_is_unknown_says_nothing():
    """Whatever lies in a token that is not there; and without it the result is the same."""
    given, model = inputs(), made("hybrid")
    one = hand_made(known=5)
    other = one._replace(**{
        name: torch.where(one.known[..., None], getattr(one, name), 9.0)
        for name in ("tokens", "places", "poses", "directions", "moments")
    })  # fmt: skip
    cut = RetrievedMemory(**{k: v if k == "scores" else v[:, :5] for k, v in one._asdict().items()})
    expected = target(model, given, retrieved=one)
    assert torch.equal(target(model, given, retrieved=other), expected)
    text = given["encoder_hidden_states"]
    assert model.memory_keys(one, text).keys[0].shape[1] == 5
    assert model.memory_keys(hand_made(known=0), text).known.tolist() == [[False]]
    torch.testing.assert_close(target(model, given, retrieved=cut), expected, **CLOSE)


@torch.no_grad()
def test_a_clips_own_recall_in_a_batch():
    model, both = made("hybrid"), inputs(2)
    retrieves = [hand_made(known=5), hand_made(known=0, seed=9)]
    joined = RetrievedMemory(*(torch.cat(pair) for pair in zip(*retrieves, strict=True)))
    alone = [target(model, {k: v[[i]] for k, v in both.items()}, retrieved=retrieves[i]) for i in range(2)]
    torch.testing.assert_close(target(model, both, retrieved=joined), torch.cat(alone), **CLOSE)


@torch.no_grad()
def test_recalled_context_is_the_context_itself():
    """A frame retrieved at its own place, pose and rays has the keys it has by itself, at the same time step."""
    model, given = made("concat"), inputs()
    context, poses = given["hidden_states"][:, :, :3], given["context_cameras"][:, :3]
    grid = LatentGrid(frames=3, height=4, width=6)
    seen = []
    for block in model.blocks:
        block.attn1.to_k.register_forward_hook(lambda _module, _given, out: seen.append(out))
    timestep = torch.tensor([RETRIEVED_TIMESTEP])
    clean = {**given, "hidden_states": context, "timestep": timestep, "context_cameras": poses}
    model(**clean | {"target_cameras": poses[:, :0]})
    plain, seen[:] = list(seen), []
    place = torch.cartesian_prod(torch.arange(3.0), torch.arange(4.0), torch.arange(6.0))[None]
    direction, moment = token_rays(poses, grid, lens(90, 4, 6))
    count = place.shape[1]
    retrieved = hand_made(e=count, known=count)._replace(
        tokens=model.patch_embedding(context).flatten(2).transpose(1, 2), places=place, directions=direction,
        moments=moment, poses=poses.repeat_interleave(24, dim=1), subjects=torch.zeros(1, count, dtype=torch.bool),
    )  # fmt: skip
    keys = model.memory_keys(retrieved, given["encoder_hidden_states"])
    assert len(keys.keys) == len(keys.values) == 2
    assert keys.keys[0].shape == (1, count, 2, 24)
    for one, other in zip(seen, plain, strict=True):
        torch.testing.assert_close(one, other, **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize("name", ["hybrid", "hybrid+hydra"])
def test_keys_serve_every_denoising_step(name):
    given, model = inputs(), made(name)
    text, retrieved = given["encoder_hidden_states"], hand_made()
    keys = model.memory_keys(retrieved, text)
    early, late = ({**given, "timestep": torch.tensor([level])} for level in (900.0, 50.0))
    for step in (early, late):
        out = model(**step, retrieved=retrieved)
        assert all(torch.equal(a, b) for a, b in zip(out.bank_keys.keys, keys.keys, strict=True))
        assert torch.equal(target(model, step, bank_keys=keys), out.sample[:, :, -TARGET:])


def test_gradients_reach_what_is_recalled_with_checkpointing_too():
    grads = []
    for saves in (False, True):
        model = made("hybrid").train()
        if saves:
            model.enable_gradient_checkpointing()
        retrieved = hand_made()
        retrieved.tokens.requires_grad_()
        model(**inputs(), retrieved=retrieved).sample[:, :, -TARGET:].square().mean().backward()
        grads.append((retrieved.tokens.grad, model.blocks[0].attn1.target_camera_encoder.weight.grad))
    for plain, saved in zip(*grads, strict=True):
        torch.testing.assert_close(saved, plain, **CLOSE)
    assert grads[0][0][:, :5].abs().sum() > 0
    assert grads[0][0][:, 5:].abs().sum() == 0


@torch.no_grad()
def test_everything_selected_is_full_attention_over_the_banks():
    """All slots fit into top_k, so every filled slot's tokens are keys: as many as filled slots × tokens a slice."""
    given, model = inputs(), made("hybrid", banks={**SMALL, "top_k": 14, "relevance": 1.0})
    retrieved = model.retrieve_for_context(
        given["hidden_states"][:, :, :CONTEXT], given["context_cameras"], given["target_cameras"]
    )
    assert (
        retrieved.known.sum() == CONTEXT * 24
    )  # an untrained reader sees nobody; every frame has a slot of its own
    assert retrieved.tokens.shape[1] == 12 * 24 + 2 * TARGET * 9
    frames = given["hidden_states"][:, :, :CONTEXT]
    tokens = model.patch_embedding(frames).flatten(3).permute(0, 2, 3, 1)[0]
    held = retrieved.tokens[0][retrieved.known[0]].unflatten(0, (CONTEXT, 24))
    order = retrieved.places[0, :, 0][retrieved.known[0]].unflatten(0, (CONTEXT, 24))[:, 0].long()
    assert sorted(order.tolist()) == list(range(CONTEXT))
    torch.testing.assert_close(held, tokens[order])


@torch.no_grad()
def test_old_frames_are_remembered_in_the_banks_alone():
    given, model = inputs(), made("hybrid")
    changed = {**given, "hidden_states": given["hidden_states"].clone()}
    changed["hidden_states"][:, :, 1] += 1
    assert not torch.allclose(target(model, changed), target(model, given))
    retrieved = model.retrieve_for_context(
        given["hidden_states"][:, :, :CONTEXT], given["context_cameras"], given["target_cameras"]
    )
    assert torch.equal(target(model, changed, retrieved=retrieved), target(model, given, retrieved=retrieved))
    assert torch.equal(target(model, given, retrieved=retrieved), target(model, given))


@torch.no_grad()
def test_a_short_history_reads_memory_as_a_long_one_does():
    """The last frames alone, with what was retrieved for the whole: rotation knows differences of time alone."""
    given, model = inputs(), made("hybrid", context_recent=3)
    context = given["hidden_states"][:, :, :CONTEXT]
    banks, observed = model.observe_context(context, given["context_cameras"])
    times = 4 * (CONTEXT - 1) + 1 + 4 * torch.arange(TARGET)[None].float()
    assert observed.tracks.position.shape == (1, CONTEXT, 2, 3)
    assert banks.time.tolist() == [28.0]
    grid = LatentGrid(frames=1, height=4, width=6)
    retrieved = model.retrieve_for(
        banks, given["target_cameras"], times, grid, history_frames=3, reach_frames=CONTEXT
    )
    short = {
        **given,
        "hidden_states": given["hidden_states"][:, :, 5:],
        "context_cameras": given["context_cameras"][:, 5:],
    }
    torch.testing.assert_close(target(model, short, retrieved=retrieved), target(model, given), **CLOSE)


@torch.no_grad()
def test_banks_see_frames_one_by_one_as_all_at_once():
    given, model = inputs(), made("hybrid")
    context, cameras = given["hidden_states"][:, :, :CONTEXT], given["context_cameras"]
    whole, _ = model.observe_context(context, cameras)
    banks, history = None, model.two_banks.history
    for frame in range(CONTEXT):
        latents = context[:, :, max(frame - history, 0) : frame + 1]
        times = torch.tensor([[4.0 * frame]])
        banks, _ = model.observe_context(latents, cameras[:, [frame]], times, banks)
    for bank in ("archive", "tracks"):
        for name, value in getattr(whole, bank)._asdict().items():
            torch.testing.assert_close(getattr(getattr(banks, bank), name), value, **CLOSE, msg=name)


def test_sizes_of_banks_change_where_weights_are_only_counted():
    model = made("hybrid").to("meta")
    model.set_memory("larger", {"banks": {**SMALL, "archive_slots": 20}})
    assert all(value.is_meta for value in model.parameters())
    assert model.two_banks.settings.archive_slots == 20


def test_sizes_may_change_and_weights_may_not(tmp_path):
    model, given = made("hybrid"), inputs()
    model.set_memory("larger", {"banks": {**SMALL, "archive_slots": 20, "top_k": 5}})
    assert model.two_banks.settings.archive_slots == 20
    same = like(made("hybrid", banks={**SMALL, "archive_slots": 20, "top_k": 5}), model)
    assert torch.equal(target(model, given), target(same, given))
    with pytest.raises(InputError, match=r"needs banks=.*train one with it"):
        model.set_memory("wider", {"banks": {**SMALL, "reader_width": 16}})
    with pytest.raises(InputError, match="needs banks="):
        made("window").set_memory("hybrid", strategy("hybrid").settings)
    with pytest.raises(InputError, match="top_k"):
        model.set_memory("odd", {"banks": {**SMALL, "top_k": -1}})
    model.set_memory("window", strategy("window").settings)
    assert not model.has_banks
    plain = like(made("window"), model)
    assert torch.equal(target(model, given), target(plain, given))


def test_folders_carry_their_banks(tmp_path):
    model, given = made("hybrid", memory_strategy="hybrid"), inputs()
    model.save_pretrained(tmp_path)
    again = HydraTransformer3DModel.from_pretrained(tmp_path)
    torch.testing.assert_close(target(again, given), target(model, given), **CLOSE)
    half = HydraTransformer3DModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert half.two_banks.tokenizer.conv.weight.dtype == torch.float32
    low = {key: value.bfloat16() if "states" in key else value for key, value in given.items()}
    assert target(half, low).isfinite().all()
    whole = model.to(torch.bfloat16)
    assert whole.patch_embedding.weight.dtype == torch.bfloat16
    assert {part.dtype for part in whole.two_banks.parameters()} == {torch.float32}
    assert target(whole, low).isfinite().all()


def test_what_does_not_fit_is_told():
    model, given = made("hybrid"), inputs()
    context = given["hidden_states"][:, :, :CONTEXT]
    with pytest.raises(InputError, match=r"this model \(hydra\) has no banks; strategy hybrid"):
        tiny_transformer().observe_context(context, given["context_cameras"])
    with pytest.raises(InputError, match="has no banks"):
        target(tiny_transformer(), given, retrieved=hand_made())
    with pytest.raises(InputError, match="8 latent frames of 1 videos, but 9 cameras of 1"):
        model.observe_context(context, torch.zeros(1, 9, 12))
    with pytest.raises(InputError, match="retrieved for 2 videos, but there are 1 captions"):
        target(model, given, retrieved=hand_made(2))
    banks, _ = model.observe_context(context, given["context_cameras"])
    with pytest.raises(InputError, match="make empty banks for this picture"):
        model.observe_context(context[..., :8], given["context_cameras"], banks=banks)
    with pytest.raises(InputError, match="subject_mask must be 'none'"):
        made("hybrid", subject_mask="true")
    with pytest.raises(InputError, match="archive_slotz"):
        made("hybrid", banks={"archive_slotz": 3})
    assert isinstance(model.memory_keys(hand_made(), given["encoder_hidden_states"]), BankKeys)
