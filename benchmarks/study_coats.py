"""Subjects of the engine that shed a part, read by a model itself: do slots follow, how fast, do they forget?

Every world is rendered twice, with the part on throughout and with it off throughout; all else is the same to the last
pixel. The clip in which it comes off at a frame is the one before that frame and the other from it on::

    on                ############ ..... ############
    off               %%%%%%%%%%%% ..... %%%%%%%%%%%%
    shed hidden       ############ ..... %%%%%%%%%%%%      half-way through an absence
    shed in view      ####%%%%%%%% ..... %%%%%%%%%%%%      in the longest sight, where its third latent frame begins

The tracker follows all four. What it holds of a shed subject, on the way from what it holds at the same moment of the
one that kept the part (0) to that of the one that never had it (1), is how far it has **followed**; views, poses and
errors of reading are common to all three, and cancel.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cosine_similarity

from outofsight.errors import InputError
from outofsight.evaluation.birdseye import TrueSubjects, anchored_cameras, tracked_subjects, true_subjects
from outofsight.evaluation.tracked_positions import TrackedPositions, tracked_positions
from outofsight.memory.banks.state import Tracks
from outofsight.sampling.world import WorldModel
from outofsight.types import Clip
from outofsight.worlds.clip import clip_from_spec
from outofsight.worlds.plan import plan_world
from outofsight.worlds.plan_config import PlanConfig
from outofsight.worlds.render import RenderSettings
from outofsight.worlds.spec import WorldSpec
from outofsight.worlds.subjects import subject_catalogue
from rolled_worlds import plan_for
from study_appearance import followed, half_way
from study_figures import Row, summarised, table
from study_places import clip_times, encoded, lens_of, watched_context, watched_target
from study_scenes import FIRST_SEED
from study_trackers import banked_world

SIGHT_FRAMES, TARGET_FRAMES = 21, 61
"""Subjects are in view for so many video frames before they go and after they return, in targets at least so long."""

SEEN_BEFORE = 2
"""Latent frames of a sight that show the old looks before they change in view."""

AFTER = (1, 3, 5)
"""So many latent frames that show the new looks are seen before it is asked what is held."""

MOST_DRAWS = 20
"""Worlds drawn for each one that is wanted; in others nothing that can come off is absent for long enough."""

SHOWN = ("change", "likeness", "same_number", "same_number_kept", "frames_to_follow", "followed_after_1",
         "followed_after_5", "tokens_frames_to_follow", "tokens_followed_after_1", "tokens_followed_after_5",
         "place_error_m", "place_error_kept_m")  # fmt: skip
AS_MEDIANS = tuple(name for name in SHOWN if "follow" in name)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--kinds", nargs="+", help="subjects; else those of the mini's world that can shed a part"
    )


def study(options: argparse.Namespace) -> list[Row]:
    """Measure both changes."""
    rows = summarised(coat_rows(options.model, options.scenes, options.kinds))
    table(rows, SHOWN, AS_MEDIANS)
    return rows


def coat_rows(model: str, number: int, kinds: Sequence[str] | None) -> list[Row]:
    """Measure; values are lists over scenes. Says in ``parts`` what came off, and how often."""
    world = banked_world(model)
    measured: dict[str, list[dict[str, float | None]]] = {"in view": [], "hidden": []}
    parts: Counter[str] = Counter()
    for spec in shedding_worlds(coat_plan(model, kinds), number):
        kept, bare = (clip_from_spec("coat", one, RenderSettings()) for one in twins(spec))
        for change, reported in both_changes(world, kept, bare, spec).items():
            measured[change].append(reported)
        parts[f"{spec.subjects[0].kind}: {spec.subjects[0].sheds}"] += 1
    return [
        {"change": change, **{name: [one[name] for one in found] for name in found[0]}, "parts": dict(parts)}
        for change, found in measured.items()
    ]


def coat_plan(model: str, kinds: Sequence[str] | None) -> PlanConfig:
    """Give worlds of one subject that can shed a part, in view for long, in the pictures of a model.

    Raises:
        InputError: a kind that can shed nothing.
    """
    plan, catalogue = plan_for(model), subject_catalogue()
    able = [name for name, kind in catalogue.items() if kind.removable]
    chosen = tuple(kinds or [name for name in plan.kinds if name in able])
    if unable := [name for name in chosen if name not in able]:
        raise InputError(
            f"nothing comes off {', '.join(unable)}; subjects that can shed are {', '.join(able)}"
        )
    return replace(
        plan, kinds=chosen, shed_share=1.0, max_subjects=1, min_seen_frames=SIGHT_FRAMES,
        num_target_frames=max(plan.num_target_frames, TARGET_FRAMES),
    )  # fmt: skip


def shedding_worlds(plan: PlanConfig, number: int) -> Iterator[WorldSpec]:
    """Draw worlds whose subject sheds a part while it is away. Raises ``InputError`` if hardly any does."""
    found = 0
    for seed in range(FIRST_SEED, FIRST_SEED + MOST_DRAWS * number):
        if found == number:
            return
        spec = plan_world(seed, plan).spec
        if spec.subjects[0].sheds is not None:
            found += 1
            yield spec
    if found < number:
        raise InputError(
            f"only {found} of {MOST_DRAWS * number} worlds let something come off; name other kinds"
        )


def twins(spec: WorldSpec) -> tuple[WorldSpec, WorldSpec]:
    """Give the world in which the part stays on, and the one in which it was never on."""
    subject = spec.subjects[0]
    kept, bare = replace(subject, sheds=None, sheds_at_frame=None), replace(subject, sheds_at_frame=0)
    return replace(spec, subjects=(kept,)), replace(spec, subjects=(bare,))


class Watched(NamedTuple):
    """What a tracker held of a clip's subject at each of n moments: ``identity`` [n, e], ``tokens`` [n, k, d] (NaN
    where nobody is held), and how far off it was."""

    identity: Tensor
    tokens: Tensor
    places: TrackedPositions


def both_changes(
    world: WorldModel, kept: Clip, bare: Clip, spec: WorldSpec
) -> dict[str, dict[str, float | None]]:
    """Let the part come off while hidden and in view, and measure each."""
    split = (kept.num_context_frames - 1) // world.temporal_stride + 1
    target = (len(kept.video) - kept.num_context_frames - 1) // world.temporal_stride + 1
    times = clip_times(split, target)
    truth = true_subjects(kept, times.astype(np.int64))
    assert truth is not None
    hidden = spec.subjects[0].sheds_at_frame
    assert hidden is not None
    frames = {"in view": change_in_view(truth.seen[:, 0], times), "hidden": hidden}
    on, off = (watched(world, clip, clip.video, times, truth) for clip in (kept, bare))
    reported = {}
    for change, frame in frames.items():
        video = np.concatenate((kept.video[:frame], bare.video[frame:]))
        shed = watched(world, kept, video, times, truth)
        reported[change] = change_figures(shed, on, off, truth.seen[:, 0], int((times < frame).sum()))
    return reported


def change_in_view(seen: NDArray[np.bool_], times: NDArray[np.float64]) -> int:
    """Give the video frame at which looks change in view: after ``SEEN_BEFORE`` moments of the longest sight."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], seen, [False])).astype(np.int8)))
    begin, _ = max(zip(edges[::2], edges[1::2], strict=True), key=lambda sight: sight[1] - sight[0])
    return int(times[begin + SEEN_BEFORE - 1]) + 1


def watched(
    world: WorldModel, clip: Clip, video: NDArray[np.uint8], times: NDArray[np.float64], truth: TrueSubjects
) -> Watched:
    """Show a clip's cameras with a video to empty banks, and keep what they hold of its one subject."""
    latents, split = encoded(world, video, clip.num_context_frames)
    poses = torch.from_numpy(anchored_cameras(clip, times.astype(np.int64)).reshape(1, -1, 12)).float()
    lens = lens_of(clip)
    banks, context = watched_context(world, latents[:, :, :split], poses[:, :split], lens)
    target = watched_target(world, latents, poses, times, banks, lens)
    tracks = Tracks(*(torch.cat(parts) for parts in zip(context, target, strict=True)))
    places = tracked_positions(tracked_subjects(tracks, times), truth)
    is_it = tracks.filled & (tracks.number == torch.from_numpy(places.numbers))
    slot, nobody = is_it.int().argmax(dim=1), ~is_it.any(dim=1)
    moments = torch.arange(len(times))
    identity, tokens = tracks.identity[moments, slot].clone(), tracks.tokens[moments, slot].clone()
    identity[nobody], tokens[nobody] = torch.nan, torch.nan
    return Watched(identity, tokens, places)


def change_figures(
    shed: Watched, on: Watched, off: Watched, seen: NDArray[np.bool_], first_changed: int
) -> dict[str, float | None]:
    """Measure one change. ``seen`` [n]: when the subject is truly in view; ``first_changed``: first moment after it.

    Only moments after the change that show the subject are counted. ``same_number``: it ends under the number it had
    when last seen before; ``..._kept``: the same of who kept the part. ``likeness``: cosine of what is held as identity
    of who kept the part and who never had it. ``frames_to_follow``: moments until the slot is half-way to the new
    looks, where it is the old slot still.
    """
    after = first_changed + np.flatnonzero(seen[first_changed:])
    before = int(np.flatnonzero(seen[:first_changed])[-1])
    alike = cosine_similarity(on.identity[after], off.identity[after], dim=-1)
    reported: dict[str, float | None] = {
        "likeness": _known_mean(alike),
        "same_number": same_number(shed.places, before, int(after[-1])),
        "same_number_kept": same_number(on.places, before, int(after[-1])),
        "place_error_m": shed.places.mean_m(_only(shed.places, after)),
        "place_error_kept_m": on.places.mean_m(_only(on.places, after)),
    }
    for name, part in (("", "identity"), ("tokens_", "tokens")):
        three = [getattr(one, part)[after] for one in (shed, on, off)]
        moved = [_known(followed(*looks)) for looks in zip(*three, strict=True)]
        reported[f"{name}frames_to_follow"] = half_way(moved) if reported["same_number"] else None
        for count in AFTER:
            reported[f"{name}followed_after_{count}"] = moved[count - 1] if count <= len(moved) else None
        reported[f"{name}followed_in_the_end"] = moved[-1]
    return reported


def same_number(places: TrackedPositions, before: int, after: int) -> float | None:
    """Tell whether the subject has its old number; ``None`` where it had none."""
    first = int(places.numbers[before, 0])
    return None if first < 0 else float(first == places.numbers[after, 0])


def _only(places: TrackedPositions, moments: NDArray[np.int64]) -> NDArray[np.bool_]:
    chosen = np.zeros(places.numbers.shape, dtype=bool)
    chosen[moments] = True
    return chosen


def _known(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else value


def _known_mean(values: Tensor) -> float | None:
    return _known(float(values.nanmean()))
