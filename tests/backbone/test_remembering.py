"""Each memory strategy is what it says, seen from the outside of the transformer."""

import json

import pytest
import torch

from models import TINY_TRANSFORMER, tiny_inputs, tiny_transformer, turned_cameras
from outofsight.backbone.transformer import HydraTransformer3DModel, is_memory_parameter
from outofsight.errors import InputError
from outofsight.memory.context_choice import ContextSettings
from outofsight.memory.settings import FLAT_NAMES, CameraSettings, MemorySettings, RivalSettings, read_group
from outofsight.memory.strategies import (
    MEMORY_FIELDS,
    STRATEGIES,
    Strategy,
    check_without_training,
    register_strategy,
    strategy,
)

CONTEXT, TARGET = 8, 4


def made(name: str, **changes) -> HydraTransformer3DModel:
    return tiny_transformer(**{**strategy(name).settings, **changes})


def inputs(batch: int = 1, context: int = CONTEXT) -> dict:
    return tiny_inputs(batch, context, TARGET)


def masks(batch: int = 1, frames: int = CONTEXT + TARGET) -> torch.Tensor:
    """One subject that walks to the right through the context."""
    found = torch.zeros(batch, 1, frames, 8, 12)
    for frame in range(frames):
        found[:, :, frame, 2:5, frame % 9 : frame % 9 + 3] = 1
    return found


def target(model, given, **more) -> torch.Tensor:
    with torch.no_grad():
        return model(**given, **more).sample[:, :, -TARGET:]


def with_change(given: dict, frame: int) -> dict:
    latents = given["hidden_states"].clone()
    latents[:, :, frame] += 1
    return given | {"hidden_states": latents}


def frames_that_matter(model, given, **more) -> list[int]:
    before = target(model, given, **more)
    context = given["context_cameras"].shape[1]
    return [
        frame
        for frame in range(context)
        if not torch.equal(before, target(model, with_change(given, frame), **more))
    ]


def test_defaults_are_the_transformers():
    config = tiny_transformer(memory_top_k=10, local_window=5).config
    assert {name: config[name] for name in MEMORY_FIELDS} == dict(MEMORY_FIELDS)


def test_groups_of_settings_are_saved_by_flat_names_and_read_again(tmp_path):
    memory = MemorySettings(top_k=3, local_window=None, kernel=(1, 2, 2))
    context, rivals = ContextSettings(rule="ends", recent=2), RivalSettings(state_grid=(2, 3))
    cameras = CameraSettings(fov_x_deg=70.0, ray_octaves=2)
    wan = {name: size for name, size in TINY_TRANSFORMER.items() if name not in FLAT_NAMES}
    made = HydraTransformer3DModel(
        memory=memory, context=context, rivals=rivals, cameras=cameras, banks={}, **wan
    )
    made.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["memory_top_k"] == 3
    assert saved["context_rule"] == "ends"
    assert saved["camera_ray_octaves"] == 2
    assert saved["state_grid"] == [2, 3]
    loaded = HydraTransformer3DModel.from_pretrained(tmp_path)
    assert (loaded.memory_settings, loaded.context_settings) == (memory, context)
    assert [read_group(name, loaded.config) for name in ("rivals", "cameras")] == [rivals, cameras]
    assert loaded.state_dict().keys() == made.state_dict().keys()


def test_a_flat_name_is_no_argument():
    with pytest.raises(
        InputError, match=r"memory_top_k is a name of the saved configuration; .*MemorySettings"
    ):
        HydraTransformer3DModel(memory_top_k=3)


@pytest.mark.parametrize("name", ["concat", "hydra", "dfot", "segmentation", "oracle"])
def test_the_whole_context_matters(name):
    reported = {"subject_masks": masks()} if name in ("segmentation", "oracle") else {}
    assert frames_that_matter(
        made(name, memory_top_k=strategy(name).settings["memory_top_k"]), inputs(), **reported
    ) == [*range(CONTEXT)]


def test_window_forgets_what_is_older():
    assert frames_that_matter(made("window"), inputs()) == [3, 4, 5, 6, 7]
    assert frames_that_matter(made("window", context_first=1, context_recent=3), inputs()) == [0, 5, 6, 7]


def test_what_is_left_out_has_no_output_and_keeps_its_time():
    """A window computes what the whole model computes of the last frames alone, at their own times."""
    given, model = inputs(), made("window")
    with torch.no_grad():
        sample = model(**given).sample
    assert sample.shape == given["hidden_states"].shape
    assert sample[:, :, :3].abs().sum() == 0
    short = {
        **given,
        "hidden_states": given["hidden_states"][:, :, 3:],
        "context_cameras": given["context_cameras"][:, 3:],
    }
    # Rotation knows differences of time alone, so the cut video is the same one.
    torch.testing.assert_close(sample[:, :, 3:], made("concat")(**short).sample, rtol=1e-4, atol=1e-5)


def test_full_attention_is_select_everything_with_an_identity_tokenizer():
    """Window 3 of 12, one slice for each frame, all 9 outside the window retrieved: every key, once."""
    given = inputs()
    dense = made("concat")
    hydra = made("hydra", memory_kernel=(1, 1, 1), memory_top_k=9, local_window=3)
    fitting = {key: value for key, value in dense.state_dict().items() if ".tokenizer." not in key}
    hydra.load_state_dict(fitting, strict=False)
    for block in hydra.blocks:
        convolution = block.attn1.tokenizer.conv
        torch.nn.init.zeros_(convolution.bias)
        torch.nn.init.dirac_(convolution.weight)
    torch.testing.assert_close(target(hydra, given), target(dense, given), rtol=1e-4, atol=1e-5)


def turned(given: dict, degrees: list[float]) -> dict:
    """Cameras that stand still and look to the right by so much, context first."""
    poses = turned_cameras(*degrees)
    return given | {"context_cameras": poses[:, :-TARGET], "target_cameras": poses[:, -TARGET:]}


def test_fov_sees_the_frames_that_look_where_the_target_looks():
    given = turned(inputs(), [0, 20, 40, 60, 80, 100, 120, 140, 40, 42, 44, 46])
    model = made("fov", context_clips=2, camera_fov_x_deg=40.0)
    assert frames_that_matter(model, given) == [2, 3, 7]
    assert model(**given).context_frames.tolist() == [[2, 3, 7]]


def test_worldplay_numbers_its_frames_without_gaps():
    given = turned(inputs(), [0, 20, 40, 60, 80, 100, 120, 140, 20, 22, 24, 26])
    model = made("worldplay", camera_fov_x_deg=40.0)
    # Between the ends lie 1 to 5: the runs [2 3] and [4 5]; 2 and 3 see 40 and 60 degrees, nearer to 20.
    assert frames_that_matter(model, given) == [0, 2, 3, 6, 7]
    kept = [0, 2, 3, 6, 7, 8, 9, 10, 11]
    alone = given | {
        "hidden_states": given["hidden_states"][:, :, kept],
        "context_cameras": given["context_cameras"][:, kept[:5]],
    }
    contiguous = target(made("concat"), alone)
    torch.testing.assert_close(target(model, given), contiguous, rtol=1e-4, atol=1e-5)
    model.set_memory("gaps", {**strategy("worldplay").settings, "context_times": "kept"})
    assert not torch.allclose(target(model, given), contiguous, rtol=1e-3)


def test_a_batch_may_choose_other_frames_for_each_clip():
    one = turned(inputs(), [0, 20, 40, 60, 80, 100, 120, 140, 40, 42, 44, 46])
    other = turned(inputs(), [0, 20, 40, 60, 80, 100, 120, 140, 100, 102, 104, 106])
    both = {key: torch.cat((one[key], other[key])) for key in one}
    model = made("fov", camera_fov_x_deg=40.0, context_clips=2)
    expected = torch.cat((target(model, one), target(model, other)))
    torch.testing.assert_close(target(model, both), expected, rtol=1e-4, atol=1e-5)


def test_hydra_may_retrieve_from_chosen_frames():
    """Slices of chosen frames stand at the middle of their own frames' times."""
    model = made("hydra", context_rule="ends", context_recent=4, memory_top_k=2, local_window=3)
    given = inputs()
    short = {
        **given,
        "hidden_states": given["hidden_states"][:, :, 4:],
        "context_cameras": given["context_cameras"][:, 4:],
    }
    plain = made("hydra", memory_top_k=2, local_window=3)
    torch.testing.assert_close(target(model, given), target(plain, short), rtol=1e-4, atol=1e-5)
    assert model(**given, return_retrieval=True).retrieved_slices.shape == (1, 2, 8, 2)


def stirred(model: HydraTransformer3DModel, part: str) -> HydraTransformer3DModel:
    """Give weights that begin at zero some value, as training would."""
    torch.manual_seed(5)
    names = [name for name, _ in model.named_parameters() if part in name]
    assert names
    for name, parameter in model.named_parameters():
        if name in names and name.endswith("weight"):
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def test_recurrent_reads_all_of_the_context_in_order():
    model = stirred(made("recurrent"), "state_memory.projection")
    given = inputs()
    assert frames_that_matter(model, given) == [*range(CONTEXT)]
    swapped = given["hidden_states"].clone()
    swapped[:, :, [0, 1]] = swapped[:, :, [1, 0]]
    assert not torch.allclose(
        target(model, given), target(model, given | {"hidden_states": swapped}), rtol=1e-4
    )


def test_ssm_reads_all_of_the_context_in_order_and_no_place_but_its_own():
    model = stirred(made("ssm", num_layers=5), "state_space.out_proj")
    given = inputs()
    assert [block.attn1.state_space is not None for block in model.blocks] == [
        True,
        False,
        False,
        False,
        True,
    ]
    assert frames_that_matter(model, given) == [*range(CONTEXT)]
    swapped = given["hidden_states"].clone()
    swapped[:, :, [0, 1]] = swapped[:, :, [1, 0]]
    assert not torch.allclose(
        target(model, given), target(model, given | {"hidden_states": swapped}), rtol=1e-4
    )


def test_the_state_is_as_many_keys_whatever_the_context():
    seen = []
    model = made("recurrent")
    attend = model.blocks[0].attn1
    handle = attend.norm_k.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))
    for context in (6, 8, 11):
        target(model, inputs(context=context))
    handle.remove()
    tokens_per_frame = 4 * 6
    assert seen == [9 * tokens_per_frame, 16] * 3  # video tokens of 5 + 4 frames; 16 of the state


@pytest.mark.parametrize(
    ("name", "base", "part"),
    [
        ("identity", "window", "identity_attention.to_out"),
        ("ssm", "window", "state_space.out_proj"),
        ("segmentation", "concat", "mask_weight"),
        ("oracle", "concat", "mask_weight"),
    ],
)
def test_what_is_added_begins_as_nothing(name, base, part):
    given, reported = inputs(), masks()
    plain, model = made(base), made(name)
    missing, unexpected = model.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    assert all(is_memory_parameter(each) for each in missing)
    torch.testing.assert_close(
        target(model, given, subject_masks=reported), target(plain, given), rtol=1e-5, atol=1e-6
    )
    torch.nn.init.normal_(
        dict(model.named_parameters())[next(n for n in missing if part in n and "bias" not in n)]
    )
    assert not torch.allclose(target(model, given, subject_masks=reported), target(plain, given), rtol=1e-3)


def test_identity_shows_the_last_visible_frame_alone():
    """The subject is last seen in frame 1, which the window has forgotten; its crop still tells."""
    model = stirred(made("identity"), "identity_attention.to_out")
    reported = masks(frames=CONTEXT)
    reported[:, :, 2:] = 0
    assert frames_that_matter(model, inputs(), subject_masks=reported) == [1, 3, 4, 5, 6, 7]


def test_segmentation_looks_at_the_context_and_oracle_at_the_truth():
    given, reported = inputs(), masks()
    other = reported.clone()
    other[:, :, CONTEXT:] = 0
    for name, same in (("segmentation", True), ("oracle", False)):
        model = made(name)
        torch.nn.init.normal_(model.patch_embedding.mask_weight)
        before = target(model, given, subject_masks=reported)
        assert torch.equal(before, target(model, given, subject_masks=other)) is same
    with pytest.raises(InputError, match=r"12, height, width.*got masks of 8 latent frames"):
        model(**given, subject_masks=reported[:, :, :CONTEXT])


@pytest.mark.parametrize("name", ["identity", "segmentation", "oracle"])
def test_missing_masks_are_asked_for(name):
    with pytest.raises(InputError, match="expected subject_masks"):
        made(name)(**inputs())


def test_every_strategy_takes_a_step_and_its_own_parts_learn():
    for name in STRATEGIES:
        model = made(name).train()
        for part in ("state_memory.projection", "state_space.out_proj", "identity_attention.to_out"):
            if any(part in each for each, _ in model.named_parameters()):
                stirred(model, part)
        given = inputs(batch=2)
        if model.has_frame_noise:
            given["timestep"] = torch.rand(2, CONTEXT + TARGET) * 1000
        reported = {} if model.needs_subject_masks == "none" else {"subject_masks": masks(2)}
        out = model(**given, **reported).sample
        out[:, :, -TARGET:].square().mean().backward()
        assert out.isfinite().all()
        retrieves = model.memory_settings.retrieves
        idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        # A bias that is the same for every key moves no softmax; a tokenizer that makes no slices learns nothing.
        idle = [n for n in idle if not n.endswith(("to_k.bias", "nobody"))]
        if (
            model.has_banks
        ):  # what they hold is read; how they read and choose is taught by losses of their own
            reads_tokens = model.two_banks.settings.top_k > 0
            assert ("two_banks.tokenizer.conv.weight" not in idle) == reads_tokens
            idle = [n for n in idle if not n.startswith("two_banks.")]
        assert all(".tokenizer." in each for each in idle), (name, idle)
        assert bool(idle) != retrieves, name


def test_folders_carry_their_strategy(tmp_path):
    for name in ("fov", "recurrent", "ssm", "identity", "segmentation", "dfot"):
        model = made(name, memory_strategy=name)
        model.save_pretrained(tmp_path / name)
        again = HydraTransformer3DModel.from_pretrained(tmp_path / name)
        assert again.config["memory_strategy"] == name
        reported = {} if model.needs_subject_masks == "none" else {"subject_masks": masks()}
        torch.testing.assert_close(
            target(again, inputs(), **reported), target(model, inputs(), **reported), rtol=1e-5, atol=1e-6
        )


def test_memory_may_be_changed_where_no_weights_are_for_it():
    model, given = made("hydra"), inputs()
    for name in (
        "concat",
        "window",
        "fov",
        "worldplay",
        "hydra-k5",
        "hydra-fov",
        "hydra-paper",
        "hydra-context",
    ):
        model.set_memory(name, strategy(name).settings)
        assert model.config["memory_strategy"] == name
        torch.testing.assert_close(target(model, given), target(made(name), given), rtol=1e-5, atol=1e-6)
    for name in (
        "recurrent",
        "ssm",
        "identity",
        "segmentation",
        "oracle",
        "dfot",
        "hydra-2x2x2",
        "hydra-1x4x4",
    ):
        with pytest.raises(InputError, match=f"strategy '{name}' needs .*--strategy {name}"):
            model.set_memory(name, strategy(name).settings)


def test_memory_that_was_not_trained_is_refused():
    model = made("concat")
    with pytest.raises(InputError, match="whose tokenizer this model never trained"):
        model.set_memory("hydra", strategy("hydra").settings)
    with pytest.raises(InputError, match="context_recent"):
        model.set_memory("odd", {"context_rule": "ends", "context_recent": -1})
    assert model.config["context_recent"] == 5
    assert model.config["memory_strategy"] == "hydra"  # the name it was made with, unchanged


def test_names():
    with pytest.raises(InputError, match="unknown strategy 'hydro'; known are concat, window"):
        strategy("hydro")
    with pytest.raises(InputError, match="no_such_module cannot be imported"):
        strategy("no_such_module:mine")
    with pytest.raises(InputError, match="'memory_topk' is no setting of the memory"):
        Strategy(name="mine", what="", settings={"memory_topk": 3})
    with pytest.raises(InputError, match="there already"):
        register_strategy(Strategy(name="concat", what="another"))
    check_without_training(strategy("hydra-k5"), MEMORY_FIELDS)
    for each in STRATEGIES.values():
        assert each.base is None or each.base in STRATEGIES
