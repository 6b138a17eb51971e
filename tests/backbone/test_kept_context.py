"""A context that is made once: asked again for the same, the target's velocity is that of the whole sequence."""

import pytest
import torch

from models import tiny_inputs, tiny_transformer, turned_cameras
from outofsight.backbone.kept_context import KeptContext
from outofsight.memory.strategies import strategy

SMALL = {"archive_slots": 12, "subject_slots": 2, "top_k": 3, "reader_width": 8, "identity_width": 4}
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.mark.parametrize(
    "name",
    [
        "hydra",
        "hydra-context",
        "hydra-fov",
        "window",
        "concat",
        "fov",
        "hybrid",
        "hybrid+hydra",
        "recurrent",
        "ssm",
    ],
)
@torch.no_grad()
def test_the_same_question_has_the_same_answer(name):
    chosen = dict(strategy(name).settings)
    if chosen.get("banks") is not None:
        chosen["banks"] = SMALL
    model = tiny_transformer(**{**chosen, "memory_kernel": (1, 1, 1), "camera_ray_octaves": 2})
    if name == "ssm":
        torch.nn.init.normal_(model.blocks[0].attn1.state_space.out_proj.weight)
    poses = turned_cameras(-40, -30, -20, -10, 0, 10, 20, 30, 0, -20).expand(2, -1, -1)
    given = tiny_inputs(2, 7, 3) | {"context_cameras": poses[:, :7], "target_cameras": poses[:, 7:]}
    plain = model(**given, return_retrieval=True)
    kept = KeptContext()
    first = model(**given, kept_context=kept, return_retrieval=True)
    assert torch.equal(first.sample, plain.sample)
    again = model(**given, kept_context=kept, return_retrieval=True)
    torch.testing.assert_close(again.sample[:, :, 7:], plain.sample[:, :, 7:], **CLOSE)
    assert not again.sample[:, :, :7].any()
    assert torch.equal(again.retrieved_slices, plain.retrieved_slices)


@torch.no_grad()
def test_another_target_sees_the_context_as_it_was():
    model = tiny_transformer(local_window=None, memory_top_k=0)
    given, kept = tiny_inputs(1, 4, 2), KeptContext()
    model(**given, kept_context=kept)
    other = {**given, "hidden_states": given["hidden_states"].clone(), "timestep": given["timestep"] / 2}
    other["hidden_states"][:, :, :4] = 0  # no longer looked at
    reported = model(**other, kept_context=kept).sample[:, :, 4:]
    other["hidden_states"][:, :, :4] = given["hidden_states"][:, :, :4]
    assert torch.equal(reported, model(**other, kept_context=kept).sample[:, :, 4:])
    assert not torch.allclose(reported, model(**other).sample[:, :, 4:], **CLOSE)
