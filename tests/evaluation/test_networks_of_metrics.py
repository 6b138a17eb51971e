"""An evaluation with a detector and features: what needs them is measured, each baseline is caught by its metric."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from outofsight.errors import InputError
from outofsight.evaluation.clips import dataset_clips
from outofsight.evaluation.evidence import Networks
from outofsight.evaluation.methods import BaselineMethod, TruthMethod
from outofsight.evaluation.metrics import (
    METRICS,
    InstrumentNames,
    Instruments,
    instrument_names,
    load_instruments,
    read_gallery,
)
from outofsight.evaluation.results import gather
from outofsight.evaluation.run import EvalConfig, Evaluation, evaluate, pending_tasks
from small_world import COLOURS, write_small_dataset


@dataclass(frozen=True)
class Spot:
    box_px: np.ndarray
    score: float
    mask: np.ndarray
    kind: str
    identity: np.ndarray


class ColourDetector:
    """Finds the pixels of each kind's colour; a colour is an identity."""

    def detect(self, frames):
        return [
            [spot for kind in COLOURS if (spot := self.spot(frame, kind)) is not None] for frame in frames
        ]

    def spot(self, frame, kind):
        mask = np.abs(frame.astype(int) - COLOURS[kind]).max(axis=-1) < 40
        if mask.sum() < 8:
            return None
        rows, columns = np.nonzero(mask)
        box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], dtype=np.float32)
        identity = np.eye(len(COLOURS), dtype=np.float32)[list(COLOURS).index(kind)]
        return Spot(box_px=box, score=1.0, mask=mask, kind=kind, identity=identity)


@dataclass(frozen=True)
class Means:
    patches: np.ndarray
    pictures: np.ndarray


class MeanColours:
    """Describes 4×4 blocks by their mean colours."""

    def features(self, frames):
        rows, columns = frames.shape[1] // 4, frames.shape[2] // 4
        blocks = (
            frames.reshape(len(frames), rows, 4, columns, 4, 3).mean(axis=(2, 4)).astype(np.float32) / 255
            + 0.01
        )
        return Means(patches=blocks, pictures=blocks.mean(axis=(1, 2)))


def load_colours(names):
    networks = Networks.all(MeanColours()) if names.features else Networks()
    return Instruments(detector=ColourDetector() if names.detector else None, networks=networks)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    data = write_small_dataset(tmp_path_factory.mktemp("data"))
    config = EvalConfig(
        out=tmp_path_factory.mktemp("out"),
        load_world=None,
        load_instruments=load_colours,
        instruments=InstrumentNames(detector="colours", features="means"),
    )
    rows = (*(BaselineMethod(name=name) for name in ("frozen", "vanished", "swapped")), TruthMethod())
    whole = Evaluation(config=config, clips=dataset_clips(data, None), methods=rows)
    evaluate(whole)
    return whole


def means(finished, method):
    """Average each metric over the clips that have it."""
    rows = gather(finished).records[method].values()
    values = {name: [row.value(name) for row in rows if row.value(name) is not None] for name in METRICS}
    return {name: np.mean(known) for name, known in values.items() if known}


def test_each_floor_is_caught_by_its_measure(finished):
    truth, vanished, swapped = (means(finished, name) for name in ("truth", "vanished", "swapped"))
    assert (truth["return_gate"], truth["detection_rate"]) == (1, 1)
    assert (vanished["return_gate"], vanished["detection_rate"]) == (0, 0)
    assert (swapped["return_gate"], swapped["detection_rate"]) == (1, 1)
    assert truth["kind_accuracy"] == 1
    assert swapped["kind_accuracy"] == 0
    assert truth["identity_accuracy"] > swapped["identity_accuracy"]
    assert truth["dsc_gt"] > swapped["dsc_gt"]
    assert means(finished, "frozen")["detection_rate"] == 0


def test_the_gallery_holds_every_clips_subjects(finished):
    gallery = read_gallery(finished.config.gallery)
    assert gallery.owners == (("clip_000000", 0), ("clip_000001", 0), ("clip_000002", 0))
    np.testing.assert_array_equal(gallery.identities, [[1, 0], [0, 1], [1, 0]])


def test_no_gallery_without_identities(tmp_path):
    assert read_gallery(tmp_path / "gallery.npz") is None


def test_other_instruments_measure_anew(finished):
    assert pending_tasks(finished) == []
    without = replace(
        finished, config=replace(finished.config, instruments=InstrumentNames(features="means"))
    )
    assert len(pending_tasks(without)) == len(finished.clips)


def test_more_clips_make_another_gallery_and_measure_anew(finished):
    """Who must be recognised among fewer individuals has it easier: such numbers may not stand side by side."""
    fewer = replace(finished, clips=finished.clips[:2])
    assert [task.clip.name for task in pending_tasks(fewer)] == ["clip_000000", "clip_000001"]


def test_a_changed_network_is_another_instrument(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    before = instrument_names(str(tmp_path), None, None)
    (tmp_path / "config.json").write_text('{"a": 1}')
    after = instrument_names(str(tmp_path), None, None)
    assert before.detector == after.detector
    assert before.identity != after.identity


@pytest.mark.parametrize(
    "names",
    [
        InstrumentNames(detector="no/such"),
        InstrumentNames(features="no/such"),
        InstrumentNames(perceptual="eyes"),
    ],
)
def test_a_network_that_is_not_there_is_named(names):
    with pytest.raises(InputError, match=r"no/such|eyes"):
        load_instruments(names)


def test_none_asked_for_none_loaded():
    assert load_instruments(InstrumentNames()) == Instruments()
