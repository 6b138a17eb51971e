"""How fast is a walk in the explorer, how soon is a key felt, and does memory stay flat?

    python benchmarks/explorer.py --minutes 10 --out benchmarks/results/explorer.json

starts ``outofsight explore`` as a visitor would, and walks with a program in place of the page: it holds a key, changes
it at moments of its own (every 2 to 4 seconds), and writes down when the first frame that heeds the change arrives.
With ``--browser`` a page in Chromium walks too, for a minute, and tells when such a frame is on the screen.

``model_frames_s``: frames of a step over the seconds that the step took, waiting for the model's thread included.
``frames_per_cpu_s``: of the server's process, all its work together, however busy the machine is else.
``shown_frames_s``: frames that came in a minute of the clock. ``key_ms``: from a change of keys to the first frame that
heeds it, here and on the page. ``slope_mb_min``: of memory, in the second half.
``load``: processes that want a core (1 minute), beside this benchmark's own.
"""

import argparse
import asyncio
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from outofsight.web.protocol import VERSION, split_picture
from record import add_out, finish


class Started:
    """A server of its own, and what it holds of memory."""

    def __init__(self, options: argparse.Namespace, walks: str) -> None:
        arguments = ["--no-browser", "--model", options.model, "--walks", walks, "--seed", str(options.seed)]
        arguments += ["--latent-frames", str(options.latent_frames)]
        arguments += [part for pair in options.set for part in ("--set", pair)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "outofsight", "explore", *arguments], stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        told = []
        for line in self.process.stderr:  # libraries may have something to say first
            told.append(line)
            if found := re.search(r"walk at http://([\d.]+:\d+)/", line):
                self.address = found[1]
                return
        raise SystemExit(f"the explorer did not start: {''.join(told).strip()}")

    def resident_mb(self) -> float:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


class Walked:
    """What is written down on the way."""

    def __init__(self) -> None:
        self.arrived: list[float] = []
        self.speeds: list[float] = []
        self.stages: dict[str, list[float]] = {}
        self.key_ms: list[float] = []
        self.moments: list[float] = []
        self.resident: list[float] = []
        self.load: list[float] = []
        self.cpu_s = 0.0
        self.pressed: dict[int, float] = {}
        self.last: dict[str, float] = {}


async def walk(server: Started, seconds: float, *, rival: str | None, truth: bool) -> Walked:
    """Walk for so long, changing keys at random moments."""
    told = Walked()
    origin = f"http://{server.address}"
    async with connect(f"ws://{server.address}/socket", origin=origin, max_size=None) as socket:
        await send(socket, "hello", version=VERSION, session=None)
        while json_of(await socket.recv()).get("kind") != "welcome":
            pass
        if rival is not None:
            await send(socket, "strategy", name=rival)
        if truth:
            await send(socket, "views", truth=True, rendered=False)
        await send(socket, "pause", on=False)
        reading = asyncio.create_task(read(socket, told))
        before = server.cpu_s()
        dice, end, number = random.Random(0), time.monotonic() + seconds, 0
        while time.monotonic() < end:
            number += 1
            told.pressed[number] = time.perf_counter()
            await send(
                socket,
                "look",
                number=number,
                yaw=dice.choice([-1.0, -0.5, 0.5, 1.0]) * (1 - 0.01 * (number % 2)),
            )
            await asyncio.sleep(dice.uniform(2, 4))
            told.moments.append(time.monotonic())
            told.resident.append(server.resident_mb())
            told.load.append(os.getloadavg()[0])
        told.cpu_s = server.cpu_s() - before
        reading.cancel()
    return told


async def read(socket: ClientConnection, told: Walked) -> None:
    while True:
        header = json_of(await socket.recv())
        now = time.perf_counter()
        if (
            header["kind"] == "frame"
            and header["view"] == "model"
            and header["pane"] == 0
            and header["frame"] >= 0
        ):
            told.arrived.append(now)
            for number in [number for number in told.pressed if number <= header["heeds"]]:
                told.key_ms.append(1000 * (now - told.pressed.pop(number)))
        elif header["kind"] == "status" and header["frames_a_second"]:
            if header["seconds"] != told.last:
                told.speeds.append(header["frames_a_second"])
                for stage, value in header["seconds"].items():
                    told.stages.setdefault(stage, []).append(1000 * value)
            told.last = header["seconds"]


def json_of(message: str | bytes) -> dict[str, Any]:
    return split_picture(message)[0] if isinstance(message, bytes) else json.loads(message)


async def send(socket: ClientConnection, kind: str, **fields: Any) -> None:
    await socket.send(json.dumps({"kind": kind, **fields}))


def figures_of(told: Walked) -> dict[str, Any]:
    arrived = np.array(told.arrived)
    span = arrived[-1] - arrived[0]
    fifth = max(1, len(told.resident) // 5)
    return {
        "num_frames": len(arrived),
        "seconds": round(float(span), 1),
        "model_frames_s": spread(told.speeds),
        "frames_per_cpu_s": round(len(arrived) / told.cpu_s, 2),
        "shown_frames_s": round(len(arrived) / float(span), 2),
        "key_ms": spread(told.key_ms),
        "stage_ms": {stage: round(median(values), 1) for stage, values in told.stages.items()},
        "resident_mb": {
            "first_fifth": round(median(told.resident[:fifth]), 1),
            "last_fifth": round(median(told.resident[-fifth:]), 1),
            "most": round(max(told.resident), 1),
            "slope_mb_min": slope(told.moments, told.resident),
        },
        "load": spread(told.load),
    }


def slope(seconds: list[float], values: list[float]) -> float | None:
    """Fit a line through the second half of what was measured, when all that is kept is filled; per minute."""
    half = len(values) // 2
    if len(values) - half < 3:
        return None
    return round(60 * float(np.polyfit(seconds[half:], values[half:], 1)[0]), 2)


def spread(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    low, middle, high = np.percentile(values, [5, 50, 95])
    return {
        "median": round(float(middle), 2),
        "p5": round(float(low), 2),
        "p95": round(float(high), 2),
        "num": len(values),
    }


def page_ms(address: str, seconds: float) -> dict[str, float] | None:
    """Let a page in Chromium walk, and ask it when frames that heed a change of keys were on the screen."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - of the extra "browser" alone

    dice, told = random.Random(1), []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.goto(f"http://{address}/")
        page.locator("#num-views:not(:empty)").wait_for(timeout=120_000)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            key = dice.choice(["a", "d", "w"])
            page.keyboard.down(key)
            page.wait_for_timeout(dice.uniform(1500, 2500))
            page.keyboard.up(key)
            page.wait_for_timeout(dice.uniform(1500, 2500))
        told = page.evaluate('async () => (await import("./main.js")).felt')
        browser.close()
    return spread(told)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mini")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--latent-frames", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], help="sampling settings, as of explore")
    parser.add_argument("--rival", help="another strategy walks along")
    parser.add_argument("--truth", action="store_true", help="the engine renders its own view beside it")
    parser.add_argument(
        "--browser", action="store_true", help="also measure in a page in Chromium, for a minute"
    )
    add_out(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as walks:
        server = Started(options, walks)
        try:
            told = asyncio.run(walk(server, 60 * options.minutes, rival=options.rival, truth=options.truth))
            figures = figures_of(told)
            if options.browser:
                figures["page_key_ms"] = page_ms(server.address, 60.0)
        finally:
            server.stop()
    for name, value in figures.items():
        print(f"{name:16} {value}")
    config = {name: value for name, value in vars(options).items() if name != "out"}
    question = "How fast is a walk in the explorer, how soon is a key felt, and does memory stay flat?"
    finish("explorer", question, config, figures, options.out)


if __name__ == "__main__":
    main()
