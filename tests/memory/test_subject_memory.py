"""Masks carried on by hand-made motion, crops of the last visible frame, and a state that reads in order."""

from math import radians, tan

import pytest
import torch

from models import lens
from models import turned_cameras as turned
from outofsight.memory.rivals import (
    ConvGRU,
    IdentityAttention,
    IdentityEncoder,
    StateMemory,
    extrapolated_masks,
    identity_crops,
    last_seen,
    mask_boxes,
)

HEIGHT, WIDTH = 8, 24
NARROW = lens(10, HEIGHT, WIDTH)


def square(left: float, top: float = 3, size: int = 2) -> torch.Tensor:
    """A mask [h, w] whose square begins at a column, which may be between two."""
    whole, part = int(left // 1), left % 1
    mask = torch.zeros(HEIGHT, WIDTH)
    for offset, share in ((0, 1 - part), (1, part)):
        mask[int(top) : int(top) + size, whole + offset : whole + offset + size] += share
    return mask


def still(frames: int) -> torch.Tensor:
    return torch.eye(3, 4).flatten().expand(1, frames, 12)


def middle(mask: torch.Tensor) -> float:
    return float((mask.sum(dim=0) * (torch.arange(WIDTH) + 0.5)).sum() / mask.sum())


def test_a_mask_goes_on_as_it_was_last_seen_to_move():
    """One column a frame under a still camera with a narrow lens, where angles and columns go together."""
    masks = torch.stack([square(4), square(5), square(6), square(7)])[None, None]
    later = extrapolated_masks(masks, still(4), still(5), NARROW)
    assert later.shape == (1, 1, 5, HEIGHT, WIDTH)
    for frame in range(5):
        torch.testing.assert_close(later[0, 0, frame], square(8 + frame), atol=0.05, rtol=0)


def test_motion_is_of_the_last_visible_frames_and_time_passes_unseen():
    """It turned back before it was hidden for two frames: three columns back by the first target frame."""
    masks = torch.stack(
        [square(4), square(7), square(10), square(9), square(8), square(7)] + [torch.zeros(8, 24)] * 2
    )
    later = extrapolated_masks(masks[None, None], still(8), still(1), NARROW)
    torch.testing.assert_close(later[0, 0, 0], square(4), atol=0.05, rtol=0)


def test_a_turning_camera_is_no_motion():
    """A standing subject seen by a camera that pans away and back is where it was, and nowhere in between."""
    middles = []
    for degrees in (-6.0, -3.0, 0.0):  # the camera turns right: the subject slides left
        place = -torch.tan(torch.tensor((degrees) * torch.pi / 180)) / torch.tan(
            torch.tensor(20 * torch.pi / 180)
        )
        middles.append(float((place + 1) / 2 * WIDTH))
    masks = torch.stack([square(middle - 1) for middle in middles])[None, None]
    later = extrapolated_masks(masks, turned(-6, -3, 0), turned(3, 60, 180, 0), lens(40, HEIGHT, WIDTH))
    assert later[0, 0, 1].sum() == 0
    assert later[0, 0, 2].sum() == 0
    torch.testing.assert_close(later[0, 0, 3], square(11), atol=0.05, rtol=0)
    assert middle(later[0, 0, 0]) < 11.5


def test_masks_cut_by_the_edge_do_not_tell_motion():
    """Two whole frames move by one column; in the last one the square has left in part, its middle moved by less."""
    cut = torch.zeros(HEIGHT, WIDTH)
    cut[3:5, 23:] = 1
    masks = torch.stack([square(18), square(19), cut])[None, None]
    later = extrapolated_masks(masks, still(3), turned(5), NARROW)
    shift = WIDTH / 2  # the lens is 10° wide
    assert middle(later[0, 0, 0]) == pytest.approx(19 + 1 + 2 - shift, abs=0.2)


def test_nobody_stays_nobody():
    masks = torch.zeros(1, 2, 3, HEIGHT, WIDTH)
    masks[0, 1, 2] = square(4)
    later = extrapolated_masks(masks, still(3), still(2), lens(60, HEIGHT, WIDTH))
    assert later[0, 0].sum() == 0
    torch.testing.assert_close(later[0, 1, 1], square(4), atol=1e-4, rtol=0)  # seen once: no motion is known


def test_the_crop_is_of_the_last_visible_frame():
    masks = torch.zeros(1, 2, 4, HEIGHT, WIDTH)
    masks[0, 0, 0], masks[0, 0, 2] = square(2), square(6)
    masks[0, 0, 3, 0, 0] = 0.1  # a trace is not yet seen
    frame, seen = last_seen(masks)
    assert frame.tolist() == [[2, 0]]
    assert seen.tolist() == [[True, False]]
    context = torch.arange(4.0)[None, None, :, None, None].expand(1, 3, 4, HEIGHT, WIDTH) + 1
    crops, known = identity_crops(context, masks, (2, 2))
    assert known.tolist() == [[True, False]]
    torch.testing.assert_close(crops[0, 0], torch.full((3, 2, 2), 3.0))  # frame 2 holds threes
    assert crops[0, 1].abs().sum() == 0


def test_the_crop_is_the_box_scaled():
    masks = torch.zeros(1, 1, 1, HEIGHT, WIDTH)
    masks[0, 0, 0, 2:6, 8:12] = 1
    assert mask_boxes(masks[0, 0, 0]).tolist() == [8, 2, 12, 6]
    assert mask_boxes(torch.zeros(3, 3)).tolist() == [0, 0, 0, 0]
    context = torch.zeros(1, 1, 1, HEIGHT, WIDTH)
    context[0, 0, 0, 2:6, 8:12] = torch.arange(16.0).view(4, 4)
    crops, _ = identity_crops(context, masks, (4, 4))
    torch.testing.assert_close(crops[0, 0, 0], torch.arange(16.0).view(4, 4))
    halved, _ = identity_crops(context, masks, (2, 2))
    torch.testing.assert_close(halved[0, 0, 0], torch.tensor([[2.5, 4.5], [10.5, 12.5]]))


def test_identity_attention_says_nothing_at_first_and_ignores_the_absent():
    torch.manual_seed(0)
    attention, encoder = IdentityAttention(8, 2), IdentityEncoder(3, (2, 2), 8)
    states, crops = torch.randn(2, 5, 8), torch.randn(2, 2, 3, 2, 2)
    seen = torch.tensor([[True, False], [False, False]])
    assert attention(states, *encoder(crops, seen)).abs().max() == 0
    torch.nn.init.normal_(attention.to_out.weight)
    before = attention(states, *encoder(crops, seen))
    crops[:, 1] = 7.0
    crops[1] = -7.0
    assert torch.equal(attention(states, *encoder(crops, seen)), before)
    crops[0, 0] = 7.0
    assert not torch.allclose(attention(states, *encoder(crops, seen))[0], before[0])


def test_a_gated_step_by_hand():
    cell = ConvGRU(1, 1)
    for parameter in cell.parameters():
        torch.nn.init.zeros_(parameter)
    torch.nn.init.constant_(cell.candidate.bias, 100.0)  # proposes 1; the gates are open by half
    state = cell(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.5))
    torch.testing.assert_close(state, torch.full((1, 1, 2, 2), 0.75))


def test_the_state_is_of_one_size_and_knows_the_order():
    torch.manual_seed(0)
    memory = StateMemory(channels=4, width=6, grid=(2, 3), dim=10)
    context, poses = torch.randn(1, 4, 5, 8, 12), torch.randn(1, 5, 12)
    assert memory(context, poses).abs().max() == 0  # blank until it has learned
    torch.nn.init.normal_(memory.projection.weight)
    for frames in (1, 3, 5):
        assert memory(context[:, :, :frames], poses[:, :frames]).shape == (1, 6, 10)
    forward, backward = memory(context, poses), memory(context.flip(2), poses.flip(1))
    assert not torch.allclose(forward, backward, atol=1e-3)
    assert not torch.allclose(forward, memory(context, poses.flip(1)), atol=1e-3)


@pytest.mark.parametrize("fov", [20, 40, 80])
def test_how_far_a_turn_carries_a_mask_is_a_matter_of_the_lens(fov):
    """Seen once, on the axis: a camera that turns 5° to the right sees it f · tan 5° of the picture to the left."""
    masks = square(11)[None, None, None]
    later = extrapolated_masks(masks, still(1), turned(5), lens(fov, HEIGHT, WIDTH))
    shift = WIDTH * tan(radians(5)) / (2 * tan(radians(fov / 2)))
    assert middle(later[0, 0, 0]) == pytest.approx(12 - shift, abs=0.01)


def test_an_axis_off_the_middle():
    """The axis goes through the 6th column from the left: who stands there stays there as the camera rolls on."""
    off = torch.tensor([[0.5, 1.5, 0.25, 0.5]])
    rolled = still(1).clone().unflatten(-1, (3, 4))
    rolled[..., :2, :2] = torch.tensor([[-1.0, 0.0], [0.0, -1.0]])
    on_axis, aside = square(5), square(11)
    later = extrapolated_masks(torch.stack((on_axis, aside))[None, :, None], still(1), rolled.flatten(2), off)
    assert middle(later[0, 0, 0]) == pytest.approx(6, abs=0.01)
    assert middle(later[0, 1, 0]) == pytest.approx(0, abs=1)  # 6 columns to the other side, half cut off
