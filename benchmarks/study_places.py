"""A trained model's own tracker against the engine's truth, in metres: it reads the clips' pictures by itself.

Two ways: ``context alone``: the tracker sees the context and predicts the target, as before a one-shot continuation;
``whole clip``: it sees the true target too, so that what it does at a re-entry can be judged. A subject that the
tracker does not hold when it returns has no place error; how often that is, is told beside it.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from outofsight.errors import InputError
from outofsight.evaluation.birdseye import (
    TrackedSubjects,
    TrueSubjects,
    anchored_cameras,
    joined_subjects,
    tracked_subjects,
    true_subjects,
)
from outofsight.evaluation.clips import dataset_clips
from outofsight.evaluation.rollouts import unseen_subjects
from outofsight.evaluation.tracked_positions import (
    HIDDEN,
    SEEN,
    TrackedPositions,
    number_switches,
    tracked_positions,
)
from outofsight.memory.banks.state import Banks, Tracks
from outofsight.memory.banks.two_banks import latent_times
from outofsight.sampling.world import WorldModel
from outofsight.types import Clip
from study_figures import Row, summarised, table
from study_scenes import last_seen
from study_trackers import banked_world

WAYS = ("context alone", "whole clip")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="a data set with a test part")
    parser.add_argument("--limit", type=int, help="only the first so many clips")


def study(options: argparse.Namespace) -> list[Row]:
    """Measure every clip in both ways."""
    rows = summarised(place_rows(options.model, options.data, options.limit))
    table(rows, tuple(rows[0]))
    return rows


def place_rows(model: str, data: Path, limit: int | None) -> list[Row]:
    """Measure; values are lists over clips, ``None`` where nothing could be measured.

    Raises:
        InputError: the model has no banks, or no clip says where its subjects are.
    """
    world = banked_world(model)
    measured: dict[str, list[dict[str, float | None]]] = {way: [] for way in WAYS}
    for judged in dataset_clips(data, None, limit):
        assert judged.entry is not None
        clip = judged.entry.read()
        latents, split = encoded(world, clip.video, clip.num_context_frames)
        times = clip_times(split, latents.shape[2] - split)
        frames = times.astype(np.int64)
        truth = true_subjects(clip, frames)
        if truth is None:
            continue
        poses = torch.from_numpy(anchored_cameras(clip, frames).reshape(1, -1, 12)).float()
        lens = lens_of(clip)
        banks, context = watched_context(world, latents[:, :, :split], poses[:, :split], lens)
        later = {
            WAYS[0]: predicted_target(world, banks, times[split:]),
            WAYS[1]: tracked_subjects(
                watched_target(world, latents, poses, times, banks, lens), times[split:]
            ),
        }
        for way in WAYS:
            held = joined_subjects([tracked_subjects(context, times[:split]), later[way]])
            measured[way].append(place_figures(tracked_positions(held, truth), truth, poses, clip.fps))
    if not measured[WAYS[0]]:
        raise InputError(
            f"{data}: no clip says where its subjects are; build one by `outofsight world build`"
        )
    return [
        {"way": way, **{name: [one[name] for one in found] for name in found[0]}}
        for way, found in measured.items()
    ]


def clip_times(context: int, target: int) -> NDArray[np.float64]:
    """Give the video frame that each latent frame of a clip shows."""
    return np.asarray(torch.cat(latent_times(context, target)).double().numpy())


def lens_of(clip: Clip) -> Tensor | None:
    """Give a clip's normalised intrinsics [1, 4]; ``None``: unknown."""
    lens = clip.cameras.intrinsics
    return None if lens is None else torch.from_numpy(lens.normalized)[None]


def encoded(world: WorldModel, video: NDArray[np.uint8], num_context_frames: int) -> tuple[Tensor, int]:
    """Encode each half by itself, as a model meets them. Gives latents [1, c, f, h, w], and the context's length."""
    pixels = torch.from_numpy(video).permute(0, 3, 1, 2)[None].float() / 127.5 - 1
    with torch.no_grad():
        halves = [
            world.encode_video(pixels[:, :num_context_frames], None),
            world.encode_video(pixels[:, num_context_frames:], None),
        ]
    return torch.cat(halves, dim=2), halves[0].shape[2]


@torch.no_grad()
def watched_context(
    world: WorldModel, latents: Tensor, poses: Tensor, intrinsics: Tensor | None
) -> tuple[Banks, Tracks]:
    """Show the context to empty banks. Gives them, and the tracker after each frame (frames in place of a batch)."""
    banks, seen = world.transformer.observe_context(latents, poses, intrinsics=intrinsics)
    return banks, _moments(seen.tracks)


@torch.no_grad()
def watched_target(
    world: WorldModel,
    latents: Tensor,
    poses: Tensor,
    times: NDArray[np.float64],
    banks: Banks,
    intrinsics: Tensor | None,
) -> Tracks:
    """Show the rest of a clip to banks that saw its context, and give the tracker after each frame."""
    memory, split = world.transformer.two_banks, int((times <= float(banks.time[0])).sum())
    assert memory is not None
    start = max(split - memory.history, 0)
    later = torch.from_numpy(times[split:])[None].float()
    _, seen = world.transformer.observe_context(
        latents[:, :, start:], poses[:, split:], later, banks, intrinsics
    )
    return _moments(seen.tracks)


@torch.no_grad()
def predicted_target(world: WorldModel, banks: Banks, times: NDArray[np.float64]) -> TrackedSubjects:
    """Say where banks that saw a context alone take subjects to be at later times [n]."""
    memory = world.transformer.two_banks
    assert memory is not None
    later = torch.from_numpy(times)[None].float()
    return unseen_subjects(memory.tracker.predict(banks.tracks, banks.time, later), banks.tracks)


def place_figures(
    places: TrackedPositions, truth: TrueSubjects, poses: Tensor, fps: float
) -> dict[str, float | None]:
    """Measure one clip. ``poses`` [1, f, 12]: its cameras. Velocities are metres a second.

    ``return_error_share``: of the distance to the camera. ``still_at_return_m``: the error of who takes the subject to
    be where it was last truly seen.
    """
    camera = poses[0].unflatten(-1, (3, 4))[:, :, 3].double().numpy()
    still, shares = [], []
    for moment, subject in np.argwhere(places.returns).tolist():
        true_m = truth.position_m[:, subject]
        still.append(float(np.linalg.norm(true_m[moment] - true_m[last_seen(places, moment, subject)])))
        if places.numbers[moment, subject] >= 0:
            distance = np.linalg.norm(true_m[moment] - camera[moment])
            shares.append(float(places.error_m[moment, subject] / distance))
    seen, hidden = places.phases == SEEN, places.phases == HIDDEN
    return {
        "seen_error_m": places.mean_m(seen),
        "hidden_error_m": places.mean_m(hidden),
        "return_error_m": places.mean_m(places.returns),
        "return_error_share": float(np.mean(shares)) if shares else None,
        "still_at_return_m": float(np.mean(still)) if still else None,
        "seen_velocity_error_m_s": _velocity_error(places, seen, fps),
        "hidden_velocity_error_m_s": _velocity_error(places, hidden, fps),
        "held_seen_share": places.held_share(seen),
        "held_at_return_share": places.held_share(places.returns),
        "switches_a_subject": number_switches(places) / places.numbers.shape[1],
    }


def _velocity_error(places: TrackedPositions, chosen: NDArray[np.bool_], fps: float) -> float | None:
    known = places.velocity_error_m[chosen & ~np.isnan(places.velocity_error_m)]
    return float(known.mean() * fps) if known.size else None


def _moments(tracks: Tracks) -> Tracks:
    """Put the frames of a batch of one in place of the batch."""
    return Tracks(*(part[0] for part in tracks))
