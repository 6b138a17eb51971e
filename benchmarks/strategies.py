"""Which memory is better? Every strategy trained alike, from the same first weights, and judged on the same clips.

    python benchmarks/strategies.py --latents latents --clips clips --initial mini --work runs/strategies --ablations \
        --steps 300 --set optimisation.learning_rate=5e-4 --set optimisation.cooldown_steps=150 \
        --out benchmarks/results/strategies.json

Without ``--initial`` they begin untrained (``--vae`` then names the autoencoder that made the cache). A strategy may
carry settings of its own, and a label: ``hydra:memory_top_k=5,local_window=3`` or
``coarse=hydra:memory_kernel=[1,2,2]``. Stop it when you like; run the same command again to go on. Each run is one of
``outofsight train``, the verdict one of ``outofsight evaluate``.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from outofsight.evaluation.results import paired_difference
from record import add_out, finish

HYDRA = "memory_kernel=[1,1,1],memory_top_k=8,memory_source=context"
"""The paper's memory at the mini's size: 11 context frames of 4×6 tokens where the paper has 20 of 30×52. Masks as a
channel and a noise level for each frame do not go together with rendered memory's channels (``rendering=null``)."""

RIVALS = (
    "concat",
    "window",
    "recurrent",
    "ssm",
    "identity",
    "segmentation=segmentation:rendering=null",
    "oracle=oracle:rendering=null",
    "fov",
    "dfot=dfot:rendering=null",
    "worldplay",
    f"hydra=hydra:{HYDRA}",
)
SCENERY = 'banks={"rendered":"scenery","top_k":0}'
RENDERED = (
    "warp",
    f"hydra+warp=hybrid+hydra:{HYDRA},{SCENERY}",
    "history",
    f"hydra+history=hydra+history:{HYDRA}",
    'hybrid-drawn=hybrid:banks={"top_k":0}',
    "hybrid",
    f"hybrid+hydra=hybrid+hydra:{HYDRA}",
)
"""Memories that are rendered, from first weights that can be shown a render (the bundled mini's): scenery alone, beside
a window or beside slices, as channels or as history tokens; subjects drawn too, without and with the banks' tokens."""
ABLATIONS = (
    f"hydra-1x2x2=hydra:{HYDRA.replace('[1,1,1]', '[1,2,2]')}",
    f"hydra-2x1x1=hydra:{HYDRA.replace('[1,1,1]', '[2,1,1]').replace('top_k=8', 'top_k=4')}",
    f"hydra-k3=hydra:{HYDRA.replace('top_k=8', 'top_k=3')}",
    f"hydra-fov=hydra-fov:{HYDRA}",
)
"""The paper's three: the tokenizer's kernel (in tokens), K, and the rule that chooses."""

BY_CLIP = (
    "psnr", "bg_psnr", "fg_psnr", "detection_rate", "identity_accuracy", "dsc_gt", "trajectory_error",
)  # fmt: skip
"""Measures that are kept clip by clip, so that what is trained another day can be compared in pairs."""
KEPT = ("loss", "validation/loss", "validation/camera_gain", "samples_per_second")


class Method(NamedTuple):
    """A strategy with changes of its settings, and the name of its row and run."""

    name: str
    strategy: str
    changes: tuple[str, ...]


def parse(text: str) -> Method:
    """Read NAME, NAME:KEY=VALUE,KEY=VALUE or LABEL=NAME:KEY=VALUE,..."""
    head, _, changes = text.partition(":")
    label, _, strategy = head.rpartition("=")
    parts = tuple(filter(None, re.split(r",(?![^\[{]*[\]}])", changes)))
    return Method(label or "-".join((strategy, *(part.replace("=", "") for part in parts))), strategy, parts)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "outofsight", *map(str, arguments)]


def train(method: Method, options: argparse.Namespace) -> Path:
    """Train one method, or go on; return its run's folder. Its progress goes to a log file beside it."""
    run = options.work / method.name
    if (run / "config.json").exists():
        begun = command("train", "--resume", "--out", run)
    else:
        first = f"task.initial={options.initial}" if options.initial else f"task.vae={options.vae}"
        settings = [first, f"seed={options.seed}", f"num_steps={options.steps}", *options.set]
        settings += [f"task.memory.{change}" for change in method.changes]
        begun = command(
            "train", "--recipe", options.recipe, "--strategy", method.strategy, "--data", options.latents,
            "--out", run, *(part for setting in settings for part in ("--set", setting)),
        )  # fmt: skip
    threads = (
        {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // options.jobs))} if options.jobs > 1 else {}
    )
    with (options.work / f"{method.name}.log").open("a", encoding="utf-8") as log:
        subprocess.run(begun, check=True, env={**os.environ, **threads}, stdout=log, stderr=subprocess.STDOUT)
    print(f"{method.name}: trained")
    return run


def judge(runs: dict[str, Path], options: argparse.Namespace) -> dict[str, Any]:
    """Judge all on the same clips; return the content of results.json."""
    out = options.work / "verdict"
    models = (part for name, run in runs.items() for part in ("--model", f"{name}={run / 'export'}"))
    limit = ("--limit", options.limit) if options.limit else ()
    sampling = ("--steps", options.sampling_steps, "--guidance", options.guidance, "--workers", options.jobs)
    subprocess.run(
        command("evaluate", "--data", options.clips, "--out", out, "--no-baselines", *models, *limit, *sampling,
                "--baseline", options.baseline or next(iter(runs))),
        check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return found


def compact(summary: dict[str, Any]) -> dict[str, Any]:
    """Keep a measure's n, coverage, mean and interval, and those of its paired difference, to 5 digits."""
    kept = {
        key: summary[key] for key in ("n", "coverage", "mean", "low", "high") if summary.get(key) is not None
    }
    rounded = {
        key: float(f"{value:.5g}") if isinstance(value, float) else value for key, value in kept.items()
    }
    return rounded | ({"difference": compact(summary["difference"])} if summary.get("difference") else {})


def by_clip(results: dict[str, Any]) -> dict[str, dict[str, list[float | None]]]:
    """Take a method's values on every clip, in the clips' order, to 4 digits."""
    names = [clip["name"] for clip in results["clips"]]
    return {
        method: {
            metric: [
                None if value is None else float(f"{value:.4g}")
                for value in (records[name]["values"].get(metric) for name in names)
            ]
            for metric in BY_CLIP
        }
        for method, records in results["records"].items()
    }


def beside(earlier: dict[str, Any], today: dict[str, Any]) -> dict[str, Any]:
    """Put today's rows into an earlier record's of the same clips, in pairs with the baseline that those have.

    Only measures that are kept clip by clip have a difference. A method of both is today's.
    """
    kept, baseline = earlier["figures"], earlier["config"]["baseline"]
    clips = kept["by_clip"] | today["by_clip"]
    for method, metrics in today["summaries"].items():
        for metric, summary in metrics.items():
            summary.pop("difference", None)
            if metric in BY_CLIP and method != baseline:
                pairs = paired_difference(clips[method][metric], clips[baseline][metric])
                summary["difference"] = compact(asdict(pairs))
    return {key: kept[key] | today[key] for key in kept}


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
    begin = parser.add_mutually_exclusive_group(required=True)
    begin.add_argument("--initial", help="a trained world model that all begin from: a folder, or mini")
    begin.add_argument("--vae", type=Path, help="begin untrained, with the autoencoder that made the cache")
    parser.add_argument("--recipe", default="laptop_world")
    parser.add_argument("--work", type=Path, required=True, help="folder for runs and verdict")
    parser.add_argument("--steps", type=int, required=True, help="training steps of each")
    parser.add_argument("--strategies", nargs="+", default=RIVALS, help="[LABEL=]NAME[:KEY=VALUE,...]")
    parser.add_argument("--rendered", action="store_true", help="also those whose memory is rendered")
    parser.add_argument("--ablations", action="store_true", help="also the paper's ablations of hydra")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE for every training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--jobs", type=int, default=1, help="trainings, and workers of the verdict, at a time"
    )
    parser.add_argument("--limit", type=int, help="judge on the first N clips alone")
    parser.add_argument("--sampling-steps", type=int, default=16)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--baseline", help="row the others are compared with (default: the first)")
    parser.add_argument(
        "--beside", type=Path, help="an earlier result on the same clips, to which these rows are added"
    )
    add_out(parser)
    options = parser.parse_args()
    more = (*(RENDERED if options.rendered else ()), *(ABLATIONS if options.ablations else ()))
    methods = [parse(text) for text in (*options.strategies, *more)]
    options.work.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(options.jobs) as pool:
        trained = pool.map(lambda method: train(method, options), methods)
        runs = dict(zip((method.name for method in methods), trained, strict=True))
    results = judge(runs, options)
    over_all = {
        method: {metric: compact(summary) for metric, summary in metrics.items()}
        for method, metrics in next(iter(results["summaries"].values())).items()
    }
    figures = {
        "training": {name: last_losses(run) for name, run in runs.items()},
        "summaries": over_all,
        "by_clip": by_clip(results),
    }
    print((options.work / "verdict" / "table.txt").read_text(encoding="utf-8"))
    config: dict[str, Any] = {key: str(value) for key, value in vars(options).items()}
    if options.beside:
        earlier = json.loads(options.beside.read_text(encoding="utf-8"))
        figures = beside(earlier, figures)
        config["baseline"] = earlier["config"]["baseline"]
        config["beside"] = {key: earlier[key] for key in ("command", "date", "commit", "config")}
    finish("strategies", "Which memory is better, all else being equal?", config, figures, options.out)


if __name__ == "__main__":
    main()
