"""Training the recogniser on squares that cross a picture: what a run leaves, that it learns, that it goes on."""

import json

import numpy as np
import pytest
import torch

from outofsight.data.dataset import open_dataset
from outofsight.errors import CheckpointError, DatasetError, InputError
from outofsight.perception.recogniser import Recogniser
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
from outofsight.training.recogniser_batches import NO_KIND, RecogniserBatches, annotation_of
from outofsight.training.recogniser_objective import RecogniserObjective
from outofsight.training.recogniser_task import RecogniserTask, Spoiling
from outofsight.training.recogniser_training import make_network, tinted
from outofsight.training.run_folder import read_log
from outofsight.training.state import load_latest_state

TASK = {"kinds": ("ball", "square"), "widths": (8, 8, 16, 16), "num_blocks": 1, "identity_dim": 8, "num_views": 2,
        "subjects_per_clip": 2}  # fmt: skip
UNSPOILT = {name: 0.0 for name in Spoiling.__dataclass_fields__ if name.endswith("_share")}


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
    task = {"widths": (16, 16, 16, 16), "spoiling": Spoiling(**UNSPOILT)}
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
    batch = batches(data, spoiling=Spoiling(**UNSPOILT), num_views=3).make(0, [0])
    name = batches(data).names([0])[0]
    clip = next(clip for clip in open_dataset(data, "train") if clip.name == name)
    for frame, ids in zip(batch["frames"][0].numpy(), batch["ids"][0].numpy(), strict=True):
        (place,) = np.flatnonzero((clip.video == frame).all(axis=(1, 2, 3)))
        np.testing.assert_array_equal(ids, clip.masks[place])
    assert batch["kinds"].tolist() == [[1, NO_KIND]]
    assert batch["own_backdrop"].all()


def test_a_pasted_view_keeps_who_is_in_front_and_does_not_name_who_is_behind(data):
    batch = batches(data, spoiling=Spoiling(**{**UNSPOILT, "paste_share": 1.0})).make(0, [0, 1, 2])
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
    batch = batches(data, spoiling=Spoiling(**UNSPOILT)).make(0, [0, 1, 2, 3])
    objective(batch)["loss"].sum().backward()
    still = [
        name for name, weight in objective.named_parameters() if weight.grad is None or not weight.grad.any()
    ]
    assert still == []


def test_the_recipe_is_a_configuration_like_any_other():
    config = recipe("mini_recogniser")
    assert from_dict(to_dict(config)) == config
    assert changed(config, {"task.spoiling.zoom": 0.5}).task.spoiling.zoom == 0.5
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
