"""Which memory is better? Every strategy trained alike, from the same first weights, and judged on the same clips.

    python benchmarks/strategies.py --latents latents --clips clips --vae runs/vae/export --work runs/strategies \
        --steps 2000 --set batch.size=16 --set optimisation.cooldown_steps=400 \
        --out benchmarks/results/strategies.json

A strategy may carry settings of its own: ``hydra:memory_top_k=5,local_window=3``. Stop it when you like; run the same
command again to go on. Each run is one of ``outofsight train``, the verdict one of ``outofsight evaluate``.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from record import add_out, finish

RIVALS = (
    "concat",
    "window",
    "recurrent",
    "identity",
    "segmentation",
    "oracle",
    "fov",
    "dfot",
    "worldplay",
    "hydra",
)
ABLATIONS = ("hydra-2x2x2", "hydra-1x4x4", "hydra:memory_top_k=3", "hydra:memory_top_k=8", "hydra-fov")
"""The paper's three, at the mini's size: 11 slices in all where the paper has 20, so K is about halved."""

KEPT = ("loss", "validation/loss", "validation/camera_gain", "samples_per_second")


class Contender(NamedTuple):
    """A strategy with changes of its settings, and the name of its run."""

    strategy: str
    changes: tuple[str, ...]

    @property
    def name(self) -> str:
        return "-".join((self.strategy, *(change.replace("=", "") for change in self.changes)))


def parse(text: str) -> Contender:
    """Read NAME or NAME:KEY=VALUE,KEY=VALUE."""
    strategy, _, changes = text.partition(":")
    return Contender(strategy, tuple(filter(None, changes.split(","))))


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "outofsight", *map(str, arguments)]


def train(contender: Contender, options: argparse.Namespace) -> Path:
    """Train one contender, or go on; return its run's folder."""
    run = options.work / contender.name
    if (run / "config.json").exists():
        begun = command("train", "--resume", "--out", run)
    else:
        settings = [
            f"task.vae={options.vae}",
            f"seed={options.seed}",
            f"num_steps={options.steps}",
            *options.set,
        ]
        settings += [f"task.memory.{change}" for change in contender.changes]
        begun = command(
            "train", "--recipe", "mini_world", "--strategy", contender.strategy, "--data", options.latents,
            "--out", run, *(part for setting in settings for part in ("--set", setting)),
        )  # fmt: skip
    subprocess.run(begun, check=True)
    return run


def judge(runs: dict[str, Path], options: argparse.Namespace) -> dict[str, Any]:
    """Judge all on the same clips; return the content of results.json."""
    out = options.work / "verdict"
    models = (part for name, run in runs.items() for part in ("--model", f"{name}={run / 'export'}"))
    limit = ("--limit", options.limit) if options.limit else ()
    sampling = ("--steps", options.sampling_steps, "--guidance", options.guidance)
    subprocess.run(
        command("evaluate", "--data", options.clips, "--out", out, *models, *limit, *sampling,
                "--baseline", options.baseline or next(iter(runs))),
        check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return found


def last_losses(run: Path) -> dict[str, float]:
    """Return the last figures of each kind that a run has logged."""
    figures: dict[str, float] = {}
    for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines():
        figures |= {key: value for key, value in json.loads(line).items() if key in KEPT}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--latents", type=Path, required=True, help="latent cache to train on")
    parser.add_argument(
        "--clips", type=Path, required=True, help="clips to judge on (a data set with a test part)"
    )
    parser.add_argument("--vae", type=Path, required=True, help="the VAE that made the cache")
    parser.add_argument("--work", type=Path, required=True, help="folder for runs and verdict")
    parser.add_argument("--steps", type=int, required=True, help="training steps of each")
    parser.add_argument("--strategies", nargs="+", default=RIVALS, help="NAME or NAME:KEY=VALUE,KEY=VALUE")
    parser.add_argument("--ablations", action="store_true", help=f"also {' '.join(ABLATIONS)}")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE for every training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="judge on the first N clips alone")
    parser.add_argument("--sampling-steps", type=int, default=16)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--baseline", help="row the others are compared with (default: the first)")
    add_out(parser)
    options = parser.parse_args()
    contenders = [parse(text) for text in (*options.strategies, *(ABLATIONS if options.ablations else ()))]
    runs = {contender.name: train(contender, options) for contender in contenders}
    results = judge(runs, options)
    over_all = next(iter(results["summaries"].values()))
    figures = {"training": {name: last_losses(run) for name, run in runs.items()}, "summaries": over_all}
    print((options.work / "verdict" / "table.txt").read_text(encoding="utf-8"))
    config = {key: str(value) for key, value in vars(options).items()}
    finish("strategies", "Which memory is better, all else being equal?", config, figures, options.out)


if __name__ == "__main__":
    main()
