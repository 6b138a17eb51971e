"""Is anything lost when a command is killed? kill -9 at random moments, then the same command again, to the end.

``python benchmarks/kills.py --kills 100`` (or ``make test-kills KILLS=100``) kills each of: building clips, encoding
them, training, walking, evaluating, and continuing a folder of videos. A command that came to its end is compared, file
by file, with one that nobody disturbed (seconds and bytes of memory apart, which no two runs share), and begun anew
until there were as many kills as were asked for. Most victims are forked from a process that has the libraries loaded,
which costs a second; the last few (``--processes``) are processes of their own, as a user starts them. What came of
each round is a line of ``--rounds``, so that this too goes on where it was killed.

``--at-once 8`` instead starts so many processes at once on one output, of every verb that writes: one must work and the
others say so in one line, or all share rightly, and what is there afterwards is what one alone makes.
"""

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

import outofsight.evaluation.report  # loaded once, for all the processes that are forked
import outofsight.training.loop  # noqa: F401
from outofsight.cli import build_app
from outofsight.cli import main as command_line
from outofsight.cli.loading import quiet_libraries
from outofsight.worlds.render import RenderSettings, check_rendering
from record import add_out, finish

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from writing_verbs import FILLED, long_commands, make_inputs, short_commands

MEASURED = {"seconds", "peak_bytes", "peak_gpu_bytes", "samples_per_second", "cost", "changes"}
"""Keys of JSON files whose values are of the run and not of its result."""
PAGES = {".html", ".txt", ".svg", ".md"}
"""Drawn from the JSON files, seconds among them."""

REFUSED = re.compile("writes there|is there already|exists already|is not empty|was begun with")
"""What a process is told that is not the one who works; the later ones come when the first is ready."""


def started(arguments: list[str], log: Path, *, forked: bool) -> int:
    """Start a process that runs the command line; gives its number."""
    if not forked:
        with log.open("w") as file:
            command = [sys.executable, "-m", "outofsight", *arguments]
            return subprocess.Popen(command, stdout=file, stderr=file).pid
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        sys.argv = ["outofsight", *arguments]
        command_line()
    except SystemExit as stopped:
        code = stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


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


@dataclass(frozen=True, kw_only=True)
class Round:
    """A command that was killed so often, and then came to its end. ``fault``: what is wrong with what came of it."""

    verb: str
    commit: str
    forked: bool
    kills: int
    end: str
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class Victim:
    """A verb's command, and how it is when nobody disturbs it. ``seconds``: of the processor, between which it works;
    a clock would tell less where other work is done beside it."""

    verb: str
    arguments: list[str]
    out: Path
    forked: bool
    wanted: dict[str, str]
    seconds: tuple[float, float]

    @property
    def log(self) -> Path:
        return self.out.with_suffix(".log")


def cleared(out: Path, given: Path | None = None) -> None:
    """Take a result away; where a verb writes into what it reads, ``given`` is put there anew."""
    shutil.rmtree(out, ignore_errors=True)
    if given is not None:
        shutil.copytree(given, out)


def undisturbed(
    arguments: list[str], out: Path, *, forked: bool, given: Path | None = None
) -> tuple[dict[str, str], float]:
    """Run a command to its end; gives digests of what it made, and its seconds of the processor."""
    cleared(out, given)
    log = out.with_suffix(".log")
    _, status, used = os.wait4(started(arguments, log, forked=forked), 0)
    if status:
        raise SystemExit(f"{arguments[:2]} fails undisturbed:\n{log.read_text()[-2000:]}")
    return digests(out), used.ru_utime + used.ru_stime


def wait_until(child: int, seconds: float) -> None:
    """Wait until a child has used the processor for so long, or has ended."""
    process = psutil.Process(child)
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        used = process.cpu_times()
        if used.user + used.system >= seconds:
            return
        time.sleep(0.002)


def killed(victim: Victim, chance: random.Random, most: int, commit: str) -> Round:
    """Begin a command anew and kill it at random moments, until it gets away or was killed so often."""
    shutil.rmtree(victim.out)
    kills, status = 0, None
    while status is None or os.WIFSIGNALED(status):
        child = started(victim.arguments, victim.log, forked=victim.forked)
        if kills < most:
            wait_until(child, chance.uniform(*victim.seconds))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        kills += os.WIFSIGNALED(status)
    known = {"verb": victim.verb, "commit": commit, "forked": victim.forked, "kills": kills}
    if status:
        return Round(**known, end="refused", fault=victim.log.read_text().strip()[-300:])
    got = digests(victim.out)
    other = sorted(name for name in {*got, *victim.wanted} if got.get(name) != victim.wanted.get(name))
    return Round(**known, end="different" if other else "same", fault=", ".join(other)[:300])


def read_rounds(path: Path, commit: str) -> list[Round]:
    """Read the rounds of this state of the code that are done; a line that was cut short is none."""
    rounds = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            rounds.append(Round(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return [one for one in rounds if one.commit == commit]


def kill_often(verb: str, arguments: list[str], out: Path, options: argparse.Namespace, commit: str) -> None:
    """Kill one verb's command as often as is asked for, less what the file of rounds holds already."""
    for forked, wanted_kills in ((True, options.kills - options.processes), (False, options.kills)):
        done = [one for one in read_rounds(options.rounds, commit) if one.verb == verb]
        if sum(one.kills for one in done) >= wanted_kills:
            continue
        out.parent.mkdir(parents=True, exist_ok=True)
        wanted, quick = undisturbed(arguments, out, forked=True)
        whole = quick
        if not forked:
            again, whole = undisturbed(arguments, out, forked=False)
            if again != wanted:
                raise SystemExit(f"{verb}: two undisturbed runs differ")
        victim = Victim(verb=verb, arguments=arguments, out=out, forked=forked, wanted=wanted,
                        seconds=(whole - quick, whole))  # fmt: skip
        while (left := wanted_kills - sum(one.kills for one in done)) > 0:
            chance = random.Random(f"{options.seed} {verb} {len(done)}")
            done.append(killed(victim, chance, left, commit))
            with options.rounds.open("a") as file:
                file.write(json.dumps(asdict(done[-1])) + "\n")


def at_once(arguments: list[str], out: Path, number: int, given: Path | None = None) -> dict[str, Any]:
    """Start so many processes on one output; gives how many worked, how many were refused, and what is wrong."""
    out.parent.mkdir(parents=True, exist_ok=True)
    wanted, _ = undisturbed(arguments, out, forked=True, given=given)
    cleared(out, given)
    logs = [out.with_suffix(f".log{index}") for index in range(number)]
    children = [started(arguments, log, forked=True) for log in logs]
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    reported = [
        log.read_text().strip().splitlines()[-1:] for code, log in zip(codes, logs, strict=True) if code
    ]
    got = digests(out)
    faults = [str(line) for line in reported if not REFUSED.search(" ".join(line))]
    faults += sorted(name for name in {*got, *wanted} if got.get(name) != wanted.get(name))
    return {"worked": codes.count(0), "refused": codes.count(2), "faults": faults[:5]}


def summary(verb: str, rounds: list[Round]) -> dict[str, Any]:
    own = [one for one in rounds if one.verb == verb]
    return {
        "kills": sum(one.kills for one in own),
        "of_own_processes": sum(one.kills for one in own if not one.forked),
        "ends": len(own),
        "same": sum(one.end == "same" for one in own),
        "different": sum(one.end == "different" for one in own),
        "refused": sum(one.end == "refused" for one in own),
        "faults": sorted({one.fault for one in own if one.fault})[:5],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100, help="of each verb")
    parser.add_argument("--processes", type=int, default=5, help="kills of processes of their own among them")
    parser.add_argument("--at-once", type=int, help="kill nobody; start so many processes at once")
    parser.add_argument("--verbs", help="only these, parted by commas")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=Path, default=Path("out/kills.jsonl"), help="what is done so far")
    add_out(parser)
    options = parser.parse_args()
    quiet_libraries()
    build_app()
    check_rendering(RenderSettings())
    torch.set_num_threads(1)  # a process with threads cannot be forked safely
    options.rounds.parent.mkdir(parents=True, exist_ok=True)
    commit, results = source_digest(), {}
    with tempfile.TemporaryDirectory() as place:
        inputs = Path(place) / "inputs"
        make_inputs(inputs)
        verbs = (short_commands(inputs) if options.at_once else {}) | long_commands(inputs)
        for verb, make in verbs.items():
            if options.verbs is not None and verb not in options.verbs.split(","):
                continue
            out = Path(place) / verb.replace(" ", "_") / "out"
            if options.at_once:
                given = inputs / FILLED[verb] if verb in FILLED else None
                results[verb] = at_once(make(out), out, options.at_once, given)
            else:
                kill_often(verb, make(out), out, options, commit)
                results[verb] = summary(verb, read_rounds(options.rounds, commit))
            print(f"{verb}: {results[verb]}", flush=True)
    if options.at_once:
        question = "of processes started at once on one output, does one work and are the others told?"
        finish("at_once", question, {"processes": options.at_once}, results, options.out)
        raise SystemExit(int(any(one["faults"] or not one["worked"] for one in results.values())))
    question = "are the bytes of a run that was killed and gone on with those of an undisturbed one?"
    finish("kills", question, {"kills": options.kills, "seed": options.seed}, results, options.out)
    if any(result["different"] or result["refused"] for result in results.values()):
        raise SystemExit(1)


def source_digest() -> str:
    """Digest the package's source: rounds of other code tell nothing of this."""
    import outofsight  # noqa: PLC0415 - its place is asked for, nothing in it

    digest = hashlib.sha256()
    for path in sorted(Path(outofsight.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    main()
