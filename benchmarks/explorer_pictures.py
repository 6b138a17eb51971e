"""Record a walk in the explorer: a moving picture, and screenshots of the page in its states.

    python benchmarks/explorer_pictures.py --moving docs/images/explorer.webp --shots docs/images

drives the page in Chromium, as a visitor would: to a subject, away from it, a wait, and back. The page's clock stands
still while the model computes, so that the pictures are the same however busy the machine is; what the page says of
speed is therefore left out.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from math import degrees, pi
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from explorer import Started

WIDE, PHONE = {"width": 1280, "height": 720}, {"width": 844, "height": 390}
STATES = ("memory", "rival", "phone")
PATIENCE_S = 900.0
STEP_S, TRUTH_S = 20.0, 60.0
BEGIN_S = 0.4
"""A step is begun within so long."""

TICK_MS = 20
FRAMES_A_STEP = 8
LAST_FRAME_MS = 1500
EARLY_DEG = 8
"""A key is let go so long before the goal: the camera turns on a little."""

NO_FIGURES = "#figures, #pause { visibility: hidden }"

ASK = """async () => {
  const { map, pictures, status } = await import("./main.js");
  const master = pictures.master;
  const truth = [...pictures.views.values()].find((view) => view.view === "truth");
  const newest = truth ? Math.max(truth.frame ?? -1, ...truth.waiting.map((item) => item.header.frame)) : null;
  const pose = master.waiting.at(-1)?.header.pose;
  return {
    frame: map.frame, truth: newest, walking: status.walking,
    waiting: master.waiting.filter((item) => item.bitmap).length,
    heading: pose ? Math.atan2(pose[6], pose[2]) : map.camera?.heading ?? 0,
  };
}"""


def asked(page: Page) -> dict[str, Any]:
    told: dict[str, Any] = page.evaluate(ASK)
    return told


def waited(seconds: float, done: Callable[[], bool]) -> bool:
    """Wait by the machine's clock, not the page's."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def until_frame(page: Page, frame: int) -> None:
    """Let the page's time go on until a frame of the world is on the screen."""
    while asked(page)["frame"] < frame:
        end = time.monotonic() + PATIENCE_S
        while asked(page)["waiting"] == 0:
            if time.monotonic() > end:
                raise SystemExit(f"frame {frame} was not made within {PATIENCE_S:g} s")
            one_step(page)
        page.clock.run_for(TICK_MS)
    waited(TRUTH_S, lambda: asked(page)["truth"] is None or asked(page)["truth"] >= frame)
    page.clock.run_for(TICK_MS)


def one_step(page: Page) -> None:
    """Let the model begin a step, and no other, so that it is never far ahead of what is shown."""
    for walking in (True, False):
        if asked(page)["walking"] != walking:
            page.keyboard.press("Space")
        page.clock.run_for(3 * TICK_MS)
        time.sleep(BEGIN_S)
    waited(STEP_S, lambda: asked(page)["waiting"] > 0)


def walk(page: Page, parts: list[tuple[str, int]], every: int) -> Iterator[Image.Image]:
    """Hold each key in turn until the camera has turned so many degrees from where it looks, left positive ("": wait
    so many frames); a picture of the page every so many frames."""
    frame, start = asked(page)["frame"], asked(page)["heading"]
    for key, goal in parts:
        first = frame
        way = 0.0 if not key else turned(page, start) - goal
        if key:
            page.keyboard.down(key)
        page.clock.run_for(3 * TICK_MS)
        while (turned(page, start) - goal) * way > abs(way) * EARLY_DEG if key else frame - first < goal:
            frame += every
            until_frame(page, frame)
            yield shot(page)
        if key:
            page.keyboard.up(key)
            page.clock.run_for(3 * TICK_MS)


def turned(page: Page, start: float) -> float:
    """Tell by how many degrees the camera of the newest frame has turned, whether that is shown already or not."""
    angle = asked(page)["heading"] - start
    return degrees((angle + pi) % (2 * pi) - pi)


def walked(page: Page, *parts: tuple[str, int]) -> None:
    for _ in walk(page, list(parts), FRAMES_A_STEP):
        pass
    settle(page)


def settle(page: Page) -> None:
    """Let what was asked for reach the server and come back."""
    for _ in range(20):
        time.sleep(0.1)
        page.clock.run_for(TICK_MS)


def shot(page: Page) -> Image.Image:
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def enter(context: Any, address: str) -> Page:
    page: Page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE_S)
    page.clock.install()
    page.goto(f"http://{address}/")
    page.add_style_tag(content=NO_FIGURES)
    page.locator("#num-views:not(:empty)").wait_for(state="attached")  # a phone shows it in another tab
    page.clock.pause_at(page.evaluate("Date.now()") + 1000)
    settle(page)
    return page


def moving(page: Page, options: argparse.Namespace) -> None:
    """Record the walk and write it down; with ``--frames`` also each picture, to be looked at."""
    page.locator("#show-truth").click()
    settle(page)
    page.mouse.move(640, 700)
    # A clip ends with its subject out of sight: it is found first, and the recording begins there.
    for _ in walk(page, [(options.to, options.turn), ("", 2 * FRAMES_A_STEP)], FRAMES_A_STEP):
        pass
    parts = [("", 3), (options.away, -options.turn), ("", 12), (options.to, 0), ("", 24)]
    pictures = [
        picture.crop(options.crop).resize(options.size, Image.Resampling.LANCZOS)
        for picture in walk(page, parts, options.every)
    ]
    for index, picture in enumerate(pictures if options.frames else []):
        options.frames.mkdir(parents=True, exist_ok=True)
        picture.save(options.frames / f"{index:03}.png")
    durations = [round(1000 * options.every / options.fps)] * len(pictures)
    durations[-1] = LAST_FRAME_MS
    options.moving.parent.mkdir(parents=True, exist_ok=True)
    pictures[0].save(
        options.moving, save_all=True, append_images=pictures[1:], duration=durations, loop=0, quality=options.quality,
        method=4,
    )  # fmt: skip
    print(f"{options.moving}: {len(pictures)} pictures, {options.moving.stat().st_size / 1000:.0f} kB")


def states(browser: Any, address: str, options: argparse.Namespace) -> None:
    """Write a screenshot of the page in each of the states that are asked for."""
    folder: Path = options.shots
    folder.mkdir(parents=True, exist_ok=True)

    def keep(page: Page, name: str) -> None:
        path = folder / f"explorer_{name}.webp"
        shot(page).save(path, quality=options.quality, method=6)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")

    def memory(page: Page) -> None:
        walked(page, ("", FRAMES_A_STEP))  # memory's picture is offered from the first step on
        page.locator("#show-rendered").click()
        settle(page)
        walked(page, (options.to, options.turn), ("", 2 * FRAMES_A_STEP))

    def rival(page: Page) -> None:
        page.locator("#show-truth").click()
        page.locator("#rival").select_option(options.rival)
        settle(page)
        walked(
            page, (options.to, options.turn), ("", 8), (options.away, 0), (options.to, options.turn), ("", 16)
        )

    def phone(page: Page) -> None:
        walked(page, (options.to, options.turn), ("", 2 * FRAMES_A_STEP))

    light, dark = {"viewport": WIDE, "color_scheme": "light"}, {"viewport": WIDE, "color_scheme": "dark"}
    finger = {"viewport": PHONE, "has_touch": True, "is_mobile": True}
    each = {"memory": (memory, light), "rival": (rival, dark), "phone": (phone, finger)}
    for name in options.states:
        do, seen = each[name]
        context = browser.new_context(bypass_csp=True, **seen)
        page = enter(context, address)
        do(page)
        keep(page, name)
        context.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mini")
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument("--latent-frames", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], help="sampling settings, as of explore")
    parser.add_argument("--moving", type=Path, help="the moving picture to write (.webp)")
    parser.add_argument("--frames", type=Path, help="a folder for the pictures it is made of")
    parser.add_argument("--shots", type=Path, help="a folder for screenshots")
    parser.add_argument("--states", nargs="+", default=STATES, choices=STATES, help="which of them")
    parser.add_argument("--to", default="d", help="key that turns to the subject")
    parser.add_argument("--away", default="a", help="key that turns away from it")
    parser.add_argument("--turn", type=int, default=-70, help="degrees to the subject, left positive")
    parser.add_argument("--rival", default="window", help="the other memory of the screenshots")
    parser.add_argument(
        "--every", type=int, default=3, help="frames of the world from one picture to the next"
    )
    parser.add_argument("--fps", type=float, default=10.0, help="of the world")
    parser.add_argument(
        "--crop", type=int, nargs=4, default=(0, 0, 1280, 720), help="part of the page: left top right bottom"
    )
    parser.add_argument(
        "--size", type=int, nargs=2, default=(840, 472), help="width and height of the moving picture"
    )
    parser.add_argument("--quality", type=int, default=45)
    parser.add_argument("--scheme", default="light", choices=("light", "dark"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as walks, sync_playwright() as playwright:
        server = Started(options, walks)
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        try:
            if options.moving:
                context = browser.new_context(viewport=WIDE, color_scheme=options.scheme, bypass_csp=True)
                moving(enter(context, server.address), options)
                context.close()
            if options.shots:
                states(browser, server.address, options)
        finally:
            browser.close()
            server.stop()


if __name__ == "__main__":
    main()
