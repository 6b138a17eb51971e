"""One command for the day a GPU is there: what half an hour of it is best spent on, in order of worth.

    python benchmarks/gpu_day.py --out gpu_day --minutes 30
    python benchmarks/gpu_day.py --out gpu_day --minutes 30     # once more: goes on with what is left
    python benchmarks/gpu_day.py --out rehearsal --minutes 5 --device cpu --toy

Each part runs in a process of its own, so that one that fails or runs out of memory harms no other. ``lines.jsonl``
grows by a line as each figure is had; ``record.json`` is written when time is up. A part that is done is not run again,
one that failed or was cut off is. The last part trains the mini for all the time that is left.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gpu_parts import FULL, TOY, attention, generation, rollouts, training
from gpu_training import gpu_tests, train_mini
from record import finish

LINES = "lines.jsonl"
SHORTEST_MINUTES = 0.5
"""A part is not begun with less."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """``minutes``: at most so many of a half hour; the last part takes what is left."""

    run: Callable[..., Iterator[dict[str, Any]]]
    minutes: float


PARTS = {
    "tests": Part(run=gpu_tests, minutes=4),
    "generation": Part(run=generation, minutes=7),
    "attention": Part(run=attention, minutes=2),
    "rollouts": Part(run=rollouts, minutes=3),
    "training": Part(run=training, minutes=3),
    "mini": Part(run=train_mini, minutes=float("inf")),
}


def run_part(name: str, options: argparse.Namespace) -> None:
    """Run one part in this process; every figure is a line on the disk before the next is sought."""
    scale = TOY if options.toy else FULL
    for line in PARTS[name].run(scale, torch.device(options.device), options.out, options.minutes):
        add_line(options.out, {"part": name, **line})


def in_a_process(name: str, options: argparse.Namespace, minutes: float) -> str | None:
    """Run one part in a process of its own; returns why it is not done."""
    command = [
        sys.executable,
        __file__,
        "--part",
        name,
        "--out",
        str(options.out),
        "--device",
        options.device,
    ]
    command += ["--minutes", f"{minutes:.3f}", *(["--toy"] if options.toy else [])]
    # A process group of its own: what the part has started ends with it.
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        _, errors = child.communicate(timeout=60 * minutes)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, 9)
        child.communicate()
        return f"cut off after {minutes:.1f} minutes"
    reported = errors.strip().splitlines()
    return (
        None
        if child.returncode == 0
        else (reported[-1] if reported else f"ended with {child.returncode}")[:300]
    )


def run_all(options: argparse.Namespace, run: Callable[..., str | None] = in_a_process) -> list[str]:
    """Run what is not done, in order, as long as there is time; returns the parts that are done now."""
    end = time.monotonic() + 60 * options.minutes
    for name, part in PARTS.items():
        left = (end - time.monotonic()) / 60
        if name in finished(options.out) or left < min(SHORTEST_MINUTES, options.minutes / 2):
            continue
        begun = time.monotonic()
        trouble = run(name, options, min(left, part.minutes * max(1.0, options.minutes / 30)))
        ended = {"part": name, "seconds": round(time.monotonic() - begun, 1)}
        add_line(options.out, ended | ({"done": True} if trouble is None else {"trouble": trouble}))
        print(f"{name}: {trouble or 'done'} ({ended['seconds']} s)", flush=True)
    return [name for name in PARTS if name in finished(options.out)]


def add_line(out: Path, line: dict[str, Any]) -> None:
    """Add a line, on the disk before this returns; half a line that a kill left is ended first."""
    path = out / LINES
    torn = path.is_file() and not path.read_bytes().endswith(b"\n") and path.stat().st_size
    with path.open("a", encoding="utf-8") as file:
        file.write(("\n" if torn else "") + json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_lines(out: Path) -> list[dict[str, Any]]:
    """Read the lines that are whole."""
    path, found = out / LINES, []
    for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            found.append(json.loads(text))
        except ValueError:
            continue  # cut by a kill
    return found


def finished(out: Path) -> set[str]:
    return {line["part"] for line in read_lines(out) if line.get("done")}


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder; one that is there is gone on with")
    parser.add_argument("--minutes", type=float, default=30.0, help="all parts together")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--toy", action="store_true", help="toy sizes, to rehearse")
    parser.add_argument("--part", choices=PARTS, help="this part alone, in this process")
    options = parser.parse_args(arguments)
    if options.minutes <= 0:
        parser.error(f"--minutes: expected more than 0, got {options.minutes:g}")
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("--device cuda: this torch sees no CUDA GPU; rehearse with --device cpu --toy")
    options.out.mkdir(parents=True, exist_ok=True)
    return options


def main() -> None:
    options = parsed()
    if options.part:
        run_part(options.part, options)
        return
    done = run_all(options)
    question = "what does one GPU do in half an hour: tests, generation, attention, rollouts, training?"
    config = {"minutes": options.minutes, "device": options.device, "toy": options.toy, "done": done}
    device = torch.device(options.device)
    finish("gpu_day", question, config, read_lines(options.out), options.out / "record.json", device)


if __name__ == "__main__":
    main()
