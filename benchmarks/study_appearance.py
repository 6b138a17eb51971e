"""Subjects that change their looks, in view or while hidden: does the slot follow, how fast, does it forget?

::

    in view     A  ############|%%%%%%%%%%%%      the change comes between two latent frames that both show A
    hidden      A  #######.....|.....%%%%%%%      the camera looks away before it, and back after it
                B  #########################      a second subject, who never changes, stands near
"""

from collections.abc import Sequence
from math import pi
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from outofsight.evaluation.held_places import held_places
from outofsight.memory.banks.two_banks import Observed
from study_scenes import Reader, Walk, bank_memory, held_of, observe_walk, truth_of

NUM_FRAMES, CHANGE, AWAY = 60, 24, slice(16, 32)
"""Latent frames of a scene; the first with the new looks; those in which the camera looks away."""

IDENTITY_WIDTH = 32
LIKENESSES = (0.9, 0.6, 0.3, 0.0, -0.5)


def scene(hidden: bool) -> Walk:
    """A walks 3 m to the right, 5 m ahead; B stands 1.5 m to the left of its beginning. 10 frames a second."""
    frames = torch.arange(NUM_FRAMES, dtype=torch.float32)
    a = torch.stack(
        (-1.0 + 3.0 * frames / NUM_FRAMES, torch.full_like(frames, 1.5), torch.full_like(frames, 5.0)), -1
    )
    b = torch.tensor([-2.5, 1.5, 5.0]).expand(NUM_FRAMES, 3)
    turned = torch.zeros(NUM_FRAMES)
    if hidden:
        turned[AWAY] = 2 * pi / 3
    zero, one = torch.zeros_like(turned), torch.ones_like(turned)
    rows = (
        turned.cos(),
        zero,
        turned.sin(),
        zero,
        zero,
        one,
        zero,
        zero,
        -turned.sin(),
        zero,
        turned.cos(),
        zero,
    )
    velocity = torch.zeros(1, 2, NUM_FRAMES, 3)
    velocity[:, 0, :, 0] = 3.0 / NUM_FRAMES / 4
    return Walk(
        poses=torch.stack(rows, dim=-1)[None], times=4 * frames[None], position=torch.stack((a, b))[None],
        velocity=velocity, box=torch.tensor([[[0.0, -0.8, 0.45, 0.8]] * 2]), fov_x_rad=1.36, fps=10.0,
    )  # fmt: skip


def looks(likeness: float, seed: int) -> tuple[Tensor, Tensor]:
    """Give identities [1, 2, f, e] of A (old, then new with this cosine to it) and B, and A's two [2, e]."""
    drawn = torch.randn(3, IDENTITY_WIDTH, generator=torch.Generator().manual_seed(seed))
    old = normalize(drawn[0], dim=0)
    across = normalize(drawn[1] - (drawn[1] @ old) * old, dim=0)
    new = likeness * old + (1 - likeness**2) ** 0.5 * across
    of_a = torch.cat((old.expand(CHANGE, -1), new.expand(NUM_FRAMES - CHANGE, -1)))
    of_b = normalize(drawn[2], dim=0).expand(NUM_FRAMES, -1)
    return torch.stack((of_a, of_b))[None], torch.stack((old, new))


def one_change(hidden: bool, likeness: float, rate: float, reader: Reader) -> dict[str, float | None]:
    """Follow A and B through one change of A's looks."""
    walk = scene(hidden)
    identity, (old, new) = looks(likeness, reader.seed)
    memory = bank_memory(walk, subject_slots=4, archive_slots=4, subject_rate=rate)
    _, observed = observe_walk(memory, walk, reader, identity)
    truth = truth_of(walk, reader.size)
    places = held_places(held_of(observed, walk.times), truth)
    before, after = int(places.numbers[CHANGE - 1, 0]), int(places.numbers[-1, 0])
    held = _identity_of(observed, after)
    likes_new, likes_old = (held @ new).numpy(), (held @ old).numpy()
    follows = np.flatnonzero(likes_new[CHANGE:] > likes_old[CHANGE:])
    first_seen = AWAY.stop if hidden else CHANGE
    return {
        "same_slot": float(before == after >= 0),
        "others_disturbed": float(places.numbers[CHANGE - 1, 1] != places.numbers[-1, 1]),
        "subjects_held": float(observed.tracks.filled[0, -1].sum()),
        "frames_to_follow": float(follows[0] + CHANGE - first_seen + 1) if len(follows) else None,
        "likes_new_after_1": float(likes_new[first_seen]),
        "likes_new_after_5": float(likes_new[first_seen + 4]),
        "likes_new_after_20": float(likes_new[first_seen + 19]),
        "likes_old_after_20": float(likes_old[first_seen + 19]),
        "place_error_m": places.mean_m(np.arange(NUM_FRAMES)[:, None] * np.ones((1, 2)) >= CHANGE),
    }


def _identity_of(observed: Observed, number: int) -> Tensor:
    """Give the identity [f, e] held under a number at each frame; zeros while nobody is."""
    tracks = observed.tracks
    is_it = (tracks.filled[0] & (tracks.number[0] == number)).float()
    return (is_it[..., None] * tracks.identity[0]).sum(dim=1)


def appearance_rows(
    num_scenes: int, noise: float, identity_noise: float, size: tuple[int, int], rates: Sequence[float]
) -> list[dict[str, Any]]:
    """Measure every kind of change, how large it is, and α of the merge (``rates``); values are lists over scenes."""
    rows = []
    for hidden in (False, True):
        for rate in rates:
            for likeness in LIKENESSES:
                readers = [
                    Reader(size=size, noise=noise, identity_noise=identity_noise, seed=seed)
                    for seed in range(num_scenes)
                ]
                measured = [one_change(hidden, likeness, rate, reader) for reader in readers]
                rows.append({
                    "change": "hidden" if hidden else "in view", "subject_rate": rate, "likeness": likeness,
                    **{name: [one[name] for one in measured] for name in measured[0]},
                })  # fmt: skip
    return rows
