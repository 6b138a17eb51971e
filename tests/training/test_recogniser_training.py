"""Training the recogniser on squares that cross a picture: what a run leaves, that it learns, that it goes on."""

import json

import numpy as np
import pytest
import torch

from clips import hand_made_clip
from outofsight.data.dataset import open_dataset
from outofsight.errors import CheckpointError, DatasetError, InputError
from outofsight.perception.recogniser import Recogniser
from outofsight.perception.seeing import Found
from outofsight.training.batches import ClipStore
from outofsight.training.config import (
    Batch,
    Optimisation,
    StateFiles,
    TrainConfig,
    Validation,
    changed,
    from_dict,
    to_dict,
)
from outofsight.training.loop import train
from outofsight.training.recipes import recipe
from outofsight.training.recogniser_batches import (
    NO_KIND,
    RecogniserBatches,
    annotation_of,
    augmented,
    blurred,
    moved_aside,
    pasted,
)
from outofsight.training.recogniser_training import (
    FoundSubject,
    RecogniserObjective,
    answers_on,
    best_match,
    contrast,
    figures_of,
    is_false,
    make_network,
    mask_loss,
    mean_by_sample,
    overlap,
    retrieval,
    tinted,
)
from outofsight.training.run_folder import read_log
from outofsight.training.state import load_latest_state
from outofsight.training.tasks import Augmentation, RecogniserTask

TASK = {"kinds": ("ball", "square"), "widths": (8, 8, 16, 16), "num_blocks": 1, "identity_dim": 8, "num_views": 2,
        "subjects_per_clip": 2}  # fmt: skip
UNSPOILT = {name: 0.0 for name in Augmentation.__dataclass_fields__ if name.endswith("_share")}


@pytest.fixture
def config():
    def make(**changes):
        return TrainConfig(
            recipe="toy", task=RecogniserTask(**{**TASK, **changes.pop("task", {})}),
            num_steps=changes.pop("num_steps", 4), batch=Batch(**{"size": 4, **changes.pop("batch", {})}),
            validation=Validation(**{"every_steps": 0, "videos_every_steps": 0, **changes.pop("validation", {})}),
            optimisation=Optimisation(**{"learning_rate": 1e-2, "ema_decay": 0.5, **changes.pop("optimisation", {})}),
            state=StateFiles(**changes.pop("state", {})), **changes,
        )  # fmt: skip

    return make


def batches(data, **changes):
    store = ClipStore(open_dataset(data, "train").entries, 8)
    return RecogniserBatches(store, RecogniserTask(**{**TASK, **changes}), seed=0)


def test_a_run_leaves_a_recogniser_that_finds_squares(config, data, tmp_path):
    task = {"widths": (16, 16, 16, 16), "augmentation": Augmentation(**UNSPOILT)}
    settings = config(num_steps=80, task=task, log_every_steps=1, state={"export_dtype": "float16"},
                      validation={"every_steps": 80, "videos_every_steps": 80, "num_videos": 1})  # fmt: skip
    train(settings, data, tmp_path / "run")
    log = read_log(tmp_path / "run")
    losses = [line["mask"] for line in log if "mask" in line]
    assert sum(losses[-5:]) < 0.3 * sum(losses[:5])
    figures = next(line for line in log if "validation/iou" in line)
    assert figures["validation/iou"] > 0.8
    assert figures["validation/kind_accuracy"] == 1.0
    assert figures["validation/num_sightings"] == 2 * 18
    assert figures["validation/identity_accuracy"] is None  # no square is ever hidden
    assert (tmp_path / "run" / "videos" / "step-00000080" / "clip_000006.mp4").is_file()
    recogniser = Recogniser.from_pretrained(tmp_path / "run" / "export")
    clip = open_dataset(data, "validation")[0]
    found = recogniser.detect(clip.video)
    assert sum(len(one) == 1 and one[0].kind == "square" for one in found) >= 15
    assert json.loads((tmp_path / "run" / "export" / "config.json").read_text())["kinds"] == [
        "ball",
        "square",
    ]


def test_a_run_stopped_and_taken_up_ends_with_the_same_bits(config, data, tmp_path):
    train(config(), data, tmp_path / "whole")
    asked = iter([False, True])
    train(config(), data, tmp_path / "parts", stop=lambda: next(asked))
    result = train(config(), data, tmp_path / "parts", resume=True)
    assert result.finished
    whole, parts = (load_latest_state(tmp_path / name / "states").tensors for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_run_may_begin_from_an_export(config, data, tmp_path):
    train(config(num_steps=1), data, tmp_path / "run")
    export = str(tmp_path / "run" / "export")
    begun = make_network(config(task={"initial": export}).task, 0)
    assert torch.equal(begun.stem.weight, Recogniser.from_pretrained(export).network.stem.weight)
    with pytest.raises(CheckpointError, match=r"knows 2 kinds, task\.kinds are 1 others"):
        make_network(config(task={"initial": export, "kinds": ("square",)}).task, 0)


def test_views_are_a_function_of_the_position(data):
    first, again = batches(data).make(0, [3, 4]), batches(data).make(7, [4])
    for name, values in first.items():
        assert torch.equal(values[1], again[name][0]), name
    assert not torch.equal(first["frames"][0], first["frames"][1])


def test_views_unspoilt_are_frames_with_their_masks(data):
    batch = batches(data, augmentation=Augmentation(**UNSPOILT), num_views=3).make(0, [0])
    name = batches(data).names([0])[0]
    clip = next(clip for clip in open_dataset(data, "train") if clip.name == name)
    for frame, ids in zip(batch["frames"][0].numpy(), batch["ids"][0].numpy(), strict=True):
        (place,) = np.flatnonzero((clip.video == frame).all(axis=(1, 2, 3)))
        np.testing.assert_array_equal(ids, clip.masks[place])
    assert batch["kinds"].tolist() == [[1, NO_KIND]]
    assert batch["own_backdrop"].all()


def test_a_pasted_view_keeps_who_is_in_front_and_does_not_name_who_is_behind(data):
    batch = batches(data, augmentation=Augmentation(**{**UNSPOILT, "paste_share": 1.0})).make(0, [0, 1, 2])
    assert not batch["own_backdrop"].any()
    assert set(batch["ids"].unique().tolist()) == {0, 1, 255}
    bright = (batch["frames"] > 200).all(dim=-1)
    assert (bright[batch["ids"] > 0]).float().mean() > 0.99  # both clips' squares are bright, scenery is not


def test_a_clip_that_cannot_teach_is_named(data):
    clip = open_dataset(data, "train")[0]
    with pytest.raises(DatasetError, match=r"shows a 'square', not among the 1 kinds"):
        annotation_of(clip, RecogniserTask(**{**TASK, "kinds": ("ball",)}))
    object.__setattr__(clip, "masks_are_instances", False)
    with pytest.raises(DatasetError, match="has no masks of single subjects"):
        annotation_of(clip, RecogniserTask(**TASK))


def test_every_part_of_the_network_learns(config, data):
    task = config().task
    objective = RecogniserObjective(make_network(task, 0), task).train()
    batch = batches(data, augmentation=Augmentation(**UNSPOILT)).make(0, [0, 1, 2, 3])
    objective(batch)["loss"].sum().backward()
    still = [
        name for name, weight in objective.named_parameters() if weight.grad is None or not weight.grad.any()
    ]
    assert still == []


def test_the_recipe_is_a_configuration_like_any_other():
    config = recipe("mini_recogniser")
    assert from_dict(to_dict(config)) == config
    assert changed(config, {"task.augmentation.zoom": 0.5}).task.augmentation.zoom == 0.5
    with pytest.raises(InputError, match=r"task\.num_views: .*greater than or equal to 2"):
        changed(config, {"task.num_views": 1})
    with pytest.raises(InputError, match="all weights are 0"):
        changed(config, {f"task.{part}_weight": 0 for part in ("mask", "kind", "identity", "picture")})


def test_checkpointing_is_not_promised(config, data, tmp_path):
    with pytest.raises(InputError, match="no gradient checkpointing"):
        train(config(batch={"gradient_checkpointing": True}), data, tmp_path / "run")


def test_tint_is_half_red_where_it_is_sure():
    video = np.full((1, 1, 2, 3), 100, dtype=np.uint8)
    assert tinted(video, np.array([[[0.0, 1.0]]])).tolist() == [[[[100, 100, 100], [178, 80, 80]]]]


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
    reported = contrast(vectors, torch.tensor([0, 0, 1]), 0.1)
    assert reported[2] == 0
    reported.sum().backward()
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
    settings = Augmentation(flip_share=1.0, zoom_share=0.0)
    picture, own = moved_aside(frame, ids, settings, CHANCE(1))
    np.testing.assert_array_equal(picture, frame[:, ::-1])
    np.testing.assert_array_equal(own, ids[:, ::-1])


def test_enlarged_frames_keep_their_masks():
    frame = np.zeros((32, 48, 3), dtype=np.uint8)
    frame[8:24, 16:32] = 255
    ids = (frame[..., 0] > 0).astype(np.uint8) * 3
    picture, own = moved_aside(frame, ids, Augmentation(flip_share=0.0, zoom_share=1.0, zoom=0.7), CHANCE(2))
    assert picture.shape == frame.shape
    assert set(np.unique(own)) <= {0, 3}
    assert (own > 0).sum() > (ids > 0).sum()
    assert ((picture[..., 0] > 127) == (own > 0)).mean() > 0.97


def test_nothing_is_augmented_if_nothing_is_asked_for():
    frame = CHANCE(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    none = Augmentation(coarsen_share=0, blur_share=0, blotch_share=0, noise_share=0, light_share=0)
    np.testing.assert_array_equal(augmented(frame, none, CHANCE(3)), frame)


@pytest.mark.parametrize("damage", ["coarsen", "blur", "blotch", "noise", "light"])
def test_every_damage_is_done(damage):
    frame = CHANCE(0).integers(64, 192, (16, 24, 3), dtype=np.uint8)
    shares = {
        f"{name}_share": float(name == damage) for name in ("coarsen", "blur", "blotch", "noise", "light")
    }
    worse = augmented(frame, Augmentation(**shares), CHANCE(4)).astype(float)
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
    return FoundSubject(subject=(clip, 0), kind=kind, identity=np.array(vector, np.float32), after=after)


def test_knowing_again_by_hand():
    seen = [
        sighting("a", "cow", [1, 0], False), sighting("a", "cow", [0.8, 0.6], False),
        sighting("b", "cow", [0, 1], False), sighting("c", "van", [-1, 0], False),
        sighting("a", "cow", [1, 0], True), sighting("b", "cow", [0.9, 0.1], True),  # the second is taken for a
        sighting("c", "van", [-0.9, 0], True), sighting("d", "van", [1, 0], True),  # d was never seen before
    ]  # fmt: skip
    reported = retrieval(seen)
    assert reported["identity_accuracy"] == pytest.approx(2 / 3)
    assert reported["identity_accuracy_in_kind"] == pytest.approx(1 / 2)  # c has no rival of its kind
    assert reported["num_subjects"] == 3


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
    counted = answers_on(Oracle(), clip, task)
    assert (counted.num_shown, counted.num_found, counted.num_right_kind) == (7, 7, 0)
    assert counted.overlap_px == counted.union_px == 7 * 120
    assert [one.after for one in counted.sightings] == [False] * 4 + [True] * 3
    assert (counted.num_false, counted.num_frames) == (0, 11)
    assert figures_of([counted])["identity_accuracy"] == 1.0
    dark = answers_on(Oracle(), clip, task, np.zeros_like(clip.video))
    assert (dark.overlap_px, dark.union_px, dark.num_found) == (0, 7 * 120, 0)
