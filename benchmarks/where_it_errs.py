"""Where does a world model err: on places or on subjects, on clips it learned from or on others?

    python benchmarks/where_it_errs.py --model mini --data latents --out benchmarks/results/where_it_errs.json

``data``: a latent cache (``outofsight data encode``) with the parts ``train`` and ``validation``. Errors are of the
clean latents that one prediction gives at a noise level: squared, the mean over channels, on latent pixels of which a
subject covers at most 0.3 (places) or more (subjects). Places are also told apart by how far a target frame's camera is
turned from the nearest context frame's, beside the error of copying that context frame.
"""

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from outofsight.codec.checkpoint_files import network_digest
from outofsight.codec.text import max_text_tokens
from outofsight.data.latent_cache import LatentCache, LatentSample
from outofsight.training.batches import Captions, plain_batch, target_subject_share
from outofsight.training.models import make_world
from outofsight.training.randomness import normal
from outofsight.training.tasks import WorldTask
from outofsight.training.world_objective import WorldObjective
from outofsight.training.world_training import open_cache_part
from outofsight.world_model import WorldModelBase
from record import add_out, finish

SIGMAS = (0.98, 0.75, 0.5, 0.25)
TURNS_DEG = (0.5, 1.5, 3.0, 8.0, 180.0)
SUBJECT_SHARE = 0.3
BATCH = 16


class Sums(NamedTuple):
    """A sum of errors and how many latent pixels it is over."""

    total: float = 0.0
    count: int = 0

    def plus(self, errors: Float[Tensor, "b t h w"], where: Bool[Tensor, "b t h w"]) -> "Sums":
        return Sums(self.total + errors[where].sum().item(), self.count + int(where.sum()))

    def mean(self) -> float | None:
        return self.total / self.count if self.count else None


def nearest_turns(
    context: Float[Tensor, "b c 12"], target: Float[Tensor, "b t 12"]
) -> tuple[Tensor, Float[Tensor, "b t"]]:
    """Return, for each target frame, the context frame whose camera is turned alike most, and by how many degrees."""
    seen, coming = (poses.unflatten(-1, (3, 4))[..., :3] for poses in (context, target))
    cosines = (torch.einsum("btij,bcij->btc", coming, seen) - 1) / 2
    best = cosines.max(dim=-1)
    return best.indices, torch.rad2deg(best.values.clamp(-1, 1).acos())


def of_turn(degrees: Float[Tensor, "b t"], index: int) -> Bool[Tensor, "b t"]:
    low = TURNS_DEG[index - 1] if index else -1.0
    return (degrees > low) & (degrees <= TURNS_DEG[index])


@torch.no_grad()
def errors_of(parts: WorldModelBase, cache: LatentCache, count: int) -> dict[str, Any]:
    """Return the errors on the first ``count`` samples of a cache, by noise level and by turn."""
    objective = WorldObjective(parts.transformer, parts.text_encoder, max_text_tokens(parts.tokenizer)).eval()
    captions = Captions(cache, parts.tokenizer)
    by_level: dict[str, dict[str, Sums]] = {f"{s:g}": defaultdict(Sums) for s in SIGMAS}
    by_turn: dict[str, dict[str, Sums]] = {f"up to {d:g}°": defaultdict(Sums) for d in TURNS_DEG}
    for begin in range(0, count, BATCH):
        samples: list[LatentSample] = [cache[index] for index in range(begin, min(begin + BATCH, count))]
        batch = plain_batch(samples) | captions.batch(samples, [False] * len(samples))
        target = batch["target_latents"]
        batch["noise"] = torch.stack([normal(tuple(target.shape[1:]), 0, "errs", s.name) for s in samples])
        subjects = torch.stack([target_subject_share(sample) for sample in samples]) > SUBJECT_SHARE
        nearest, degrees = nearest_turns(batch["context_cameras"], batch["target_cameras"])
        copied = torch.stack([own[:, n] for own, n in zip(batch["context_latents"], nearest, strict=True)])
        copy_error = ((copied - target) ** 2).mean(dim=1)
        for sigma in SIGMAS:
            batch["levels"] = torch.tensor([[sigma * 1000, sigma, 1.0]]).expand(len(samples), -1)
            error = ((objective.flow(batch).estimate - target) ** 2).mean(dim=1)
            level = by_level[f"{sigma:g}"]
            level["places"] = level["places"].plus(error, ~subjects)
            level["subjects"] = level["subjects"].plus(error, subjects)
            if sigma != SIGMAS[0]:
                continue
            for index, turn in enumerate(by_turn.values()):
                where = of_turn(degrees, index)[..., None, None] & ~subjects
                turn["model"] = turn["model"].plus(error, where)
                turn["nearest context frame"] = turn["nearest context frame"].plus(copy_error, where)
    return {
        "num_clips": count,
        "by_noise_level": {level: _means(sums) for level, sums in by_level.items()},
        f"places_by_turn_at_{SIGMAS[0]:g}": {turn: _means(sums) for turn, sums in by_turn.items()},
    }


def _means(sums: dict[str, Sums]) -> dict[str, Any]:
    means: dict[str, Any] = {name: own.mean() for name, own in sums.items()}
    return means | {"latent_pixels": {name: own.count for name, own in sums.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mini", help="a world model's folder, or a bundled one's name")
    parser.add_argument("--data", type=Path, required=True, help="a latent cache with train and validation")
    parser.add_argument("--samples", type=int, default=96, help="clips of each part")
    parser.add_argument("--threads", type=int, default=1)
    add_out(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    parts = make_world(WorldTask(initial=options.model), seed=0)
    parts.transformer.eval()
    figures = {}
    for name in ("train", "validation"):
        cache = open_cache_part(options.data, name, network_digest(parts.vae))
        figures[name] = errors_of(parts, cache, min(options.samples, len(cache)))
        print(name, figures[name], flush=True)
    config = {"samples": options.samples, "sigmas": SIGMAS, "subject_share": SUBJECT_SHARE}
    finish("where_it_errs", "Where does a world model err?", config, figures, options.out)


if __name__ == "__main__":
    main()
