"""What do more subjects cost: memory, time, place and identity against their number.

Every number is measured in every scene, one after another, so that a machine that is busy for a while is so for all
of them; times are compared with those of the fewest subjects in the same scene.
"""

import argparse
import time
from collections.abc import Sequence
from statistics import mean

import numpy as np

from outofsight.evaluation.tracked_positions import (
    HIDDEN,
    SEEN,
    TrackedPositions,
    number_switches,
    tracked_positions,
)
from outofsight.memory.banks.state import bank_tensors
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
from study_trackers import MakeMemory, trackers

SIZES = ((4, 6), (12, 20))
HABITS_ASKED = ("as it begins", "steadier, stopping")
SHOWN = ("grid", "subjects", "dynamics", "bank_kilobytes", "ms_a_frame", "time_over_fewest", "seen_error_m",
         "return_error_m", "still_at_return_error_m", "held_hidden_share", "same_number_share")  # fmt: skip
AS_MEDIANS = ("ms_a_frame", "time_over_fewest")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--numbers", type=int, nargs="+", default=(1, 2, 4, 8, 16), help="numbers of subjects"
    )


def study(options: argparse.Namespace) -> list[Row]:
    """Measure every number of subjects, in both grids and with all dynamics."""
    rows = summarised(subject_rows(options))
    table(rows, SHOWN, AS_MEDIANS)
    return rows


def subject_rows(options: argparse.Namespace) -> list[Row]:
    """Measure; values are lists over scenes."""
    drawn = planned(PlanConfig(shed_share=0.0, max_subjects=1), options.scenes)
    made = trackers(options.model, HABITS_ASKED)
    numbers = sorted(options.numbers)
    rows: dict[tuple[tuple[int, int], str, int], Row] = {
        (size, name, number): {"grid": f"{size[0]}x{size[1]}", "subjects": number, "dynamics": name}
        for size in SIZES for name in made for number in numbers
    }  # fmt: skip
    for index, plan in enumerate(drawn):
        crowd = [drawn[(index + other) % len(drawn)] for other in range(1, max(numbers))]
        walks = {number: walk_of(plan, tuple(crowd[: number - 1]), index) for number in numbers}
        for size in SIZES:
            reader = Reader(size=size, noise=options.noise, identity_noise=options.identity_noise, seed=index)
            for name, make in made.items():
                reported = [one_scene(make, walks[number], reader) for number in numbers]
                for number, one in zip(numbers, reported, strict=True):
                    row = rows[size, name, number]
                    row["bank_kilobytes"] = one.pop("bank_kilobytes")
                    ratio = {"time_over_fewest": one["ms_a_frame"] / reported[0]["ms_a_frame"]}  # type: ignore[operator]
                    for key, value in {**one, **ratio}.items():
                        row.setdefault(key, []).append(value)
    return list(rows.values())


def one_scene(make: MakeMemory, walk: Walk, reader: Reader) -> dict[str, float | None]:
    """Follow the subjects of one scene, with room for each of them. Time is that of both banks, without reading."""
    memory = make(subject_slots=walk.num_subjects, archive_slots=8)
    identity = random_identities(walk, memory.settings.identity_width, seed=reader.seed)
    scenes = prepared(memory, (walk,), (reader,), (identity,))
    start = time.perf_counter()
    banks, observed = observe(memory, scenes)
    spent_s = time.perf_counter() - start
    held_bytes = sum(
        part.numel() * part.element_size() for name, part in bank_tensors(banks).items() if "tracks" in name
    )
    truth = truth_of(walk, reader.size)
    figures = place_figures(tracked_positions(held_of(observed, walk.times), truth), truth.position_m)
    times = {
        "bank_kilobytes": round(held_bytes / 1024, 2),
        "ms_a_frame": 1000 * spent_s / walk.times.shape[1],
    }
    return {**times, **figures}


def place_figures(places: TrackedPositions, true_m: np.ndarray) -> dict[str, float | None]:
    """Measure one scene. ``same_number_share``: of the returns, how many found the subject under its own number."""
    returned: Sequence[tuple[int, int]] = np.argwhere(places.returns).tolist()
    kept = [float(places.numbers[m + 1, s] == places.numbers[m, s] >= 0) for m, s in returned]
    still = [float(np.linalg.norm(true_m[m, s] - true_m[last_seen(places, m, s), s])) for m, s in returned]
    return {
        "seen_error_m": places.mean_m(places.phases == SEEN),
        "hidden_error_m": places.mean_m(places.phases == HIDDEN),
        "return_error_m": places.mean_m(places.returns),
        "still_at_return_error_m": mean(still) if still else None,
        "held_seen_share": places.held_share(places.phases == SEEN),
        "held_hidden_share": places.held_share(places.phases == HIDDEN),
        "same_number_share": mean(kept) if kept else None,
        "switches_a_subject": number_switches(places) / places.numbers.shape[1],
    }
