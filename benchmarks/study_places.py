"""A trained model's own tracker against the engine's truth, in metres: it reads the clips' pictures by itself.

Two ways: ``context alone``: the tracker sees the context and foretells the target, as before a one-shot continuation;
``whole clip``: it sees the true target too, so that what it does at a re-entry can be judged. A subject that the
tracker does not hold when it returns has no place error; how often that is, is told beside it.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from outofsight.evaluation.birdseye import (
    HeldSubjects,
    TrueSubjects,
    anchored_cameras,
    held_subjects,
    joined_held,
    true_subjects,
)
from outofsight.evaluation.clips import dataset_clips
from outofsight.evaluation.held_places import HIDDEN, SEEN, HeldPlaces, held_places, number_switches
from outofsight.memory.banks.dynamics import PredictedSubjects
from outofsight.memory.banks.state import Tracks
from outofsight.memory.banks.two_banks import latent_times
from outofsight.sampling.world import WorldModel
from outofsight.types import Clip

WAYS = ("context alone", "whole clip")


def place_rows(model: str, data: Path, limit: int | None) -> list[dict[str, Any]]:
    """Measure every clip in both ways; values are lists over clips, ``None`` where nothing could be measured."""
    world = WorldModel.from_pretrained(model, torch_dtype=torch.float32)
    measured: dict[str, list[dict[str, float | None]]] = {way: [] for way in WAYS}
    for judged in dataset_clips(data, None, limit):
        assert judged.entry is not None
        clip = judged.entry.read()
        latents, split = _encoded(world, clip)
        times = torch.cat(latent_times(split, latents.shape[2] - split)).double().numpy()
        frames = times.astype(np.int64)
        truth = true_subjects(clip, frames)
        if truth is None:
            continue
        poses = torch.from_numpy(anchored_cameras(clip, frames).reshape(1, -1, 12)).float()
        for way in WAYS:
            held = followed(world, latents, poses, times, split, foretold=way == "context alone")
            measured[way].append(place_figures(held_places(held, truth), truth, poses))
    return [
        {"way": way, **{name: [one[name] for one in found] for name in found[0]}}
        for way, found in measured.items()
    ]


def followed(
    world: WorldModel,
    latents: Tensor,
    poses: Tensor,
    times: NDArray[np.float64],
    split: int,
    *,
    foretold: bool,
) -> HeldSubjects:
    """Say what the tracker holds at each of a clip's latent frames, the first ``split`` of which are the context."""
    banks_of = world.transformer.two_banks
    assert banks_of is not None
    with torch.no_grad():
        banks, seen = world.transformer.observe_context(latents[:, :, :split], poses[:, :split])
        first = held_subjects(_moments(seen.tracks), times[:split])
        later = torch.from_numpy(times[split:])[None].float()
        if foretold:
            told = banks_of.tracker.predict(banks.tracks, banks.time, later)
            return joined_held([first, _foretold(told, banks.tracks)])
        start = max(split - banks_of.history, 0)
        _, seen = world.transformer.observe_context(latents[:, :, start:], poses[:, split:], later, banks)
        return joined_held([first, held_subjects(_moments(seen.tracks), times[split:])])


def place_figures(places: HeldPlaces, truth: TrueSubjects, poses: Tensor) -> dict[str, float | None]:
    """Measure one clip. ``still_at_return_m``: the error of who takes the subject to be where it was last truly seen.

    ``return_error_share``: of the distance to the camera.
    """
    camera = poses[0].unflatten(-1, (3, 4))[:, :, 3].double().numpy()
    returned = [(int(moment), int(subject)) for moment, subject in np.argwhere(places.returns)]
    still, shares = [], []
    for moment, subject in returned:
        last = np.flatnonzero(places.phases[:moment, subject] == SEEN)[-1]
        still.append(
            float(np.linalg.norm(truth.position_m[moment, subject] - truth.position_m[last, subject]))
        )
        distance = np.linalg.norm(truth.position_m[moment, subject] - camera[moment])
        shares.append(float(places.error_m[moment, subject] / distance))
    known = [share for share in shares if not np.isnan(share)]
    return {
        "seen_error_m": places.mean_m(places.phases == SEEN),
        "hidden_error_m": places.mean_m(places.phases == HIDDEN),
        "return_error_m": places.mean_m(places.returns),
        "return_error_share": float(np.mean(known)) if known else None,
        "still_at_return_m": float(np.mean(still)) if still else None,
        "held_seen_share": places.held_share(places.phases == SEEN),
        "held_at_return_share": places.held_share(places.returns),
        "switches_a_subject": number_switches(places) / places.numbers.shape[1],
    }


def _encoded(world: WorldModel, clip: Clip) -> tuple[Tensor, int]:
    """Encode each half by itself, as a model meets them. Gives latents [1, c, f, h, w], and the context's length."""
    pixels = torch.from_numpy(clip.video).permute(0, 3, 1, 2)[None].float() / 127.5 - 1
    with torch.no_grad():
        halves = [
            world.encode_video(pixels[:, : clip.num_context_frames], None),
            world.encode_video(pixels[:, clip.num_context_frames :], None),
        ]
    return torch.cat(halves, dim=2), halves[0].shape[2]


def _moments(tracks: Tracks) -> Tracks:
    """Put the frames of a batch of one in place of the batch."""
    return Tracks(*(part[0] for part in tracks))


def _foretold(told: PredictedSubjects, tracks: Tracks) -> HeldSubjects:
    """Read a prediction: whoever was held when it was made is held, and not seen."""
    moments = told.position.shape[1]
    held = told.filled[0].numpy()[None].repeat(moments, axis=0)
    return HeldSubjects(
        position_m=told.position[0].double().numpy(), velocity_m=told.velocity[0].double().numpy(),
        deviation_m=told.variance[0].clamp(min=0).sqrt().double().numpy(), held=held, seen=np.zeros_like(held),
        numbers=tracks.number[0].numpy()[None].repeat(moments, axis=0),
    )  # fmt: skip
