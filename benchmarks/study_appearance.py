"""Subjects that change their looks, in view or while hidden: does the slot follow, how fast, does it forget?

::

    in view     A  ############|%%%%%%%%%%%%      the change comes between two latent frames that both show A
    hidden      A  #######.....|.....%%%%%%%      the camera looks away before it, and back after it
                B  #########################      a second subject, who never changes, stands near

**Followed** is how far what a slot holds has moved from the old looks to the new: 0 is the old, 1 the new. What is left
of the old looks is 1 less that.
"""

import argparse
from collections.abc import Sequence
from math import pi

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from outofsight.evaluation.tracked_positions import TrackedPositions, tracked_positions
from outofsight.memory.banks.two_banks import Observed
from outofsight.nn.cameras import intrinsics_from_fov
from study_figures import Row, summarised, table
from study_scenes import Reader, Walk, held_of, observe, prepared, truth_of
from study_trackers import MakeMemory, trackers

NUM_FRAMES, CHANGE, AWAY = 60, 24, slice(16, 32)
"""Latent frames of a scene; the first with the new looks; those in which the camera looks away."""

AFTER = (1, 3, 5, 20)
"""So many latent frames that show the new looks are seen before it is asked what is held."""

SIZE, LIKENESSES = (12, 20), (0.9, 0.6, 0.3, 0.0, -0.5)
LENS = intrinsics_from_fov(1.36, *SIZE)[None]
SHOWN = ("change", "dynamics", "subject_rate", "likeness", "same_slot", "frames_to_follow", "followed_after_1",
         "followed_after_5", "followed_after_20", "others_disturbed", "place_error_m")  # fmt: skip


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rates", type=float, nargs="+", default=(0.1, 0.3, 0.6), help="α of the merge")


def study(options: argparse.Namespace) -> list[Row]:
    """Measure every kind of change, how large it is, and α of the merge."""
    rows = summarised(appearance_rows(options))
    table(rows, SHOWN, ("frames_to_follow",))
    return rows


def appearance_rows(options: argparse.Namespace) -> list[Row]:
    """Measure; values are lists over scenes."""
    readers = [
        Reader(size=SIZE, noise=options.noise, identity_noise=options.identity_noise, seed=seed)
        for seed in range(options.scenes)
    ]
    rows = []
    for hidden in (False, True):
        for name, make in trackers(options.model, ("as it begins",)).items():
            for rate in options.rates:
                for likeness in LIKENESSES:
                    measured = changes(make, readers, hidden=hidden, likeness=likeness, rate=rate)
                    rows.append({
                        "change": "hidden" if hidden else "in view", "dynamics": name, "subject_rate": rate,
                        "likeness": likeness, **{key: [one[key] for one in measured] for key in measured[0]},
                    })  # fmt: skip
    return rows


def scene(hidden: bool, seed: int) -> Walk:
    """A walks 2 to 3 m to the left or right, 4 to 6 m ahead; B stands beside its beginning. 10 frames a second."""
    draw = np.random.default_rng([seed, 0xA])
    side, reach, depth = float(draw.choice((-1, 1))), draw.uniform(2, 3), draw.uniform(4, 6)
    frames = torch.arange(NUM_FRAMES, dtype=torch.float32)
    across = draw.uniform(-0.3, 0.3) + side * reach * (frames / NUM_FRAMES - 0.5)
    a = torch.stack((across, torch.full_like(frames, 1.5), torch.full_like(frames, depth)), -1)
    beside = [float(across[0]) - side * draw.uniform(1.2, 2.0), 1.5, draw.uniform(6, 8)]
    b = torch.tensor(beside).expand(NUM_FRAMES, 3)
    turned = torch.zeros(NUM_FRAMES)
    if hidden:
        turned[AWAY] = 2 * pi / 3
    velocity = torch.zeros(1, 2, NUM_FRAMES, 3)
    velocity[:, 0, :, 0] = side * reach / NUM_FRAMES / 4
    return Walk(
        poses=_turned_poses(turned), times=4 * frames[None], position=torch.stack((a, b))[None],
        velocity=velocity, box=torch.tensor([[[0.0, -0.8, 0.45, 0.8]] * 2]), intrinsics=LENS, fps=10.0,
    )  # fmt: skip


def _turned_poses(angle: Tensor) -> Tensor:
    """Give poses [1, f, 12] of a camera that stands at the origin, turned to the right by so many radians."""
    c, s, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack((c, zero, s, zero, zero, one, zero, zero, -s, zero, c, zero), dim=-1)[None]


def looks(likeness: float, width: int, seed: int) -> tuple[Tensor, Tensor]:
    """Give identities [1, 2, f, e] of A (old, then new with this cosine to it) and B, and A's two [2, e]."""
    drawn = torch.randn(3, width, generator=torch.Generator().manual_seed(seed))
    old = normalize(drawn[0], dim=0)
    across = normalize(drawn[1] - (drawn[1] @ old) * old, dim=0)
    new = likeness * old + (1 - likeness**2) ** 0.5 * across
    of_a = torch.cat((old.expand(CHANGE, -1), new.expand(NUM_FRAMES - CHANGE, -1)))
    of_b = normalize(drawn[2], dim=0).expand(NUM_FRAMES, -1)
    return torch.stack((of_a, of_b))[None], torch.stack((old, new))


def changes(
    make: MakeMemory, readers: Sequence[Reader], *, hidden: bool, likeness: float, rate: float
) -> list[dict[str, float | None]]:
    """Follow A and B through one change of A's looks, in one scene for each reader."""
    walks = [scene(hidden, reader.seed) for reader in readers]
    memory = make(subject_slots=4, archive_slots=4, subject_rate=rate)
    drawn = [looks(likeness, memory.settings.identity_width, reader.seed) for reader in readers]
    _, observed = observe(memory, prepared(memory, walks, readers, [reported for reported, _ in drawn]))
    first_seen = AWAY.stop if hidden else CHANGE
    measured = []
    for index, (walk, reader, (_, both)) in enumerate(zip(walks, readers, drawn, strict=True)):
        places = tracked_positions(held_of(observed, walk.times, index), truth_of(walk, reader.size))
        held = [identity_of(observed, index, moment, int(number)) for moment, number in
                enumerate(places.numbers[:, 0])]  # fmt: skip
        moved = [None if one is None else followed(one, both[0], both[1]) for one in held]
        measured.append(
            {**change_figures(places, moved, first_seen), **_likeness_left(held, both, first_seen)}
        )
    return measured


def change_figures(
    places: TrackedPositions, moved: Sequence[float | None], first_seen: int
) -> dict[str, float | None]:
    """Measure one scene. ``moved``: how far what is held for A at each moment is from the old looks to the new.

    ``frames_to_follow``: latent frames that show the new looks until the slot is half-way to them; of those alone that
    are A's old slot still.
    """
    before, after = int(places.numbers[CHANGE - 1, 0]), int(places.numbers[-1, 0])
    same = before == after >= 0
    later = np.arange(len(places.numbers))[:, None] * np.ones((1, 2)) >= first_seen
    return {
        "same_slot": float(same),
        "others_disturbed": float(places.numbers[CHANGE - 1, 1] != places.numbers[-1, 1]),
        "frames_to_follow": half_way(moved[first_seen:]) if same else None,
        **{f"followed_after_{count}": moved[first_seen + count - 1] for count in AFTER},
        "place_error_m": places.mean_m(later),
    }


def _likeness_left(held: Sequence[Tensor | None], both: Tensor, first_seen: int) -> dict[str, float | None]:
    """Give the cosine of what is held for A in the end to the new looks and to the old."""
    last = held[first_seen + AFTER[-1] - 1]
    return {
        "likes_new_in_the_end": None if last is None else float(last @ both[1]),
        "likes_old_in_the_end": None if last is None else float(last @ both[0]),
    }


def followed(held: Tensor, old: Tensor, new: Tensor) -> float | None:
    """Tell how far ``held`` has moved from ``old`` to ``new``: its projection on the way between, 0 to 1.

    ``None`` where the two are one, and there is no way to go.
    """
    way = (new - old).flatten()
    length2 = float(way @ way)
    return float((held - old).flatten() @ way) / length2 if length2 > 1e-10 else None


def half_way(moved: Sequence[float | None]) -> float | None:
    """Count the values until one is beyond a half; ``None`` if none is."""
    reached = (count for count, value in enumerate(moved, 1) if value is not None and value > 0.5)
    return next((float(count) for count in reached), None)


def identity_of(observed: Observed, scene_index: int, moment: int, number: int) -> Tensor | None:
    """Give the identity [e] that is held under a number in one scene after one frame; ``None``: nobody is."""
    tracks = observed.tracks
    here = tracks.filled[scene_index, moment] & (tracks.number[scene_index, moment] == number)
    slots = here.nonzero().flatten().tolist()
    return tracks.identity[scene_index, moment, slots[0]] if slots else None
