"""Which lens a clip is seen through (what is told, clip by clip; else the configured one), and where memory lies."""

from math import atan2, cos

import pytest
import torch

from models import lens, tiny_inputs, tiny_transformer
from outofsight.backbone.sequence import known_intrinsics, looks_at_lens, rotary_at
from outofsight.errors import InputError
from outofsight.memory.strategies import strategy
from outofsight.types import LatentGrid

CONFIG = {"camera_fov_x_deg": 90.0}
PICTURES = (2, (4, 8), torch.device("cpu"))
NAN = torch.nan


def test_the_configured_lens_stands_in_where_none_is_told():
    """90° across: f is half the width, which is a whole height of 4 by 8."""
    default = torch.tensor([0.5, 1.0, 0.5, 0.5])
    assert known_intrinsics(CONFIG, None, *PICTURES).tolist() == [default.tolist()] * 2
    reported = torch.tensor([[0.7, 1.4, 0.4, 0.5], [NAN, NAN, NAN, NAN]])
    torch.testing.assert_close(
        known_intrinsics(CONFIG, reported, *PICTURES), torch.stack((reported[0], default))
    )


def test_half_a_lens_is_none():
    reported = torch.tensor([[0.7, NAN, 0.4, 0.5]] * 2)
    assert known_intrinsics(CONFIG, reported, *PICTURES).tolist() == [[0.5, 1.0, 0.5, 0.5]] * 2


@pytest.mark.parametrize("shape", [(4,), (1, 4), (2, 3), (2, 1, 4)])
def test_four_numbers_a_clip_or_one_line(shape):
    with pytest.raises(InputError, match=r"expected intrinsics \[2, 4\] \(fx, fy, cx, cy .*, got "):
        known_intrinsics(CONFIG, torch.ones(shape), *PICTURES)


@pytest.mark.parametrize("fov", [0.0, 180.0, -10.0, NAN])
def test_no_default_lens_is_0_or_180_degrees_wide(fov):
    with pytest.raises(InputError, match=r"camera_fov_x_deg: expected (greater than 0|less than 180), got"):
        tiny_transformer(camera_fov_x_deg=fov)


LOOKING = {
    "rays": {"camera_ray_octaves": 2},
    "overlap": {"memory_affinity": "fov_overlap", "memory_top_k": 1},
    "views": {**strategy("fov").settings, "context_clips": 1, "context_recent": 1},
    "banks": {
        **strategy("hybrid").settings,
        "banks": {"reader_width": 8, "identity_width": 4, "archive_slots": 3},
    },
}


def looking(name: str):
    model = tiny_transformer(**LOOKING[name])
    for block in model.blocks:
        if name == "rays":
            torch.nn.init.normal_(block.attn1.ray_encoder.weight, std=0.2)
    return model


@torch.no_grad()
@pytest.mark.parametrize("name", LOOKING)
def test_lenses_in_a_batch_are_as_each_alone(name):
    model, given = looking(name), tiny_inputs(batch=2)
    assert looks_at_lens(model.config)
    lenses = torch.cat((lens(30, 4, 6), torch.tensor([[0.9, 0.8, 0.35, 0.6]])))
    together = model(**given, intrinsics=lenses).sample
    for clip in range(2):
        alone = {key: value[[clip]] for key, value in given.items()}
        torch.testing.assert_close(
            together[[clip]], model(**alone, intrinsics=lenses[[clip]]).sample, atol=1e-5, rtol=1e-4
        )
    unknown = torch.stack((lenses[0], torch.full((4,), NAN)))
    default = torch.cat((lenses[:1], lens(90, 8, 12)))
    assert torch.equal(model(**given, intrinsics=unknown).sample, model(**given, intrinsics=default).sample)
    assert torch.equal(model(**given).sample, model(**given, intrinsics=lens(90, 8, 12, 2)).sample)


@torch.no_grad()
def test_rays_tell_one_lens_from_another():
    model, given = looking("rays"), tiny_inputs()
    assert not torch.allclose(model(**given, intrinsics=lens(40, 4, 6)).sample, model(**given).sample)


@torch.no_grad()
def test_a_published_model_does_not_look():
    model, given = tiny_transformer(), tiny_inputs()
    assert not looks_at_lens(model.config)
    assert torch.equal(model(**given, intrinsics=lens(40, 4, 6)).sample, model(**given).sample)


def test_memory_lies_at_the_middle_of_time_and_the_corner_of_space():
    grid = LatentGrid(frames=4, height=4, width=6)
    table = rotary_at(torch.arange(4.0)[None], grid, 24, (2, 2, 2))
    token = (1 * 2 + 1) * 3 + 2  # slice 1, row 1, column 2
    angles = [atan2(table.sin[0, token, i], table.cos[0, token, i]) for i in (0, 4)]
    assert angles == pytest.approx([2.5, 2.0])
    assert table.cos[0, token, 8] == pytest.approx(cos(4.0))
