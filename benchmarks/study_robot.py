"""Tracked position and velocity on the robot's table-top, by how long ago an object was seen."""

import argparse

import numpy as np

from outofsight.evaluation.tracked_positions import HIDDEN, TrackedPositions, tracked_positions
from outofsight.worlds.plan_config import PlanConfig
from study_figures import Row, summarised, table
from study_scenes import (
    Reader,
    Walk,
    held_of,
    last_seen,
    observe,
    planned,
    prepared,
    random_identities,
    truth_of,
    walk_of,
)
from study_trackers import HABITS, MakeMemory, trackers

SPANS = {
    "now": 0.0,
    "up to 0.5 s ago": 0.5,
    "0.5 to 1 s": 1.0,
    "1 to 2 s": 2.0,
    "2 to 4 s": 4.0,
    "longer ago": np.inf,
}
SHOWN = ("dynamics", "seen", "scenes", "place_error_cm", "still_error_cm", "velocity_error_cm_s", "true_speed_cm_s",
         "deviations")  # fmt: skip


def study(options: argparse.Namespace) -> list[Row]:
    """Measure with all dynamics."""
    rows = summarised(robot_rows(options))
    table(rows, SHOWN)
    return rows


def robot_rows(options: argparse.Namespace) -> list[Row]:
    """Measure; values are lists over scenes. A scene's moments are averaged first: they are no independent draws."""
    drawn = planned(PlanConfig(scenes=("table-top",), shed_share=0.0), options.scenes)
    rows = []
    for name, make in trackers(options.model, tuple(HABITS)).items():
        spans: dict[str, list[Row]] = {}
        for index, plan in enumerate(drawn):
            reader = Reader(noise=options.noise, identity_noise=options.identity_noise, seed=index)
            for span, reported in one_table(make, walk_of(plan, seed=index), reader).items():
                spans.setdefault(span, []).append(reported)
        rows += [
            {"dynamics": name, "seen": span, "scenes": len(spans[span]), **_listed(spans[span])}
            for span in SPANS if span in spans
        ]  # fmt: skip
    return rows


def one_table(make: MakeMemory, walk: Walk, reader: Reader) -> dict[str, dict[str, float | None]]:
    """Follow the objects of one table; averages by how long ago an object was seen."""
    memory = make(subject_slots=walk.num_subjects)
    identity = random_identities(walk, memory.settings.identity_width, seed=reader.seed)
    _, observed = observe(memory, prepared(memory, (walk,), (reader,), (identity,)))
    places = tracked_positions(held_of(observed, walk.times), truth_of(walk, reader.size))
    return {
        span: {name: _mean([one[name] for one in found]) for name in found[0]}
        for span, found in errors_by_absence(walk, places).items()
    }


def errors_by_absence(walk: Walk, places: TrackedPositions) -> dict[str, list[dict[str, float]]]:
    """Sort one scene's errors by how long ago the subject was seen. ``still``: of who takes it to have stayed."""
    spans: dict[str, list[dict[str, float]]] = {}
    position, velocity = (part[0].transpose(0, 1).double().numpy() for part in (walk.position, walk.velocity))
    for moment, subject in np.argwhere(places.numbers >= 0).tolist():
        hidden = places.phases[moment, subject] == HIDDEN
        last = last_seen(places, moment, subject) if hidden else moment
        still = float(np.linalg.norm(position[moment, subject] - position[last, subject]))
        ago_s = float(walk.times[0, moment] - walk.times[0, last]) / walk.fps
        spans.setdefault(span_of(ago_s), []).append({
            "place_error_cm": 100 * places.error_m[moment, subject],
            "still_error_cm": 100 * still if hidden else float("nan"),
            "velocity_error_cm_s": 100 * walk.fps * places.velocity_error_m[moment, subject],
            "true_speed_cm_s": 100 * walk.fps * float(np.linalg.norm(velocity[moment, subject])),
            "deviations": places.deviations[moment, subject],
        })  # fmt: skip
    return spans


def span_of(ago_s: float) -> str:
    return next(name for name, end in SPANS.items() if ago_s <= end)


def _mean(values: list[float]) -> float | None:
    reported = float(np.mean(values))
    return None if np.isnan(reported) else reported


def _listed(found: list[Row]) -> dict[str, list[float | None]]:
    return {name: [one[name] for one in found] for name in found[0]}
