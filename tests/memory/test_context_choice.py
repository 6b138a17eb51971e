"""Which context frames a strategy lets in: hand-made camera paths on which the right frames are known."""

import pytest
import torch

from models import lens
from models import turned_cameras as turned
from outofsight.errors import InputError
from outofsight.memory.context_choice import (
    CONTEXT_RULES,
    ContextSettings,
    choose_context,
    num_kept,
    register_context_rule,
)
from outofsight.memory.settings import read_group
from outofsight.types import LatentGrid

LENS = lens(40, 4, 6)


def grid(context: int, frames: int) -> LatentGrid:
    return LatentGrid(frames=frames, height=4, width=6, context_frames=context)


def chosen(poses, context, **settings):
    found = choose_context(
        poses, LENS, grid(context, poses.shape[1]), ContextSettings(rule="views", **settings)
    )
    return found[0].tolist()


def test_frames_that_look_where_the_target_will_look_are_chosen():
    """The context turns 0, 20, 40, ... 140 degrees; the target looks at 40 degrees and a little beside."""
    poses = turned(0, 20, 40, 60, 80, 100, 120, 140, 40, 45)
    assert chosen(poses, 8, recent=1, clips=1) == [2, 7]
    assert chosen(poses, 8, recent=1, clips=2) == [2, 3, 7]
    assert chosen(poses, 8, recent=1, clips=3) == [1, 2, 3, 7]


def test_near_duplicates_come_last():
    """Frames 1, 2 and 3 look the same way: one of them is enough, until nothing else is left."""
    poses = turned(0, 40, 40, 40, 60, 120, 40, 45)
    assert chosen(poses, 6, recent=1, clips=2) == [3, 4, 5]
    assert chosen(poses, 6, recent=1, clips=3) == [0, 3, 4, 5]
    assert chosen(poses, 6, recent=1, clips=5) == [0, 1, 2, 3, 4, 5]


def test_a_duplicate_of_what_is_kept_anyway_comes_last():
    poses = turned(0, 20, 40, 40, 40)
    assert chosen(poses, 4, recent=1, clips=1) == [1, 3]


def test_both_ends_and_the_best_run():
    """Runs of two, counted back from the newest frame between the ends: [1 2] [3 4] [5 6]; the target is at 60."""
    poses = turned(0, 0, 20, 50, 70, 100, 120, 140, 160, 60, 60)
    settings = {"first": 1, "recent": 2, "clips": 1, "clip_frames": 2}
    assert chosen(poses, 9, **settings) == [0, 3, 4, 7, 8]
    assert num_kept(grid(9, 11), ContextSettings(rule="views", **settings)) == 5


def test_each_clip_of_a_batch_chooses_for_itself():
    poses = torch.cat((turned(0, 20, 40, 60, 0), turned(0, 20, 40, 60, 40)))
    settings = ContextSettings(rule="views", recent=1, clips=1)
    assert choose_context(poses, LENS.expand(len(poses), -1), grid(4, 5), settings).tolist() == [
        [0, 3],
        [2, 3],
    ]


@pytest.mark.parametrize("context", [1, 2, 3])
def test_a_short_context_is_kept_whole(context):
    poses = turned(*range(context + 1))
    assert chosen(poses, context, first=1, recent=2, clips=4) == list(range(context))


def test_ends():
    poses = turned(*range(12))
    settings = ContextSettings(rule="ends", first=1, recent=3)
    assert choose_context(poses, LENS.expand(len(poses), -1), grid(10, 12), settings).tolist() == [
        [0, 7, 8, 9]
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"context_rule": "nowhere"}, "context_rule: known are all, ends, views, .*, got 'nowhere'"),
        ({"context_times": "backwards"}, "context_times: expected 'kept' or 'contiguous', got 'backwards'"),
    ],
)
def test_impossible_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        read_group("context", settings)


def test_a_rule_that_answers_wrongly_is_named():
    def too_many(poses, intrinsics, grid, settings):
        return torch.arange(grid.frames).expand(len(poses), -1)

    register_context_rule("too_many", too_many)
    try:
        with pytest.raises(InputError, match="context rule 'too_many' must give indices"):
            choose_context(turned(0, 1, 2), LENS, grid(2, 3), ContextSettings(rule="too_many"))
        with pytest.raises(InputError, match="there already"):
            register_context_rule("too_many", lambda poses, intrinsics, grid, settings: poses)
    finally:
        del CONTEXT_RULES["too_many"]
