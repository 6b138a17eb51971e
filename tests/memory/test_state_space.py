"""A state for each place: a recurrence that a reader can work out by hand."""

import torch

from outofsight.memory.state_space import StateSpace, has_state_space


def states_alone(dim: int = 4) -> StateSpace:
    """A state space whose input is 1 wherever it looks, wide open, and comes out as it is; half is kept a frame."""
    space = StateSpace(dim)
    with torch.no_grad():
        space.in_proj.weight.zero_()
        space.in_proj.bias[:dim] = 20.0  # tanh: 1
        space.in_proj.bias[dim:] = 20.0  # sigmoid: 1
        space.out_proj.weight.copy_(torch.eye(dim))
        space.decay_logit.zero_()  # 0.5
    return space


def test_the_state_fills_by_half_a_frame_and_older_frames_go_first():
    frames = torch.randn(1, 3, 2, 4)
    with torch.no_grad():
        alone, states = states_alone()(frames)
        after, _ = states_alone()(frames, states_alone().read(torch.randn(1, 2, 2, 4)))
    scale = 0.1 + 0.1 * 0.5
    torch.testing.assert_close(alone[0, :, 0, 0], scale * torch.tensor([0.5, 0.75, 0.875]))
    torch.testing.assert_close(states[0, :, 0, 0], torch.tensor([0.5, 0.75, 0.875]))
    torch.testing.assert_close(after[0, :, 1, 3], scale * torch.tensor([0.875, 0.9375, 0.96875]))


def test_nothing_is_added_at_first_and_places_do_not_mix():
    torch.manual_seed(1)
    space, frames = StateSpace(4), torch.randn(1, 3, 2, 4)
    assert not space(frames)[0].any()
    torch.nn.init.normal_(space.out_proj.weight)
    changed = frames.clone()
    changed[:, 1, 0, 0] += 1  # of one channel: the norm takes out what all share
    difference = (space(changed)[0] - space(frames)[0]).abs().sum(dim=-1)[0] > 1e-6
    assert difference.tolist() == [[False, False], [True, False], [True, False]]


def test_every_fourth_block():
    assert [layer for layer in range(9) if has_state_space(layer, 4)] == [0, 4, 8]
    assert not has_state_space(0, None)
