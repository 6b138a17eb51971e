"""What keeps subjects from their places: a rendered target judged by hand, subjects put where they truly are."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from outofsight.memory.rendering import Rendered
from render_limits import judged, true_places
from small_world import square_clip


def test_a_rendered_target_is_judged_on_the_frames_that_show_a_subject_and_on_those_that_show_none():
    clip = square_clip("judged")
    split, masks = clip.num_context_frames, np.zeros_like(clip.masks)
    masks[split, 4:10, 4:10] = 1
    clip = replace(clip, masks=masks)
    frames = len(clip.video) - split
    pixels = torch.from_numpy(clip.video[split:]).float().movedim(-1, 1)[None] / 127.5 - 1
    subject = torch.zeros(1, frames, *masks.shape[1:])
    subject[0, 0, 4:10, 7:13] = 1.0  # half of it beside the true one
    subject[0, 1, :4, :4] = 1.0  # and where there is none
    pixels[0, 0, :, 4:10, 4:10] += 10 / 127.5
    metrics = judged(Rendered(pixels, subject, subject, 0 * subject), clip)
    assert metrics["overlap"] == 1.0
    assert metrics["iou"] == pytest.approx(18 / 54)
    assert metrics["ghosts"] == pytest.approx(1 / (frames - 1))
    assert metrics["fg_psnr"] == pytest.approx(
        10 * np.log10(255**2 * 64 / (36 * 100)), abs=0.1
    )  # widened: 8×8
    assert metrics["psnr"] == pytest.approx(
        (100 * (frames - 1) + 10 * np.log10(255**2 * masks[split].size / (36 * 100))) / frames, abs=0.1
    )
    assert metrics["bg_psnr"] == 100


def test_subjects_are_put_where_the_true_ones_are_stand_or_go():
    path = np.zeros((1, 12, 3))
    path[0, :, 0] = np.where(np.arange(12) < 8, np.arange(12), 7.0)  # it stops when nobody looks any more
    seen = SimpleNamespace(places=path, split=6, later=torch.arange(6.0, 12)[None])
    tracks = SimpleNamespace(
        position=torch.tensor([[[5.5, 0.0, 0.0], [40.0, 0.0, 0.0]]]),
        last_seen=torch.tensor([[4.0, 5.0]]),
        filled=torch.tensor([[True, True]]),
    )
    where = {
        how: true_places(SimpleNamespace(tracks=tracks), seen, how)
        for how in ("still", "straight", "true place")
    }
    assert where["still"].position[0, :, 0, 0].tolist() == [4] * 6
    assert where["straight"].position[0, :, 0, 0].tolist() == [6, 7, 8, 9, 10, 11]
    assert where["true place"].position[0, :, 0, 0].tolist() == [6, 7, 7, 7, 7, 7]
    assert all(each.shown[0, :, 1].sum() == 0 for each in where.values())  # nobody is near the second
