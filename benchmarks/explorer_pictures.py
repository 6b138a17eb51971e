"""Record a walk in the explorer: a moving picture, and screenshots of the page in its states.

    python benchmarks/explorer_pictures.py --moving docs/images/explorer.webp --shots docs/images

drives the page in Chromium, as a visitor would: away from a subject, a wait, and back. A screenshot is taken whenever
so many frames of the world have been shown, and played at the world's own pace: how busy the machine is shows nowhere.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from explorer import Started

WIDE, PHONE = {"width": 1280, "height": 720}, {"width": 844, "height": 390}
START_S = 900.0
LAST_FRAME_MS = 1200


def frame_of(page: Page) -> int:
    """Tell which frame of the world is on the screen."""
    frame = page.evaluate('async () => (await import("./main.js")).map.frame')
    return int(frame)


def until_frame(page: Page, frame: int) -> None:
    """Wait until a frame of the world is on the screen."""
    end = time.monotonic() + START_S
    while frame_of(page) < frame:
        if time.monotonic() > end:
            raise SystemExit(f"frame {frame} was not shown within {START_S:g} s")
        page.wait_for_timeout(20)


def walk(page: Page, parts: list[tuple[str, int]], every: int) -> Iterator[Image.Image]:
    """Hold each key in turn for so many frames ("" holds none); a picture of the page every so many frames."""
    frame = frame_of(page)
    for key, count in parts:
        if key:
            page.keyboard.down(key)
        for _ in range(count // every):
            frame += every
            until_frame(page, frame)
            yield shot(page)
        if key:
            page.keyboard.up(key)


def shot(page: Page) -> Image.Image:
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def enter(context: Any, address: str) -> Page:
    page: Page = context.new_page()
    page.set_default_timeout(1000 * START_S)
    page.goto(f"http://{address}/")
    page.locator("#num-views:not(:empty)").wait_for()
    page.wait_for_timeout(500)
    return page


def moving(page: Page, options: argparse.Namespace) -> None:
    """Record the walk and write it down."""
    page.locator("#show-truth").click()
    page.mouse.move(640, 700)
    parts = [("d", 24), ("", 16), ("a", 32), ("", 16), ("d", 24), ("", 8)]
    pictures = [
        picture.resize(options.size, Image.Resampling.LANCZOS) for picture in walk(page, parts, options.every)
    ]
    durations = [round(1000 * options.every / options.fps)] * len(pictures)
    durations[-1] = LAST_FRAME_MS
    options.moving.parent.mkdir(parents=True, exist_ok=True)
    pictures[0].save(
        options.moving, save_all=True, append_images=pictures[1:], duration=durations, loop=0, quality=options.quality,
        method=6,
    )  # fmt: skip
    print(f"{options.moving}: {len(pictures)} pictures, {options.moving.stat().st_size / 2**20:.2f} MB")


def states(browser: Any, address: str, folder: Path) -> None:
    """Write a screenshot of the page in each of its states."""
    folder.mkdir(parents=True, exist_ok=True)

    def keep(page: Page, name: str) -> None:
        path = folder / f"explorer_{name}.webp"
        shot(page).save(path, quality=82, method=6)
        print(f"{path}: {path.stat().st_size / 1024:.0f} KB")

    context = browser.new_context(viewport=WIDE, color_scheme="dark")
    page = enter(context, address)
    keep(page, "begin")
    page.locator("#show-truth").click()
    page.locator("#rival").select_option("window")
    page.wait_for_timeout(2000)
    for _ in walk(page, [("d", 24), ("", 8), ("a", 32)], 8):
        pass
    page.keyboard.press("Space")
    page.wait_for_timeout(1500)
    keep(page, "beside")
    context.close()
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True, device_scale_factor=2)
    page = enter(context, address)
    for _ in walk(page, [("d", 16)], 8):
        pass
    page.keyboard.press("Space")
    keep(page, "phone")
    context.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mini")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--latent-frames", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], help="sampling settings, as of explore")
    parser.add_argument("--moving", type=Path, help="the moving picture to write (.webp)")
    parser.add_argument("--shots", type=Path, help="a folder for screenshots")
    parser.add_argument(
        "--every", type=int, default=2, help="frames of the world from one picture to the next"
    )
    parser.add_argument("--fps", type=float, default=10.0, help="of the world")
    parser.add_argument(
        "--size", type=int, nargs=2, default=(960, 540), help="width and height of the moving picture"
    )
    parser.add_argument("--quality", type=int, default=55)
    parser.add_argument("--scheme", default="light", choices=("light", "dark"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as walks, sync_playwright() as playwright:
        server = Started(options, walks)
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        try:
            if options.moving is not None:
                context = browser.new_context(viewport=WIDE, color_scheme=options.scheme)
                moving(enter(context, server.address), options)
                context.close()
            if options.shots is not None:
                states(browser, server.address, options.shots)
        finally:
            browser.close()
            server.stop()


if __name__ == "__main__":
    main()
