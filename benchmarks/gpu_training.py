"""The parts of ``gpu_day`` that are commands: tests that need a GPU, and the mini trained on data made there."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from gpu_parts import Scale
from outofsight.training.run_folder import read_log

ROOT = Path(__file__).parents[1]
SHARES = {"clips": 0.2, "vae": 0.3, "latents": 0.05, "world": 0.45}
"""Of the minutes that are left for the mini."""
NUM_CLIPS = 4000
TRIAL_CLIPS = 32
VALIDATION = "0.05,0"


def gpu_tests(scale: Scale, device: torch.device, out: Path, minutes: float) -> Iterator[dict[str, Any]]:
    """Run the tests that need a GPU, and say what failed."""
    files = [
        str(path) for path in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.gpu" in path.read_text()
    ]
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", *files]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    (out / "tests.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    counts = {
        word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|skipped|error)", done.stdout)
    }
    failed = re.findall(r"^(?:FAILED|ERROR) (.*)$", done.stdout, re.MULTILINE)
    yield {"what": "pytest -m gpu", **counts, "failures": failed}


def train_mini(scale: Scale, device: torch.device, out: Path, minutes: float) -> Iterator[dict[str, Any]]:
    """Make clips, train ``mini_vae``, encode, train ``mini_world``: each for its share of the time."""
    folder, count = out / "mini", scale.mini.get("clips", NUM_CLIPS)
    commands = mini_commands(scale, device, folder, minutes)
    begun = time.monotonic()
    if count > TRIAL_CLIPS:  # how fast are they made here?
        _run(commands["clips"](TRIAL_CLIPS), out / "mini_clips.log")
        each = (time.monotonic() - begun) / TRIAL_CLIPS
        count = max(TRIAL_CLIPS, min(count, int(60 * minutes * SHARES["clips"] / each)))
    for name, command in commands.items():
        begun = time.monotonic()
        _run(command(count), out / f"mini_{name}.log")
        yield {"what": name, "seconds": round(time.monotonic() - begun, 1), **_reached(name, folder)}


def _run(command: list[str], log: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with log.open("a", encoding="utf-8") as file:
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=file, stderr=file, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[2:5])} ended with {done.returncode}; see {log}")


def mini_commands(
    scale: Scale, device: torch.device, out: Path, minutes: float
) -> dict[str, Callable[[int], list[str]]]:
    """Give the command lines by the number of clips; each goes on where it was stopped."""
    verb = [sys.executable, "-m", "outofsight"]
    mini = scale.mini
    clips, vae, latents, world = (str(out / name) for name in ("clips", "vae", "latents", "world"))
    shape = [part for name in ("frames", "size") if name in mini for part in (f"--{name}", mini[name])]
    sets = [part for value in mini.get("set", []) for part in ("--set", value)]

    def trained(recipe: str, data: str, run: str, share: float) -> list[str]:
        return [*verb, "train", "--recipe", recipe, "--data", data, "--out", run, "--max-minutes",
                f"{minutes * share:.2f}", "--set", "state.every_steps=200", *sets]  # fmt: skip

    world_sets = ["--set", f"task.vae={vae}/export"]
    workers = str(max(1, (os.cpu_count() or 1) - 1))
    return {
        "clips": lambda count: [*verb, "world", "build", "--out", clips, "--clips", str(count), "--seed", "1",
                                "--splits", mini.get("splits", VALIDATION), "--workers", workers, *shape],
        "vae": lambda _: trained("mini_vae", clips, vae, SHARES["vae"]),
        "latents": lambda _: [*verb, "data", "encode", "--data", clips, "--model", f"{vae}/export", "--out", latents,
                              "--device", str(device)],
        "world": lambda _: [*trained("mini_world", latents, world, SHARES["world"]), *world_sets],
    }  # fmt: skip


def _reached(name: str, folder: Path) -> dict[str, Any]:
    """Tell how far a command came."""
    if name == "clips":
        return {"clips": len(list((folder / "clips").glob("*/clip_*")))}
    if name in ("vae", "world") and (folder / name / "log.jsonl").is_file():
        lines = read_log(folder / name)
        return {"step": lines[-1]["step"] if lines else 0, "last": lines[-3:]}
    return {}
