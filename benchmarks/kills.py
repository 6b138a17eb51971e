"""Is anything lost when a command is killed? kill -9 at random moments, then the same command again, to the end.

``python benchmarks/kills.py --kills 100`` (or ``make test-kills KILLS=100``) kills each of: building clips, encoding
them, training, walking, evaluating, and continuing a folder of videos. A command that came to its end is compared, file
by file, with one that nobody disturbed (seconds and bytes of memory apart, which no two runs share), and begun anew
until there were as many kills as were asked for. Each is a process of its own, forked from one that has the libraries
loaded.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import outofsight.evaluation.run
import outofsight.training.loop
import outofsight.worlds.clip  # noqa: F401 - loaded once, for all the processes that are forked
from outofsight.cli import main as command_line
from outofsight.cli.loading import quiet_libraries
from outofsight.data.sample import write_sample
from outofsight.data.video import write_video
from outofsight.geometry.camera_files import write_cameras
from outofsight.geometry.path_expressions import make_path
from record import add_out, finish

MEASURED = {
    "seconds",
    "peak_bytes",
    "peak_gpu_bytes",
    "samples_per_second",
    "changes",
    "seconds_per_video_second",
}
"""Keys of JSON files whose values are of the run and not of its result."""
PAGES = {".html", ".txt", ".svg", ".md"}
"""Drawn from the JSON files, seconds among them."""


TRAINING = ("optimisation.warmup_steps=0", "optimisation.cooldown_steps=0", "batch.size=2", "batch.precision=no",
            "validation.every_steps=2", "validation.num_samples=2", "validation.videos_every_steps=0", "num_steps=6",
            "state.every_steps=1")  # fmt: skip
WALKING = ("--camera=pan:left:20", "--context-camera=still", "--prompt=A cat sits.", "--context-frames=9",
           "--latent-frames=2", "--steps=6", "--set=num_inference_steps=2", "--set=guidance_scale=1")  # fmt: skip


def commands(inputs: Path) -> dict[str, Callable[[Path], list[str]]]:
    """Give each verb's command for a folder of its own."""
    model, cases, data = f"--model={inputs / 'tiny'}", inputs / "cases", f"--data={inputs / 'data'}"
    quick = ("--steps=1", "--guidance=1")
    return {
        "data encode": lambda out: ["data", "encode", data, model, "--per-shard=1", f"--out={out}"],
        "generate": lambda out: ["generate", model, f"--video={cases}", "--frames=9+9", *quick, f"--out={out}"],
        "roll": lambda out: ["roll", model, f"--video={cases / '1.mp4'}", *WALKING, f"--out={out / 'w.mp4'}"],
        "evaluate": lambda out: ["evaluate", data, model, *quick, "--metrics=psnr", "--detector=none",
                                 "--features=none", f"--out={out}"],
        "train": lambda out: ["train", "--recipe=mini_recogniser", f"--data={inputs / 'clips'}", f"--out={out}",
                              *(f"--set={setting}" for setting in TRAINING)],
        "world build": lambda out: ["world", "build", "--preset=mini", "--clips=3", "--seed=3", f"--out={out}"],
    }  # fmt: skip


def make_inputs(folder: Path) -> None:
    """Make a tiny model, clips, and a folder of cases."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from models import tiny_world  # noqa: PLC0415 - what tests have
    from small_world import square_clip, write_small_dataset  # noqa: PLC0415

    tiny_world().save_pretrained(folder / "tiny")
    write_small_dataset(folder / "data")
    for part, number in (("train", 3), ("validation", 2)):
        for index in range(number):
            name = f"clip_{index:06d}"
            write_sample(folder / "clips" / part / name, square_clip(name))
    (folder / "cases").mkdir()
    context = make_path("pan:left:30", 9)
    for name in ("1", "2", "3"):
        generator = np.random.default_rng(int(name))
        frames = generator.integers(0, 256, (9, 48, 64, 3), dtype=np.uint8)
        write_video(folder / "cases" / f"{name}.mp4", frames, 15)
        target = make_path("pan:right:30", 10, start=context.world_from_camera[-1])[1:]
        write_cameras(folder / "cases" / f"cam{name}.json", context, target)
    (folder / "cases" / "caption.txt").write_text("A cat.\nA dog.\nA bus.\n")


def started(arguments: list[str], log: Path) -> int:
    """Fork a process that runs the command line; gives its number."""
    child = os.fork()
    if child:
        return child
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        sys.argv = ["outofsight", *arguments]
        command_line()
    except SystemExit as stopped:
        os._exit(stopped.code if isinstance(stopped.code, int) else 1)
    finally:
        os._exit(1)


def digests(folder: Path) -> dict[str, str]:
    """Digest every file of a result, but for what is measured of the run."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in PAGES):
        content = path.read_bytes()
        if path.suffix in (".json", ".jsonl"):
            content = json.dumps([_plain(json.loads(line)) for line in _documents(path)]).encode()
        found[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    return found


def _documents(path: Path) -> list[str]:
    text = path.read_text()
    return text.splitlines() if path.suffix == ".jsonl" else [text]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items() if key not in MEASURED}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def undisturbed(arguments: list[str], out: Path) -> tuple[dict[str, str], float]:
    begun = time.monotonic()
    _, status = os.waitpid(started(arguments, out.with_suffix(".log")), 0)
    if status:
        raise SystemExit(f"{arguments[:2]} fails undisturbed:\n{out.with_suffix('.log').read_text()[-2000:]}")
    return digests(out), time.monotonic() - begun


def killed(make: Callable[[Path], list[str]], scratch: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill one verb's command so often; gives what came of it."""
    chance = random.Random(seed)
    (scratch / "whole").parent.mkdir(parents=True, exist_ok=True)
    wanted, seconds = undisturbed(make(scratch / "out"), scratch / "out")
    done = different = refused = rounds = 0
    faults: list[str] = []
    while done < kills:
        shutil.rmtree(scratch / "out")
        rounds += 1
        while True:
            child = started(make(scratch / "out"), scratch / "out.log")
            time.sleep(chance.uniform(0, seconds) if done < kills else seconds)
            if done < kills:
                os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            if os.WIFSIGNALED(status):
                done += 1
                continue
            if status:
                refused += 1
                faults.append((scratch / "out.log").read_text().strip()[-200:])
            break
        got = digests(scratch / "out")
        if got != wanted:
            different += 1
            faults.append(
                str(sorted(name for name in {*got, *wanted} if got.get(name) != wanted.get(name))[:4])
            )
    return {"kills": done, "ends": rounds, "different": different, "refused": refused,
            "seconds_undisturbed": round(seconds, 2), "faults": faults[:5]}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100, help="of each verb")
    parser.add_argument("--verbs", help="only these, parted by commas")
    parser.add_argument("--seed", type=int, default=0)
    add_out(parser)
    options = parser.parse_args()
    quiet_libraries()
    results = {}
    with tempfile.TemporaryDirectory() as place:
        make_inputs(Path(place) / "inputs")
        for verb, make in commands(Path(place) / "inputs").items():
            if options.verbs is None or verb in options.verbs.split(","):
                results[verb] = killed(
                    make, Path(place) / verb.replace(" ", "_"), options.kills, options.seed
                )
                print(f"{verb}: {results[verb]}", flush=True)
    question = "are the bytes of a run that was killed and gone on with those of an undisturbed one?"
    finish("kills", question, {"kills": options.kills, "seed": options.seed}, results, options.out)
    if any(result["different"] or result["refused"] for result in results.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
