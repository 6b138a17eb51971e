"""Which slot goes when the archive is full? Walks that come back, remembered by two rules.

    python benchmarks/bank_walks.py --out benchmarks/results/bank_walks.json

A camera walks through a made-up world: contents are smooth functions of the ray and the place, so that views that have
much in common are alike. Asked at every chunk: which part of the coming rays looks where something retrieved looked.
``rule`` is the archivist's own (docs/two_banks.md), ``use`` drops the least used slot instead.
"""

import argparse
from collections.abc import Iterator, Sequence
from math import cos, radians, sin
from statistics import mean

import torch
from torch import Tensor

from outofsight.memory.banks.archivist import (
    Slice,
    choose_slot,
    decay_use,
    least_useful,
    note_use,
    write_slice,
)
from outofsight.memory.banks.dynamics import PredictedSubjects
from outofsight.memory.banks.retrieval import BankRetrieval, Chunk, Rebuild, gathered
from outofsight.memory.banks.state import Archive, BankSettings, empty_banks
from outofsight.nn.cameras import intrinsics_from_fov
from outofsight.nn.rope import token_rays
from outofsight.types import LatentGrid
from record import add_out, finish

GRID, DIM = LatentGrid(frames=1, height=4, width=6), 16
LENS = intrinsics_from_fov(radians(78), GRID.height, GRID.width)[None]
CHUNK_FRAMES, FRAMES_PER_LATENT = 3, 4.0
Pose = tuple[float, float, float]
"""Yaw in degrees to the right, metres to the right, metres ahead; one a latent frame."""


def walks() -> dict[str, list[Pose]]:
    """Give walks whose second half sees again what the first half saw."""
    there = [(0.0, 0.0, float(z)) for z in range(60)]
    return {
        "full turn, twice": [(6.0 * step, 0.0, 0.0) for step in range(120)],
        "60 m and back": there + [(0.0, 0.0, float(z)) for z in range(60, 0, -1)],
        "round a block, twice": [*_block(), *_block()],
    }


def _block() -> Iterator[Pose]:
    """Walk a square of 15 m to the right, turning on the spot at its corners."""
    right, ahead = (0, 1, 0, -1), (1, 0, -1, 0)
    for side, (x, z) in enumerate(((0, 0), (0, 15), (15, 15), (15, 0))):
        for step in range(15):
            yield 90.0 * side, x + right[side] * step, z + ahead[side] * step
        for turn in range(10):
            yield 90.0 * side + 9 * turn, x + 15.0 * right[side], z + 15.0 * ahead[side]


def flat(pose: Pose) -> Tensor:
    yaw, x, z = pose
    c, s = cos(radians(yaw)), sin(radians(yaw))
    return torch.tensor([c, 0, s, x, 0, 1, 0, 0, -s, 0, c, z])


def contents(pose: Tensor, field: Tensor) -> Tensor:
    """Return the tokens [1, p, d] that a camera sees: waves over direction and moment."""
    direction, moment = token_rays(pose[None, None], GRID, LENS)
    reported = torch.cat((3 * direction, 0.3 * moment.clamp(-9, 9)), dim=-1)
    waves = torch.cat([wave(k * reported) for k in (1, 2, 3) for wave in (torch.sin, torch.cos)], dim=-1)
    return waves @ field.T


@torch.no_grad()
def coverage(path: Sequence[Pose], rule: str, settings: BankSettings) -> list[float]:
    """Return, for each chunk of the walk, the covered part of its rays before it is seen."""
    torch.manual_seed(0)
    retrieval, rebuild, field = BankRetrieval(DIM, settings), Rebuild(), torch.randn(DIM, 36)
    banks, found, seen = empty_banks(settings, GRID.tokens_per_frame, DIM), [], 0
    for begin in range(0, len(path), CHUNK_FRAMES):
        part = path[begin : begin + CHUNK_FRAMES]
        poses = torch.stack([flat(pose) for pose in part])[None]
        times = FRAMES_PER_LATENT * torch.arange(seen, seen + len(part))[None]
        nobody = torch.zeros(1, len(part), settings.subject_slots, 3)
        unseen = PredictedSubjects(nobody, nobody, nobody[..., 0], banks.tracks.filled)
        chunk = Chunk(poses, times, GRID, LENS, 11)
        retrieved = gathered(banks, retrieval, unseen, chunk, settings)
        grid = LatentGrid(frames=len(part), height=GRID.height, width=GRID.width)
        rays = [ray.unflatten(1, (len(part), -1)) for ray in token_rays(chunk.relative(poses), grid, LENS)]
        found.append(float(rebuild.covered(banks.archive, retrieved, *rays).mean()))
        archive = note_use(banks.archive, retrieved.scores)
        for index in range(len(part)):
            new = Slice(
                contents(poses[0, index], field),
                torch.ones(1, GRID.tokens_per_frame),
                poses[:, index],
                times[:, index],
            )
            archive = written(decay_use(archive, torch.tensor([FRAMES_PER_LATENT])), new, rule, settings)
        banks, seen = banks._replace(archive=archive), seen + len(part)
    return found


def written(archive: Archive, new: Slice, rule: str, settings: BankSettings) -> Archive:
    choice = choose_slot(archive, new, settings, LENS)
    if rule == "use" and bool(archive.filled.all()) and not bool(choice.merges):
        choice = choice._replace(slot=least_useful(archive, torch.zeros_like(archive.use)))
    return write_slice(archive, new, choice, torch.tensor([0.95]), settings)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slots", type=int, default=24)
    parser.add_argument("--top-k", type=int, default=8)
    parser.add_argument("--relevance", type=float, default=0.9)
    add_out(parser)
    options = parser.parse_args()
    settings = BankSettings(archive_slots=options.slots, top_k=options.top_k, relevance=options.relevance)
    figures: dict[str, dict[str, float]] = {}
    for name, path in walks().items():
        figures[name] = {}
        for rule in ("rule", "use"):
            found = coverage(path, rule, settings)
            figures[name][rule] = round(mean(found[len(found) // 2 :]), 3)
            print(f"{name}: {rule} covers {figures[name][rule]:.3f} of revisited rays")
    config = {key: value for key, value in vars(options).items() if key != "out"}
    finish("bank_walks", "Which slot goes when the archive is full?", config, figures, options.out)


if __name__ == "__main__":
    main()
