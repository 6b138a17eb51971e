"""How long does a training step of the mini take, and where does the time go?

    python benchmarks/training.py --batch 2 --rounds 3
    python benchmarks/training.py --batch 64 --precision bf16 --rounds 20      # on a GPU

Latents are random numbers of the mini's shape (96×160, 77 + 77 frames), the VAE's clips random pixels: the cost does
not depend on what they show. Stages are timed in turn, in one process.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
import torch

from outofsight.codec.text import max_text_tokens
from outofsight.data.latent_cache import CacheIdentity, LatentCacheWriter, LatentSample, open_latent_cache
from outofsight.training.batches import Captions, WorldBatches
from outofsight.training.config import changed
from outofsight.training.models import choose_trainable, make_vae, new_world
from outofsight.training.optimiser import EMA, make_optimizers, optimizer_tensors
from outofsight.training.randomness import NoiseLevels
from outofsight.training.recipes import mini_vae, mini_world
from outofsight.training.state import State, save_state
from outofsight.training.task import to_device
from outofsight.training.vae_training import VaeObjective
from outofsight.training.world_objective import WorldObjective
from record import add_out, finish, interleaved_seconds

CAPTION = (
    "A man in a red coat walks along a snowy street, leaves the picture on the left, and comes back later."
)
NUM_SAMPLES, LATENT_FRAMES, ROWS, COLUMNS = 128, 20, 12, 20


def write_random_cache(folder: Path) -> None:
    generator = np.random.default_rng(0)
    names = [f"clip_{index:06d}" for index in range(NUM_SAMPLES)]
    writer = LatentCacheWriter(folder, CacheIdentity(vae_digest="random"), names)
    for number, shard in list(writer.missing()):
        writer.write(number, [random_sample(name, generator) for name in shard])
    writer.finish()


def random_sample(name: str, generator: np.random.Generator) -> LatentSample:
    shape, cameras = (16, LATENT_FRAMES, ROWS, COLUMNS), (LATENT_FRAMES, 12)
    return LatentSample(
        name=name,
        caption=CAPTION,
        context_latents=generator.standard_normal(shape, np.float32),
        target_latents=generator.standard_normal(shape, np.float32),
        context_cameras=generator.standard_normal(cameras, np.float32),
        target_cameras=generator.standard_normal(cameras, np.float32),
    )


class WorldSteps:
    """One world model, one batch, and the stages of a step."""

    def __init__(self, folder: Path, batch: int, precision: str, device: torch.device) -> None:
        self.folder, self.size, self.precision, self.device = folder, batch, precision, device
        task = mini_world().task
        parts = new_world(task.size, make_vae(mini_vae().task, 0), 0)
        levels = NoiseLevels(task, parts.shift, round_to_bf16=False)
        cache = open_latent_cache(folder / "cache")
        self.batches = WorldBatches(cache, Captions(cache, parts.tokenizer), levels, task, 0)
        self.objective = (
            WorldObjective(parts.transformer, parts.text_encoder, max_text_tokens(parts.tokenizer))
            .to(device)
            .train()
        )
        self.parameters = choose_trainable(self.objective, ("*",))
        self.optimizers = make_optimizers(self.parameters, mini_world().optimisation)
        self.mean = EMA(self.parameters, 0.999)
        self.batch = to_device(self.read(), device)
        self.position = 0

    def read(self):
        return self.batches.make(0, range(self.size))

    def forward_backward(self) -> None:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            loss = self.objective(self.batch)["loss"].mean()
        loss.backward()

    def optimise(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()

    def average(self) -> None:
        self.mean.update(self.parameters, 1)

    def save(self) -> None:
        moments, steps = optimizer_tensors(self.optimizers, self.parameters)
        tensors = {f"weights/{name}": value.detach() for name, value in self.parameters.items()}
        tensors |= {f"ema/{name}": value for name, value in self.mean.means.items()} | moments
        state = State(facts={"step": 1, "optimizer_steps": steps}, tensors=tensors)
        save_state(self.folder / "states", state, shard_mb=16, keep=1)


def vae_step(batch: int, precision: str, device: torch.device):
    config = mini_vae()
    objective = VaeObjective(make_vae(config.task, 0), config.task).to(device).train()
    frames = config.task.num_frames
    inputs = {
        "video": torch.randint(0, 256, (batch, frames, 96, 160, 3), dtype=torch.uint8),
        "subjects": torch.randint(0, 2, (batch, frames, 96, 160), dtype=torch.uint8),
        "noise": torch.randn(batch, 16, 1 + (frames - 1) // 4, ROWS, COLUMNS),
    }
    inputs = to_device(inputs, device)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss = objective(inputs)["loss"].mean()
        loss.backward()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=2, help="samples in a step")
    parser.add_argument("--precision", choices=("no", "bf16"), default="no")
    parser.add_argument("--rounds", type=int, default=3)
    add_out(parser)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    changed(mini_world(), {"batch.size": args.batch})  # refuse what training would refuse
    with tempfile.TemporaryDirectory() as scratch:
        write_random_cache(Path(scratch) / "cache")
        world = WorldSteps(Path(scratch), args.batch, args.precision, device)
        stages = {
            "world: read batch": world.read,
            "world: forward + backward": world.forward_backward,
            "world: optimizer": world.optimise,
            "world: running mean": world.average,
            "world: save state": world.save,
            "vae: forward + backward": vae_step(args.batch, args.precision, device),
        }
        seconds = interleaved_seconds(stages, device, rounds=args.rounds)
    figures = {name: median(values) for name, values in seconds.items()}
    for name, value in figures.items():
        rate = f"{args.batch / value:8.2f} samples/s" if "batch" in name or "forward" in name else ""
        print(f"{name:28} {1000 * value:9.1f} ms {rate}")
    peak = torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else None
    config = {
        "batch": args.batch,
        "precision": args.precision,
        "rounds": args.rounds,
        "size": "96x160, 77+77",
    }
    question = __doc__.splitlines()[0]
    finish("training", question, config, {"median_seconds": figures, "peak_gpu_gb": peak}, args.out, device)


if __name__ == "__main__":
    main()
