"""How a benchmark times and keeps its figures: candidates in turn, medians, ratios within one run, JSON."""

import argparse
import json
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch

from outofsight.codec.placement import synchronize

RESULTS = Path(__file__).parent / "results"
NUMBERS = re.compile(r"\[\s+((?:(?:-?\d[\d.e+-]*|null),?\s+)+)\]")
"""A list of numbers in indented JSON: kept on one line."""


def interleaved_seconds(
    candidates: Mapping[str, Callable[[], Any]], device: torch.device, *, rounds: int, warmup: int = 1
) -> dict[str, list[float]]:
    """Run the candidates A B C A B C ... and return each one's seconds by round; ``device`` is waited for."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for round_index in range(-warmup, rounds):
        for name, run in candidates.items():
            synchronize(device)
            start = time.perf_counter()
            run()
            synchronize(device)
            if round_index >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(seconds: Mapping[str, list[float]], name: str, to: str) -> float:
    """Return the median over rounds of name's seconds over to's in the same round."""
    return median(a / b for a, b in zip(seconds[name], seconds[to], strict=True))


def hardware(device: torch.device | None) -> dict[str, Any]:
    on_gpu = torch.cuda.is_available() if device is None else device.type == "cuda"
    return {
        "cpu": _cpu_name(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(device) if on_gpu else None,
    }


def finish(
    name: str,
    question: str,
    config: dict[str, Any],
    figures: Any,
    out: Path | None,
    device: torch.device | None = None,
) -> None:
    """Print the last line of JSON, and keep it in ``out``; ``device``: what did the work, where it was chosen."""
    record = {
        "benchmark": name,
        "question": question,
        "command": " ".join(["python", *sys.argv]),
        "date": date.today().isoformat(),
        "commit": _commit(),
        "versions": {
            "python": platform.python_version(),
            **{lib: version(lib) for lib in ("torch", "numpy")},
        },
        "hardware": hardware(device),
        "config": config,
        "figures": figures,
    }
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        text = NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", json.dumps(record, indent=1))
        out.write_text(text + "\n", encoding="utf-8")
    print(json.dumps(record))


def add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, help="also write the record to this file (benchmarks/results/NAME.json)"
    )


def _commit() -> str | None:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
