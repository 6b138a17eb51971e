"""The demo's pictures, by hand: which frames are where, and in which colour."""

import numpy as np
import pytest
import torch
from PIL import Image

from outofsight.data.video import read_video
from outofsight.demo.memory_picture import (
    CELL,
    LEFT,
    ROW,
    TOP,
    draw_memory,
    memory_use,
    subject_slices,
    video_frames_of,
)
from outofsight.demo.moving_picture import (
    GAP,
    LAST_FRAME_S,
    PHASES_ON_DARK,
    TWO_PANELS,
    SideBySide,
    draw_frames,
    text_lines,
    write_moving_picture,
)
from outofsight.demo.moving_picture import TOP as PANEL_TOP
from outofsight.evaluation.case import ClipCase, Phase
from outofsight.sampling.continuation import Retrieval
from outofsight.types import Visibility

CONTEXT, TARGET = 9, 13


@pytest.fixture
def shown():
    """A subject that leaves after 5 frames and is back from frame 14 on; the truth is dark, what is shown is light."""
    visibility = np.full((1, CONTEXT + TARGET), Visibility.OUT_OF_VIEW, dtype=np.int8)
    visibility[0, :5] = visibility[0, 14:] = Visibility.VISIBLE
    case = ClipCase(
        name="by hand",
        context=np.full((CONTEXT, 16, 24, 3), 10, dtype=np.uint8),
        truth=np.full((TARGET, 16, 24, 3), 60, dtype=np.uint8),
        fps=10.0,
        visibility=visibility,
        subject_names=("black_cat",),
    )
    generated = np.full((TARGET, 16, 24, 3), 200, dtype=np.uint8)
    return SideBySide(case=case, generated=generated, caption="A cat goes away. " * 30, maker="the model")


def test_both_panels_show_the_context_and_then_truth_and_model(shown):
    frames = [np.asarray(frame) for frame in draw_frames(shown)]
    assert len(frames) == CONTEXT + TARGET
    left, right = GAP + TWO_PANELS // 2, 2 * GAP + TWO_PANELS * 3 // 2
    middle = PANEL_TOP + 40
    assert {(*frames[8][middle, left], *frames[8][middle, right])} == {(10,) * 6}
    assert {(*frames[9][middle, left], *frames[9][middle, right])} == {(60,) * 3 + (200,) * 3}


def test_panels_are_framed_in_the_phase_of_the_target(shown):
    frames = [np.asarray(frame) for frame in draw_frames(shown)]
    corner = (PANEL_TOP - 2, GAP - 2)
    assert tuple(frames[13][corner]) == PHASES_ON_DARK[Phase.HIDDEN]
    assert tuple(frames[14][corner]) == PHASES_ON_DARK[Phase.REENTERED]
    assert tuple(frames[2][corner]) not in PHASES_ON_DARK.values()


def test_the_moving_picture_is_written_in_both_forms(shown, tmp_path):
    write_moving_picture(shown, tmp_path / "a.mp4", tmp_path / "a.webp")
    frames, fps = read_video(tmp_path / "a.mp4")
    assert fps == 10
    assert len(frames) == CONTEXT + TARGET + round(LAST_FRAME_S * fps)
    with Image.open(tmp_path / "a.webp") as page:
        assert page.size == (frames.shape[2], frames.shape[1])
        assert page.n_frames > 1  # equal neighbours are joined
        assert page.info["loop"] == 0


def test_long_captions_end_in_an_ellipsis():
    assert text_lines("one two three", 20, 2) == ["one two three"]
    lines = text_lines("word " * 50, 20, 2)
    assert len(lines) == 2
    assert lines[1].endswith("...")
    assert max(map(len, lines)) <= 20


def test_latent_frames_stand_for_one_video_frame_and_then_four():
    spans = [video_frames_of(latent, 3, CONTEXT, TARGET) for latent in range(7)]
    assert spans == [
        range(0, 1), range(1, 5), range(5, 9),
        range(9, 10), range(10, 14), range(14, 18), range(18, 22),
    ]  # fmt: skip


@pytest.fixture
def use():
    """Two steps, one layer, 3 + 4 latent frames, slices of 2; each frame retrieves two of the three slices."""
    slices = torch.zeros(2, 1, 7, 2, dtype=torch.long)
    slices[0, 0, 3:] = torch.tensor([[0, 1], [0, 2], [0, 1], [2, 0]])  # best first
    slices[1, 0, 3:] = torch.tensor([[1, 0], [0, 2], [1, 2], [2, 0]])
    retrieval = Retrieval(slices=slices, frames_per_slice=2, num_context_latent_frames=3)
    windows = np.array([[0, 2], [0, 2], [1, 3], [2, 4], [3, 5], [4, 6], [4, 6]])
    return memory_use(retrieval, 3, windows)


def test_retrievals_are_counted_over_steps_and_layers(use):
    assert use.chosen.tolist() == [[1, 1, 0], [1, 0, 1], [0.5, 1, 0.5], [1, 0, 1]]
    assert use.first.tolist() == [[0.5, 0.5, 0], [1, 0, 0], [0.5, 0.5, 0], [0, 0, 1]]
    assert use.windows.tolist() == [[2, 4], [3, 5], [4, 6], [4, 6]]
    assert use.num_retrieved == 2


def test_slices_that_show_the_subject(use):
    """Slice 0 is video frames 0 to 4, slice 1 is 5 to 9, slice 2 is 10 to 17."""
    seen = np.zeros(CONTEXT + TARGET, dtype=bool)
    seen[[4, 14]] = True
    assert subject_slices(use, (CONTEXT, TARGET), seen).tolist() == [True, False, True]


def test_the_memory_picture_has_a_cell_for_every_frame_and_slice(shown, use):
    picture = np.asarray(draw_memory(shown, use))
    never = picture[TOP + ROW // 2, LEFT + 2 * CELL + 8]
    always = picture[TOP + ROW + ROW // 2, LEFT + 8]
    assert always[2] > never[2] + 100  # blue grows with the share
    assert picture[TOP + ROW + ROW // 2, LEFT + CELL // 2].min() > 200  # the dot of a first choice
