"""The recogniser's losses, views and figures, worked out by hand."""

import numpy as np
import pytest
import torch

from clips import hand_made_clip
from outofsight.perception.seeing import Found
from outofsight.training.recogniser_measures import (
    Sighting,
    best_match,
    figures_of,
    is_false,
    look_at,
    overlap,
    retrieval,
)
from outofsight.training.recogniser_objective import contrast, mask_loss, mean_by_sample
from outofsight.training.recogniser_task import RecogniserTask, Spoiling
from outofsight.training.recogniser_views import blurred, moved, pasted, spoiled

CHANCE = np.random.default_rng


def test_a_sure_and_right_mask_costs_nothing_and_a_sure_wrong_one_much():
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, :2] = True
    sure = torch.where(mask, 40.0, -40.0)
    assert mask_loss(sure, mask).item() == pytest.approx(0, abs=1e-6)
    # wrong everywhere: 40 nats a pixel, and an overlap of 0 of 16 pixels, smoothed by 8
    assert mask_loss(-sure, mask).item() == pytest.approx(40 + 1 - 8 / 24, rel=1e-5)


def test_an_empty_picture_seen_as_empty_costs_nothing():
    empty = torch.zeros(1, 4, 4, dtype=torch.bool)
    assert mask_loss(torch.full((1, 4, 4), -40.0), empty).item() == pytest.approx(0, abs=1e-6)


def test_contrast_by_hand():
    x, y = [1.0, 0.0], [0.0, 1.0]
    vectors, labels = torch.tensor([x, x, y, y]), torch.tensor([0, 0, 1, 1])
    # each has one fellow at cosine 1 and two others at cosine 0
    expected = -np.log(np.e / (np.e + 2))
    torch.testing.assert_close(contrast(vectors, labels, 1.0), torch.full((4,), expected))
    worse = contrast(torch.tensor([x, y, x, y]), labels, 1.0)
    assert (worse > expected).all()


def test_one_alone_has_nothing_to_learn():
    vectors = torch.nn.functional.normalize(
        torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), dim=-1
    )
    vectors.requires_grad_()
    assert contrast(vectors, torch.tensor([0, 0, 0]), 0.1).tolist() == [0, 0, 0]  # all are fellows
    told = contrast(vectors, torch.tensor([0, 0, 1]), 0.1)
    assert told[2] == 0
    told.sum().backward()
    assert vectors.grad.isfinite().all()
    assert contrast(vectors[:1], torch.tensor([0]), 0.1).tolist() == [0]
    assert contrast(vectors[:0], torch.tensor([], dtype=torch.long), 0.1).tolist() == []


def test_means_by_sample():
    values, samples = torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 0, 2])
    assert mean_by_sample(values, samples, 3).tolist() == [2, 0, 5]


def test_pasting_by_hand():
    frame, backdrop = np.full((1, 4, 3), 9, np.uint8), np.full((1, 4, 3), 5, np.uint8)
    ids, behind = np.array([[0, 2, 2, 0]], np.uint8), np.array([[1, 1, 0, 0]], np.uint8)
    picture, own = pasted(frame, ids, backdrop, behind)
    assert picture[0, :, 0].tolist() == [5, 9, 9, 5]
    assert own.tolist() == [[255, 2, 2, 0]]


def test_mirrored_frames_keep_their_masks():
    frame = CHANCE(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    ids = (frame[..., 0] > 128).astype(np.uint8)
    settings = Spoiling(flip_share=1.0, zoom_share=0.0)
    picture, own = moved(frame, ids, settings, CHANCE(1))
    np.testing.assert_array_equal(picture, frame[:, ::-1])
    np.testing.assert_array_equal(own, ids[:, ::-1])


def test_enlarged_frames_keep_their_masks():
    frame = np.zeros((32, 48, 3), dtype=np.uint8)
    frame[8:24, 16:32] = 255
    ids = (frame[..., 0] > 0).astype(np.uint8) * 3
    picture, own = moved(frame, ids, Spoiling(flip_share=0.0, zoom_share=1.0, zoom=0.7), CHANCE(2))
    assert picture.shape == frame.shape
    assert set(np.unique(own)) <= {0, 3}
    assert (own > 0).sum() > (ids > 0).sum()
    assert ((picture[..., 0] > 127) == (own > 0)).mean() > 0.97


def test_nothing_is_spoiled_if_nothing_is_asked_for():
    frame = CHANCE(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    none = Spoiling(coarsen_share=0, blur_share=0, blotch_share=0, noise_share=0, light_share=0)
    np.testing.assert_array_equal(spoiled(frame, none, CHANCE(3)), frame)


@pytest.mark.parametrize("damage", ["coarsen", "blur", "blotch", "noise", "light"])
def test_every_damage_is_done(damage):
    frame = CHANCE(0).integers(64, 192, (16, 24, 3), dtype=np.uint8)
    shares = {
        f"{name}_share": float(name == damage) for name in ("coarsen", "blur", "blotch", "noise", "light")
    }
    worse = spoiled(frame, Spoiling(**shares), CHANCE(4)).astype(float)
    assert np.abs(worse - frame).mean() > 0.5
    if damage in ("coarsen", "blur"):
        assert worse.std() < frame.std()
        assert worse.mean() == pytest.approx(frame.mean(), abs=4)


def test_a_blur_spreads_a_point_and_keeps_its_sum():
    point = torch.zeros(1, 3, 21, 21)
    point[..., 10, 10] = 100
    wide = blurred(point, 1.5)
    assert wide.sum(dim=(2, 3)).tolist()[0] == pytest.approx([100] * 3, rel=1e-4)
    torch.testing.assert_close(wide, wide.transpose(-1, -2))
    spread = (wide[0, 0].sum(dim=0) / 100 * (torch.arange(21) - 10.0) ** 2).sum()
    assert spread.item() == pytest.approx(1.5**2, rel=0.1)


def mask(*columns):
    grid = np.zeros((4, 10), dtype=bool)
    grid[:, list(columns)] = True
    return grid


def found(*columns, kind="cow"):
    box = np.array([min(columns), 0, max(columns) + 1, 4], np.float32)
    return Found(box_px=box, score=1.0, mask=mask(*columns), kind=kind, identity=np.array([1, 0], np.float32))


def test_matching_by_hand():
    assert overlap(mask(0, 1), mask(1, 2)) == pytest.approx(1 / 3)
    near, exact = found(0, 1, 2, 3), found(1, 2)
    assert best_match([near, exact], mask(1, 2)) is exact
    assert best_match([found(0, 1, 2, 3, 4)], mask(1, 2)) is None
    assert best_match([], mask(1)) is None
    assert is_false(found(5), mask(1))
    assert not is_false(found(1, 2), mask(1))


def sighting(clip, kind, vector, after):
    return Sighting(subject=(clip, 0), kind=kind, identity=np.array(vector, np.float32), after=after)


def test_knowing_again_by_hand():
    seen = [
        sighting("a", "cow", [1, 0], False), sighting("a", "cow", [0.8, 0.6], False),
        sighting("b", "cow", [0, 1], False), sighting("c", "van", [-1, 0], False),
        sighting("a", "cow", [1, 0], True), sighting("b", "cow", [0.9, 0.1], True),  # the second is taken for a
        sighting("c", "van", [-0.9, 0], True), sighting("d", "van", [1, 0], True),  # d was never seen before
    ]  # fmt: skip
    told = retrieval(seen)
    assert told["identity_accuracy"] == pytest.approx(2 / 3)
    assert told["identity_accuracy_in_kind"] == pytest.approx(1 / 2)  # c has no rival of its kind
    assert told["num_subjects"] == 3


def test_no_clips_give_no_figures():
    figures = figures_of([])
    assert all(np.isnan(figures[name]) for name in ("iou", "found", "kind_accuracy", "identity_accuracy"))


class Oracle:
    """Finds a square by its brightness, and calls it a square; its rule is the real one's."""

    class rule:
        least_probability = 0.5

    def probabilities(self, frames):
        return (frames.min(axis=-1) > 200).astype(np.float32)

    def detect(self, frames):
        return [[self.found(one > 0)] if one.any() else [] for one in self.probabilities(frames)]

    def found(self, mask):
        box, identity = np.zeros(4, np.float32), np.ones(1, np.float32)
        return Found(box_px=box, score=1.0, mask=mask, kind="square", identity=identity)


def test_figures_of_a_clip_by_hand():
    clip = hand_made_clip()  # white in frames 0–3 and 8–10; hidden between
    task = RecogniserTask(kinds=("white square", "square"))
    counted = look_at(Oracle(), clip, task)
    assert (counted.num_shown, counted.num_found, counted.num_right_kind) == (7, 7, 0)
    assert counted.overlap_px == counted.union_px == 7 * 120
    assert [one.after for one in counted.sightings] == [False] * 4 + [True] * 3
    assert (counted.num_false, counted.num_frames) == (0, 11)
    assert figures_of([counted])["identity_accuracy"] == 1.0
    dark = look_at(Oracle(), clip, task, np.zeros_like(clip.video))
    assert (dark.overlap_px, dark.union_px, dark.num_found) == (0, 7 * 120, 0)
