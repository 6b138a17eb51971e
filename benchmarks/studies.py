"""The open questions about a two-bank memory, one command each; pages in docs/studies/.

    python benchmarks/studies.py subjects    --out benchmarks/results/study_subjects.json
    python benchmarks/studies.py appearance  --out benchmarks/results/study_appearance.json
    python benchmarks/studies.py cost        --model mini --out benchmarks/results/study_cost.json
    python benchmarks/studies.py robot       --out benchmarks/results/study_robot.json
    python benchmarks/studies.py places --model hybrid --data test --out benchmarks/results/study_places.json

``subjects``, ``appearance`` and ``robot`` give the banks true readings of planned scenes, with the error asked for: so
they measure the tracker's rules, which need no training. ``places`` asks the same of a trained model that reads the
pictures of a data set by itself; build one of many subjects, of coats that come off or of the table-top by
``outofsight world build --set plan....``.
"""

import argparse
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch

from outofsight.errors import InputError
from outofsight.evaluation.held_places import HIDDEN, SEEN, HeldPlaces, held_places, number_switches
from outofsight.evaluation.statistics import summarise
from outofsight.memory.banks.dynamics import FASTEST_STOP, NOISE_OCTAVES
from outofsight.memory.banks.state import bank_tensors
from outofsight.memory.banks.two_banks import TwoBankMemory
from outofsight.worlds.plan import Plan, plan_world
from outofsight.worlds.plan_config import PlanConfig
from record import add_out, finish
from study_appearance import appearance_rows
from study_cost import cost_rows
from study_places import place_rows
from study_scenes import (
    Reader,
    Walk,
    bank_memory,
    held_of,
    observe_walk,
    random_identities,
    truth_of,
    walk_of,
)

FIRST_SEED = 700_000

HABITS = {"as it begins": (0.0, 0.0), "steadier": (0.0, -4.0), "steadier, stopping": (0.03, -4.0)}
"""Dynamics within what can be learned: rate at which the unseen stop (1/frame), log of the wander of velocity."""


def plans(config: PlanConfig, number: int) -> list[Plan]:
    """Draw worlds from seeds that no data set uses."""
    return [plan_world(FIRST_SEED + index, config) for index in range(number)]


def figures_of(values: Sequence[float | None]) -> dict[str, Any]:
    """Give mean, 95% interval and n of one measure over scenes."""
    told = summarise(values)
    rounded = {name: None if v is None else round(v, 4) for name, v in
               (("mean", told.mean), ("low", told.low), ("high", told.high), ("median", told.median))}  # fmt: skip
    return {**rounded, "n": told.n, "n_gated": told.n_gated}


def shown(told: dict[str, Any]) -> str:
    """Write one measure for people."""
    if told["mean"] is None:
        return "-"
    interval = "" if told["low"] is None else f" ({told['low']:.3g}-{told['high']:.3g})"
    return f"{told['mean']:.3g}{interval}"


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """Print rows as a table in Markdown."""
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        cells = [shown(row[name]) if isinstance(row[name], dict) else f"{row[name]}" for name in columns]
        print("| " + " | ".join(cells) + " |")


def set_habit(memory: TwoBankMemory, stop: float, log_noise: float) -> None:
    """Let every subject stop and wander as said, as a trained network could."""
    reached = torch.tensor([stop / FASTEST_STOP, 0.0, log_noise / NOISE_OCTAVES]).clamp(-0.9999, 0.9999)
    with torch.no_grad():
        memory.tracker.dynamics.outer.bias.copy_(reached.atanh())


# --- 1: how many subjects


def study_subjects(options: argparse.Namespace) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Memory, time, place and identity against the number of subjects."""
    drawn = plans(PlanConfig(shed_share=0.0, max_subjects=1), options.scenes)
    rows = []
    for size, habit, number in product(
        ((4, 6), (12, 20)), ("as it begins", "steadier, stopping"), options.numbers
    ):
        scenes = [
            walk_of(plan, tuple(drawn[(index + other) % len(drawn)] for other in range(1, number)), index)
            for index, plan in enumerate(drawn)
        ]
        told = crowd(scenes, size, habit, options)
        rows.append({"grid": f"{size[0]}x{size[1]}", "subjects": number, "dynamics": habit, **told})
    table(rows, ("grid", "subjects", "dynamics", "bank_kilobytes", "ms_a_frame", "seen_error_m", "return_error_m",
                 "still_at_return_error_m", "held_hidden_share", "same_number_share"))  # fmt: skip
    return {"scenes": options.scenes, "noise": options.noise, "identity_noise": options.identity_noise}, rows


def crowd(
    scenes: Sequence[Walk], size: tuple[int, int], habit: str, options: argparse.Namespace
) -> dict[str, Any]:
    """Follow the subjects of all scenes, with room for each of them."""
    measured: list[dict[str, float | None]] = []
    seconds, kilobytes = [], 0.0
    for index, walk in enumerate(scenes):
        memory = bank_memory(walk, subject_slots=walk.num_subjects, archive_slots=8)
        set_habit(memory, *HABITS[habit])
        reader = Reader(size=size, noise=options.noise, identity_noise=options.identity_noise, seed=index)
        start = time.perf_counter()
        banks, observed = observe_walk(memory, walk, reader, random_identities(walk, 32, seed=index))
        seconds.append((time.perf_counter() - start) / walk.times.shape[1])
        kilobytes = (
            sum(t.numel() * t.element_size() for n, t in bank_tensors(banks).items() if "tracks" in n) / 1024
        )
        truth = truth_of(walk, size)
        places = held_places(held_of(observed, walk.times), truth)
        measured.append(one_scene(places, truth.position_m))
    told = {name: figures_of([one[name] for one in measured]) for name in measured[0]}
    return {"bank_kilobytes": round(kilobytes, 2), "ms_a_frame": round(1000 * median(seconds), 1), **told}


def one_scene(places: HeldPlaces, true_m: np.ndarray) -> dict[str, float | None]:
    """Measure one scene. ``same_number_share``: of the returns, how many found the subject under its own number."""
    returned = np.argwhere(places.returns)
    kept = [float(places.numbers[m + 1, s] == places.numbers[m, s] >= 0) for m, s in returned.tolist()]
    still = [
        float(np.linalg.norm(true_m[m, s] - true_m[last_seen(places, m, s), s])) for m, s in returned.tolist()
    ]
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


def last_seen(places: HeldPlaces, moment: int, subject: int) -> int:
    """Give the last moment before this one at which a subject was truly seen."""
    return int(np.flatnonzero(places.phases[:moment, subject] == SEEN)[-1])


# --- 4: a robot's table


def study_robot(options: argparse.Namespace) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Tracked position and velocity on the table-top, by how long ago an object was seen."""
    drawn = plans(PlanConfig(scenes=("table-top",), shed_share=0.0), options.scenes)
    rows = []
    for habit in HABITS:
        spans: dict[
            str, list[dict[str, float]]
        ] = {}  # one entry a scene: its moments are no independent draws
        for index, plan in enumerate(drawn):
            walk = walk_of(plan, seed=index)
            memory = bank_memory(walk, subject_slots=walk.num_subjects)
            set_habit(memory, *HABITS[habit])
            reader = Reader(noise=options.noise, identity_noise=options.identity_noise, seed=index)
            _, observed = observe_walk(memory, walk, reader, random_identities(walk, 32, seed=index))
            places = held_places(held_of(observed, walk.times), truth_of(walk, reader.size))
            for name, found in errors_by_absence(walk, places).items():
                spans.setdefault(name, []).append(
                    {key: float(np.mean([one[key] for one in found])) for key in found[0]}
                )
        rows += [
            {"dynamics": habit, "seen": name, "scenes": len(spans[name]), **averages(spans[name])}
            for name in SPANS if name in spans
        ]  # fmt: skip
    table(rows, ("dynamics", "seen", "scenes", "place_error_cm", "still_error_cm", "velocity_error_cm_s",
                 "true_speed_cm_s", "deviations"))  # fmt: skip
    return {"scenes": options.scenes, "noise": options.noise, "identity_noise": options.identity_noise}, rows


def errors_by_absence(walk: Walk, places: HeldPlaces) -> dict[str, list[dict[str, float]]]:
    """Sort one scene's errors by how long ago the subject was seen."""
    spans: dict[str, list[dict[str, float]]] = {}
    position, velocity = (part[0].transpose(0, 1).double().numpy() for part in (walk.position, walk.velocity))
    for moment, subject in np.argwhere(places.numbers >= 0).tolist():
        hidden = places.phases[moment, subject] == HIDDEN
        last = last_seen(places, moment, subject) if hidden else moment
        still = float(np.linalg.norm(position[moment, subject] - position[last, subject]))
        spans.setdefault(span_of(4 * (moment - last) / walk.fps), []).append({
            "place_error_cm": 100 * places.error_m[moment, subject],
            "still_error_cm": 100 * still if hidden else float("nan"),
            "velocity_error_cm_s": 100 * walk.fps * places.velocity_error_m[moment, subject],
            "true_speed_cm_s": 100 * walk.fps * float(np.linalg.norm(velocity[moment, subject])),
            "deviations": places.deviations[moment, subject],
        })  # fmt: skip
    return spans


SPANS = {
    "now": 0.0,
    "up to 0.5 s ago": 0.5,
    "0.5 to 1 s": 1.0,
    "1 to 2 s": 2.0,
    "2 to 4 s": 4.0,
    "longer ago": np.inf,
}


def span_of(ago_s: float) -> str:
    return next(name for name, end in SPANS.items() if ago_s <= end)


def averages(found: Sequence[dict[str, float]]) -> dict[str, dict[str, Any]]:
    return {
        name: figures_of([None if np.isnan(one[name]) else one[name] for one in found]) for name in found[0]
    }


# --- 2 and 3: looks that change, and what the banks cost


def study_appearance(options: argparse.Namespace) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Slots of subjects that change their looks."""
    measured = appearance_rows(options.scenes, options.noise, options.identity_noise, (12, 20), options.rates)
    rows = [
        {key: figures_of(value) if isinstance(value, list) else value for key, value in row.items()}
        for row in measured
    ]
    table(rows, ("change", "subject_rate", "likeness", "same_slot", "frames_to_follow", "likes_new_after_1",
                 "likes_new_after_5", "likes_new_after_20", "likes_old_after_20", "place_error_m"))  # fmt: skip
    return {"scenes": options.scenes, "noise": options.noise, "identity_noise": options.identity_noise}, rows


def study_cost(options: argparse.Namespace) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Retrieval and writing as shares of a step."""
    rows = cost_rows(options.model, options.denoising_steps, options.latent_frames, options.timed)
    table(rows, tuple(rows[0]))
    names = ("model", "denoising_steps", "latent_frames", "timed")
    return {name: getattr(options, name) for name in names}, rows


def study_places(options: argparse.Namespace) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A trained model's tracker on the clips of a data set."""
    if options.data is None:
        raise InputError("the study of a model's own tracker needs --data: a data set with a test part")
    measured = place_rows(options.model, options.data, options.limit)
    rows = [
        {key: figures_of(value) if isinstance(value, list) else value for key, value in row.items()}
        for row in measured
    ]
    table(rows, tuple(rows[0]))
    return {"model": options.model, "data": str(options.data), "limit": options.limit}, rows


STUDIES = {
    "subjects": study_subjects, "appearance": study_appearance, "cost": study_cost, "robot": study_robot,
    "places": study_places,
}  # fmt: skip
QUESTIONS = {
    "subjects": "What do more subjects cost, in memory, time, place and identity?",
    "appearance": "Does a slot follow a subject that changes its looks, how fast, and does it forget?",
    "cost": "What do retrieval and writing cost, as a share of a step, against bank size?",
    "places": "Where does a trained model's own tracker take subjects to be, against the truth?",
    "robot": "How well are position and velocity of objects tracked that leave a moving camera's view?",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", choices=tuple(STUDIES))
    parser.add_argument("--scenes", type=int, default=24, help="scenes to follow subjects in")
    parser.add_argument(
        "--noise", type=float, default=0.05, help="error of a told place, as a share of its distance"
    )
    parser.add_argument(
        "--identity-noise", type=float, default=0.3, help="error of a told identity of length 1"
    )
    parser.add_argument(
        "--numbers", type=int, nargs="+", default=(1, 2, 4, 8, 16), help="numbers of subjects"
    )
    parser.add_argument(
        "--model", default="mini", help="cost: the model that is rolled; places: the one that is judged"
    )
    parser.add_argument(
        "--rates", type=float, nargs="+", default=(0.1, 0.3, 0.6), help="appearance: α of the merge"
    )
    parser.add_argument("--denoising-steps", type=int, default=8, help="cost: in each step of the rollout")
    parser.add_argument("--latent-frames", type=int, default=3, help="cost: of a step")
    parser.add_argument("--timed", type=int, default=12, help="cost: steps that are timed")
    parser.add_argument("--data", type=Path, help="places: the clips")
    parser.add_argument("--limit", type=int, help="places: only the first so many clips")
    add_out(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config, rows = STUDIES[options.study](options)
    finish(f"study_{options.study}", QUESTIONS[options.study], config, rows, options.out)


if __name__ == "__main__":
    main()
