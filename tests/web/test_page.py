"""The page in a browser: what a visitor does, and what the server then says of the walk."""

import functools
import http.server
import re
import threading
import time
from contextlib import contextmanager

import httpx
import numpy as np
import pytest

pytest.importorskip("playwright", reason="make test-browser")

from playwright.sync_api import expect, sync_playwright

from explorer_serving import served
from explorer_stand_in import StandInMind, StandInStudio, scene
from outofsight.web.own_worlds import choices_of
from outofsight.worlds.plan import plan_world
from outofsight.worlds.presets import mini_plan

pytestmark = pytest.mark.browser

PATIENCE_S = 60.0
"""A busy machine may take so long for what takes a moment."""

WIDE, PHONE, UPRIGHT = ({"width": w, "height": h} for w, h in ((1280, 720), (844, 390), (390, 844)))


@pytest.fixture(scope="module")
def browser():
    expect.set_options(timeout=1000 * PATIENCE_S)
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    mind, plan = StandInMind(), mini_plan()
    mind.renders = True
    with served(
        tmp_path_factory.mktemp("walks"), mind, studio=StandInStudio(), plan=plan, choices=choices_of(plan),
        begin=scene(spec=plan_world(5, plan).spec), most=40,
    ) as given:  # fmt: skip
        yield given


class Visitor:
    """A page, and what the server says of its walk."""

    def __init__(self, context, address):
        self.address, self.page, self.troubles = address, context.new_page(), []
        self.page.on(
            "console", lambda line: self.troubles.append(line.text) if line.type == "error" else None
        )
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.set_default_timeout(1000 * PATIENCE_S)
        self.enter()

    def enter(self):
        self.page.goto(f"http://{self.address}/")
        expect(self.page.locator("#caption")).not_to_be_empty()
        expect(self.page.locator("#num-views")).not_to_be_empty()
        self.session = self.page.evaluate("sessionStorage.getItem('walk')")

    def state(self):
        return httpx.get(f"http://{self.address}/walks/{self.session}/state.json").json()

    def memory(self, pane=0):
        return self.state()["panes"][pane]["memory"]

    def until(self, wanted, seconds=PATIENCE_S):
        """Wait until the server's state is as wanted."""
        deadline = time.monotonic() + seconds
        while not wanted(state := self.state()):
            assert time.monotonic() < deadline, state
            self.page.wait_for_timeout(60)
        return state

    def soon(self, wanted):
        """Wait until something is so on the page."""
        deadline = time.monotonic() + PATIENCE_S
        while not wanted():
            assert time.monotonic() < deadline
            self.page.wait_for_timeout(60)

    def hold(self, key, wanted):
        self.page.keyboard.down(key)
        try:
            return self.until(wanted)
        finally:
            self.page.keyboard.up(key)

    @contextmanager
    def moves(self, axis, by):
        """Wait until the camera has moved by so much (and in that direction) from where it is now."""
        before = self.memory()["camera"][axis]
        yield
        self.until(lambda told: (told["panes"][0]["memory"]["camera"][axis] - before) / by > 1)

    def stop(self):
        """Pause, and wait for the end of the step that runs, and until the page knows of it."""
        if self.state()["status"]["walking"]:
            self.page.keyboard.press("Space")
        told = self.until(lambda told: not told["status"]["walking"] and not told["stepping"])
        self.sees(f"status.panes[status.focus].step === {step_of(told, told['status']['focus'])}")
        return told

    def sees(self, words):
        """Wait until what the page knows is as wanted."""
        self.page.wait_for_function(
            f"async () => {{ const {{ status, map }} = await import('./main.js'); return {words}; }}"
        )

    def at_rest(self, name):
        """The pixels of a view once no more frames come: they are played at the world's own pace."""
        before = None
        while (now := self.pixels(name)) != before:
            before = now
            self.page.wait_for_timeout(1500)
        return now

    def pixels(self, name="0-model"):
        return self.page.evaluate(
            """name => Array.from(document.querySelector(`[data-name="${name}"] canvas`)
                .getContext("2d").getImageData(0, 0, 48, 32).data)""",
            name,
        )

    def on_map(self, x_m, y_m):
        """Where a place of the world lies on the page (the map is turned so that the first camera looks up)."""
        return self.page.evaluate(
            """async ([x, y]) => { const { map } = await import("./main.js"); const [px, py] = map.place(x, y);
                const box = map.canvas.getBoundingClientRect(); return [box.left + px, box.top + py]; }""",
            [x_m, y_m],
        )


@pytest.fixture
def visitor(browser, server):
    context = browser.new_context(viewport=WIDE)
    made = Visitor(context, server[0])
    yield made
    context.close()
    assert made.troubles == []


def step_of(told, pane=0):
    return told["status"]["panes"][pane]["step"]


def seen(told):
    return bool(told["panes"][0]["memory"]["subjects"]) and told["panes"][0]["memory"]["subjects"][0]["seen"]


def test_it_loads_and_helps_until_the_first_key(visitor):
    expect(visitor.page.locator("#welcome")).to_be_visible()
    expect(visitor.page.locator("figcaption")).to_have_text("last frame of the context")
    expect(visitor.page.locator(".thumb")).to_have_count(4)
    expect(visitor.page.locator(".card")).to_have_count(1)
    assert not visitor.state()["status"]["walking"]
    visitor.page.keyboard.press("a")
    expect(visitor.page.locator("#welcome")).to_be_hidden()


def test_keys_move_the_camera_and_frames_change(visitor):
    before, picture = visitor.memory()["camera"], visitor.pixels()
    after = visitor.hold(
        "a", lambda told: told["panes"][0]["memory"]["camera"]["heading"] > before["heading"] + 0.4
    )
    assert step_of(after) >= 2
    expect(visitor.page.locator("figcaption")).to_contain_text("generated")
    visitor.soon(lambda: np.abs(np.subtract(visitor.pixels(), picture)).mean() > 3)
    visitor.hold("w", lambda told: told["panes"][0]["memory"]["camera"]["y_m"] > before["y_m"] + 0.3)
    expect(visitor.page.locator("#latency")).to_contain_text("s")
    still = visitor.stop()
    visitor.page.wait_for_timeout(700)
    assert step_of(visitor.state()) == step_of(still)


def test_dragging_the_picture_turns_the_camera(visitor):
    before = visitor.memory()["camera"]["heading"]
    box = visitor.page.locator("figure canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    visitor.page.mouse.move(x, y)
    visitor.page.mouse.down()
    visitor.page.mouse.move(x + box["width"] / 3, y, steps=8)
    visitor.page.mouse.up()
    told = visitor.until(lambda told: told["panes"][0]["memory"]["camera"]["heading"] > before + 0.3)
    assert told["panes"][0]["memory"]["camera"]["heading"] < before + 0.45  # a third of 60 degrees


def test_a_subject_goes_out_of_sight_stays_on_the_map_and_comes_back(visitor):
    visitor.hold("a", lambda told: step_of(told) > 1 and not seen(told))
    card = visitor.page.locator(".card")
    expect(card).to_contain_text("unseen for")
    expect(card).to_have_class("card unseen")
    subject = visitor.memory()["subjects"][0]
    assert subject["unseen_s"] > 0
    visitor.until(lambda told: told["panes"][0]["memory"]["subjects"][0]["spread_m"] > subject["spread_m"])
    visitor.hold("d", seen)
    expect(card).to_contain_text("in sight")


def test_pin_and_forget_on_the_shelf(visitor):
    visitor.page.get_by_role("button", name="Pin subject 0").click()
    visitor.until(lambda told: told["panes"][0]["memory"]["subjects"][0]["pinned"])
    expect(visitor.page.get_by_role("button", name="Pin subject 0")).to_have_attribute("aria-pressed", "true")
    visitor.page.get_by_role("button", name="Pin view 2").click()
    visitor.until(lambda told: told["panes"][0]["memory"]["views"][2]["pinned"])
    visitor.page.get_by_role("button", name="Forget view 1").click()
    visitor.until(lambda told: len(told["panes"][0]["memory"]["views"]) == 3)
    expect(visitor.page.locator(".thumb")).to_have_count(3)
    visitor.page.get_by_role("button", name="Forget subject 0").click()
    visitor.until(lambda told: not told["panes"][0]["memory"]["subjects"])
    expect(visitor.page.locator("#note")).to_contain_text("Nobody")


def test_the_map_pins_moves_and_forgets(visitor):
    subject = visitor.memory()["subjects"][0]
    place = visitor.on_map(subject["x_m"], subject["y_m"])
    visitor.page.mouse.click(*place)
    visitor.page.locator("#menu").get_by_role("button", name="Pin").click()
    visitor.until(lambda told: told["panes"][0]["memory"]["subjects"][0]["pinned"])
    goal = visitor.on_map(3.0, -1.0)
    visitor.page.mouse.move(*place)
    visitor.page.mouse.down()
    visitor.page.mouse.move(*goal, steps=6)
    visitor.page.mouse.up()
    told = visitor.until(lambda told: abs(told["panes"][0]["memory"]["subjects"][0]["x_m"] - 3) < 0.3)
    assert told["panes"][0]["memory"]["subjects"][0]["y_m"] == pytest.approx(-1, abs=0.3)
    visitor.sees("Math.abs(map.now().subjects[0].x_m - 3) < 0.3")
    visitor.page.mouse.click(*visitor.on_map(3.0, -1.0))
    visitor.page.locator("#menu").get_by_role("button", name="Forget").click()
    visitor.until(lambda told: not told["panes"][0]["memory"]["subjects"])


def test_the_maps_menu_stays_within_it(visitor):
    for corner in ("[0, 0]", "[map.width, 0]", "[0, map.height]", "[map.width, map.height]"):
        visitor.page.evaluate(
            f"""async () => {{ const {{ map }} = await import("./main.js");
                map.openMenu({{ subject: {{ number: 0 }} }}, {corner}); }}"""
        )
        box, inner = (visitor.page.locator(name).bounding_box() for name in ("#map", "#menu"))
        for side, size in (("x", "width"), ("y", "height")):
            assert box[side] <= inner[side]
            assert inner[side] + inner[size] <= box[side] + box[size]


def test_the_map_zooms_and_pans(visitor):
    near = visitor.on_map(5.0, 0.0)
    visitor.page.get_by_role("button", name="Farther").click()
    far = visitor.on_map(5.0, 0.0)
    assert far != near
    expect(visitor.page.get_by_role("button", name="Follow the camera")).to_have_attribute(
        "aria-pressed", "false"
    )
    box = visitor.page.locator("#map-canvas").bounding_box()
    visitor.page.mouse.move(box["x"] + 40, box["y"] + 40)
    visitor.page.mouse.down()
    visitor.page.mouse.move(box["x"] + 90, box["y"] + 70, steps=4)
    visitor.page.mouse.up()
    x, y = visitor.on_map(5.0, 0.0)
    assert (x - far[0], y - far[1]) == (pytest.approx(50, abs=1), pytest.approx(30, abs=1))


def test_rewind_fork_and_focus(visitor):
    visitor.hold("a", lambda told: step_of(told) >= 5)
    visitor.stop()
    visitor.page.get_by_role("button", name="Go back to step 3").click()
    visitor.until(lambda told: step_of(told) == 3)
    expect(visitor.page.locator("#moments li")).to_have_count(3)
    visitor.sees("status.panes[0].step === 3")
    visitor.page.get_by_role("button", name="Step back").click()
    visitor.until(lambda told: step_of(told) == 2)
    expect(visitor.page.locator("#moments li")).to_have_count(2)
    visitor.sees("status.panes[0].step === 2")
    visitor.page.get_by_role("button", name="Fork", exact=True).click()
    visitor.until(lambda told: len(told["panes"]) == 2 and told["status"]["focus"] == 1)
    expect(visitor.page.locator("figure")).to_have_count(2)
    visitor.hold("d", lambda told: step_of(told, 1) >= 4)
    visitor.stop()
    assert step_of(visitor.state()) == 2
    visitor.page.keyboard.press("1")
    visitor.until(lambda told: told["status"]["focus"] == 0)
    visitor.page.locator("[data-name='1-model'] canvas").click()
    visitor.until(lambda told: told["status"]["focus"] == 1)


def test_going_back_shows_what_was_seen_then(visitor):
    visitor.page.get_by_role("button", name="Truth").click()
    expect(visitor.page.locator("[data-name='0-truth'] canvas")).to_be_visible()  # before the first step
    seen = {}
    for steps in (3, 6):
        visitor.hold("a", lambda told, steps=steps: step_of(told) >= steps)
        told = visitor.stop()
        shown = re.compile(f"frame {told['status']['panes'][0]['num_frames']}$")
        picture = visitor.page.locator("[data-name='0-model'] canvas")
        expect(picture).to_have_attribute("aria-label", shown)
        seen[step_of(told)] = visitor.pixels()
    first, last = seen
    assert apart(seen[first], seen[last]) > 1
    visitor.page.get_by_role("button", name=f"Go back to step {first}").click()
    visitor.until(lambda told: step_of(told) == first)
    visitor.soon(lambda: visitor.pixels() == seen[first])
    visitor.soon(lambda: apart(visitor.pixels("0-truth"), seen[first]) < 10)
    visitor.hold("d", lambda told: step_of(told) > first)
    visitor.stop()
    visitor.page.get_by_role("button", name=f"Go back to step {first - 1}").click(modifiers=["Shift"])
    visitor.until(lambda told: len(told["panes"]) == 2)
    visitor.soon(lambda: apart(visitor.pixels("1-model"), visitor.pixels()) > 1)


def apart(one, other):
    """How many levels two pictures are apart in the mean."""
    return np.abs(np.subtract(one, other, dtype=float)).mean()


WATCH = """async () => {
  const { map, pictures, status } = await import("./main.js");
  const apart = (window.apart = []);
  window.watched = 0;
  const look = () => {
    const shown = pictures.master.header;
    const words = document.querySelector(".card p")?.textContent;
    const record = map.camera && map.of.nearest(map.frame);
    if ((shown === null) !== (map.camera === null)) apart.push(["one is there", shown?.frame, map.frame]);
    else if (shown && record) {
      window.watched += 1;
      const seen = record.subjects[0]?.seen;
      if (shown.frame !== map.frame) apart.push(["frames", shown.frame, map.frame]);
      if (Math.atan2(shown.pose[6], shown.pose[2]) !== map.camera.heading) apart.push(["cameras", shown.frame]);
      if (Math.abs(record.frame - shown.frame) > 4) apart.push(["record", shown.frame, record.frame]);
      if (words && seen !== (words === "in sight")) apart.push(["shelf", shown.frame, words]);
    }
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""
"""Whether map and shelf belong to the frame on the screen, at every frame of the display. A step has 8 frames."""


def test_the_map_and_the_shelf_belong_to_the_frame_on_the_screen(visitor):
    visitor.page.evaluate(WATCH)
    visitor.hold("a", lambda told: step_of(told) > 3 and not seen(told))
    visitor.hold("d", lambda told: step_of(told) > 6)
    visitor.stop()
    visitor.page.get_by_role("button", name="Go back to step 2").click()
    visitor.until(lambda told: step_of(told) == 2)
    visitor.hold("d", lambda told: step_of(told) > 3)
    visitor.page.keyboard.press("f")
    visitor.until(lambda told: len(told["panes"]) == 2)
    visitor.hold("a", lambda told: step_of(told, 1) > 5)
    visitor.stop()
    visitor.page.keyboard.press("1")
    visitor.until(lambda told: told["status"]["focus"] == 0)
    memory = visitor.memory()
    visitor.sees(f"map.frame === {memory['frame']}")
    inside = "every((at, i) => at > 0 && at < [map.width, map.height][i])"
    visitor.sees(f"map.place(map.camera.x_m, map.camera.y_m).{inside}")
    assert visitor.page.evaluate("window.watched") > 20
    assert visitor.page.evaluate("window.apart.slice(0, 5)") == []


def test_what_is_pinned_counts_for_frames_that_still_wait(visitor):
    told = visitor.page.evaluate(
        """async () => {
          const { Remembered } = await import("./remembered.js");
          const rest = { y_m: 0, spread_m: 1, pinned: false, seen: true };
          const subject = (number, x_m, more) => ({ number, x_m, ...rest, ...more });
          const record = (frame, ...subjects) => ({ frame, subjects, views: [], truth: [] });
          const of = new Remembered();
          of.take(record(0, subject(0, 1), subject(1, 5)));
          of.take(record(8, subject(0, 3, { seen: false }), subject(1, 5)));
          const before = [of.at(2), of.at(6), of.at(99), of.at(-1)].map((one) => one.subjects);
          of.take(record(8, subject(0, 3, { pinned: true })));
          const after = of.at(2).subjects;
          of.clear(3);
          return { before, after, left: of.records.length, way: of.trails.get(0).length };
        }"""
    )
    assert [[one["x_m"] for one in each] for each in told["before"]] == [[1.5, 5], [2.5, 5], [3, 5], [1, 5]]
    assert [each[0]["seen"] for each in told["before"]] == [True, False, False, True]
    assert [(one["number"], one["pinned"]) for one in told["after"]] == [(0, True)]
    assert (told["left"], told["way"]) == (1, 1)


GAMEPAD = """() => {
  window.pad = { connected: true, mapping: "standard", axes: [0, 0, 0, 0], buttons: Array.from({ length: 17 }, () => ({ value: 0, pressed: false })) };
  navigator.getGamepads = () => [null, { connected: true, mapping: "", axes: [-1, -1, -1, -1], buttons: [] }, window.pad];
}"""  # noqa: E501
"""A stand-in; one that is not of the standard layout comes before it, whose axes rest at -1."""


def test_a_gamepad_walks_looks_rises_and_pauses(visitor):
    def push(words, axis, by):
        with visitor.moves(axis, by):
            visitor.page.evaluate(words)

    visitor.page.evaluate(GAMEPAD)
    visitor.page.wait_for_timeout(300)
    assert not visitor.state()["status"]["walking"]  # nothing is pushed
    push("pad.axes[1] = -1", "x_m", 0.2)
    push("pad.axes[1] = 0; pad.axes[0] = 1", "y_m", -0.2)
    push("pad.axes[0] = 0; pad.axes[2] = -1", "heading", 0.2)
    push("pad.axes[2] = 0; pad.axes[3] = -1", "pitch", 0.1)
    push("pad.axes[3] = 0; pad.buttons[7].value = 1", "z_m", 0.2)
    push("pad.buttons[7].value = 0; pad.buttons[6].value = 1", "z_m", -0.2)
    visitor.page.evaluate("pad.buttons[6].value = 0; pad.buttons[9].pressed = true")
    visitor.until(lambda told: not told["status"]["walking"])
    visitor.page.wait_for_timeout(300)
    assert not visitor.state()["status"]["walking"]  # held: it counts once
    visitor.page.evaluate("pad.buttons[9].pressed = false")
    visitor.page.wait_for_timeout(100)
    visitor.page.evaluate("pad.buttons[9].pressed = true")
    visitor.until(lambda told: told["status"]["walking"])


def test_a_saved_walk_brings_both_panes_back(visitor):
    visitor.page.locator("#rival").select_option("window")
    visitor.until(lambda told: len(told["panes"]) == 2)
    visitor.hold("a", lambda told: step_of(told) >= 2)
    told = visitor.stop()
    visitor.page.get_by_role("button", name="Save", exact=True).click()
    visitor.page.locator("#save-name").fill(f"two {visitor.session[:5]}")
    visitor.page.get_by_role("button", name="Save this walk").click()
    item = visitor.page.locator("#saved li", has_text=visitor.session[:5])
    expect(item).to_contain_text("hybrid and window")
    visitor.page.keyboard.press("Escape")
    picture = visitor.at_rest("1-model")
    visitor.page.locator("#rival").select_option("")
    visitor.until(lambda now: len(now["panes"]) == 1)
    visitor.page.get_by_role("button", name="Walks").click()
    item.get_by_role("button").click()
    now = visitor.until(lambda now: len(now["panes"]) == 2)
    assert now["status"]["panes"] == told["status"]["panes"]
    visitor.soon(lambda: visitor.pixels("1-model") == picture)
    visitor.hold("d", lambda now: step_of(now, 1) > step_of(told))


def test_save_load_and_download(visitor):
    visitor.hold("a", lambda told: step_of(told) >= 2)
    told = visitor.stop()
    visitor.page.get_by_role("button", name="Save", exact=True).click()
    name = f"<img src=x onerror=alert(1)> {visitor.session[:5]}"
    visitor.page.locator("#save-name").fill(name)
    visitor.page.get_by_role("button", name="Save this walk").click()
    item = visitor.page.locator("#saved li", has_text=visitor.session[:5])
    expect(item.locator("strong")).to_have_text(name)
    assert visitor.page.locator("#saved img").count() == 0
    visitor.page.keyboard.press("Escape")
    visitor.hold("a", lambda now: step_of(now) >= step_of(told) + 1)
    visitor.stop()
    visitor.page.get_by_role("button", name="Walks").click()
    item.get_by_role("button").click()
    visitor.until(lambda now: step_of(now) == step_of(told))
    film = httpx.get(f"http://{visitor.address}/walks/{visitor.session}/walk.mp4")
    assert film.content[4:8] == b"ftyp"
    with visitor.page.expect_download() as download:
        visitor.page.get_by_role("link", name="JSON").click()
    assert download.value.suggested_filename == "walk.json"
    record = httpx.get(f"http://{visitor.address}/walks/{visitor.session}/walk.json").json()
    assert len(record["steps"]) == step_of(told)


def test_another_memory_the_truth_and_memorys_picture_beside_it(visitor):
    visitor.page.locator("#rival").select_option("window")
    visitor.until(lambda told: len(told["panes"]) == 2)
    visitor.page.get_by_role("button", name="Truth").click()
    visitor.hold("a", lambda told: step_of(told) >= 2)
    visitor.page.get_by_role("button", name="Memory’s picture").click()
    visitor.hold("d", lambda told: step_of(told) >= 5)
    assert visitor.page.locator("#bar").bounding_box()["height"] < 40  # one row
    for name in ("0-model", "1-model", "0-truth", "0-rendered"):
        expect(visitor.page.locator(f"[data-name='{name}'] canvas")).to_be_visible()
    visitor.page.wait_for_timeout(1500)
    assert visitor.pixels("0-rendered") != visitor.pixels("0-model")
    visitor.stop()
    visitor.until(lambda told: step_of(told) == step_of(told, 1))
    expect(visitor.page.locator("#key-truth")).to_be_visible()
    visitor.page.get_by_role("button", name="Truth").click()
    expect(visitor.page.locator("[data-name='0-truth']")).to_have_count(0)
    visitor.page.locator("#rival").select_option("")
    visitor.until(lambda told: len(told["panes"]) == 1)
    expect(visitor.page.locator("[data-name='1-model']")).to_have_count(0)


def test_another_caption_is_marked_on_the_timeline_and_is_no_html(visitor):
    visitor.hold("a", lambda told: step_of(told) >= 1)
    visitor.page.locator("#prompt-text").fill("<b>Snow</b> falls & falls.")
    visitor.page.keyboard.press("Enter")
    visitor.until(lambda told: told["status"]["prompt"] == "<b>Snow</b> falls & falls.")
    before = step_of(visitor.state())
    visitor.hold("a", lambda told: step_of(told) > before + 1)
    expect(visitor.page.locator("#moments em")).to_have_text("<b>Snow</b> falls & falls.")
    expect(visitor.page.locator("#caption")).to_have_text("<b>Snow</b> falls & falls.")


def test_a_new_world(visitor, server):
    visitor.page.get_by_role("button", name="New world").click()
    visitor.page.locator("#scene-seed").fill("77")
    visitor.page.locator("#scene-place").select_option("park")
    expect(visitor.page.locator("#scene-light option", has_text="dusk")).to_have_count(1)
    kinds = [name for name in choices_of(mini_plan()).known if name in choices_of(mini_plan()).subjects][:2]
    visitor.page.locator("#scene-kinds").select_option(kinds)
    visitor.page.locator("#scene-count").fill("3")
    visitor.page.locator("#scene-sheds").check()
    visitor.page.get_by_role("button", name="Begin", exact=True).click()
    visitor.until(lambda told: told["status"]["seed"] == 77)
    _, request = server[1].sessions.get(visitor.session).house.studio.asked
    assert (request["scene"], sorted(request["subjects"])) == ("park", sorted(kinds))
    assert (request["num_subjects"], request["sheds"]) == (3, True)
    expect(visitor.page.locator("#caption")).to_have_text("A world of seed 77.")


def test_a_reload_goes_on(visitor):
    told = visitor.hold("a", lambda told: step_of(told) >= 2)
    session = visitor.session
    visitor.page.reload()
    expect(visitor.page.locator("#moments li").first).to_be_visible()
    assert visitor.page.evaluate("sessionStorage.getItem('walk')") == session
    assert step_of(visitor.state()) >= step_of(told)
    visitor.hold("d", lambda now: step_of(now) > step_of(told) + 1)


def test_a_held_key_counts_again_when_the_link_was_lost(visitor, server):
    visitor.page.keyboard.down("a")
    visitor.until(lambda told: step_of(told) >= 1)
    session = server[1].sessions.get(visitor.session)
    lost = session.outbox
    lost.late = True  # as if the page had read too slowly: it is let go, and comes back
    visitor.soon(lambda: session.outbox not in (None, lost))
    step = step_of(visitor.state())
    visitor.until(lambda told: step_of(told) > step + 1)
    visitor.page.keyboard.up("a")


def test_two_tabs_have_two_walks(browser, server, visitor):
    other = Visitor(visitor.page.context, server[0])
    assert other.session != visitor.session
    other.hold("a", lambda told: step_of(told) >= 2)
    assert step_of(visitor.state()) == 0
    visitor.page.bring_to_front()
    visitor.hold("d", lambda told: step_of(told) >= 2)
    assert other.troubles == []


def test_the_keyboard_alone_suffices(visitor):
    page, reached = visitor.page, []
    for _ in range(40):
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement.id || document.activeElement.getAttribute('aria-label')")
        if name in reached:
            break
        reached.append(name)
    wanted = [
        "open-scenes", "open-walks", "open-help", "pause", "show-truth", "rival", "prompt-text", "closer",
        "Pin subject 0", "Move subject 0 with the arrow keys", "Forget subject 0", "Pin view 0", "fork", "save",
    ]  # fmt: skip
    assert [name for name in reached if name in wanted] == wanted
    before = visitor.memory()["subjects"][0]
    page.get_by_role("button", name="Move subject 0").focus()
    page.keyboard.press("Enter")
    for key in ("ArrowUp", "ArrowUp", "ArrowRight"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    told = visitor.until(lambda told: told["panes"][0]["memory"]["subjects"][0]["x_m"] != before["x_m"])
    after = told["panes"][0]["memory"]["subjects"][0]
    assert after["x_m"] == pytest.approx(before["x_m"] + 1.0, abs=0.01)  # up on the map is ahead, along x
    assert after["y_m"] == pytest.approx(before["y_m"] - 0.5, abs=0.01)
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    page.locator("body").press("h")
    expect(page.locator("header")).to_be_hidden()
    page.locator("body").press("h")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_and_labels_pass_axe(browser, server, scheme):
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 - of the extra "browser" alone

    context = browser.new_context(viewport=WIDE, color_scheme=scheme, bypass_csp=True)
    visitor = Visitor(context, server[0])
    visitor.hold("a", lambda told: step_of(told) >= 2)
    visitor.stop()
    page = visitor.page
    for opening in (None, "#open-scenes", "#open-walks", "#open-help"):
        if opening:
            page.locator(opening).click()
        found = Axe().run(page).response["violations"]
        assert not found, [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
        page.keyboard.press("Escape")
    context.close()


OUT_OF_REACH = """([sign, least]) => {
  const root = document.querySelector(sign);
  return [...root.querySelectorAll("button, select, input, a[href]")].filter((each) => each.checkVisibility()).map((each) => {
    const target = each.closest("label.check") ?? each;
    target.scrollIntoView({ block: "nearest" });
    const { left, top, right, bottom, width, height } = target.getBoundingClientRect();
    const hit = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    const within = left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight;
    const reached = target.contains(hit) && within && width >= least && height >= least;
    return reached ? "" : `${target.id || target.textContent} ${Math.round(width)}×${Math.round(height)} at ${Math.round(left)}, ${Math.round(top)}`;
  }).filter(Boolean);
}"""  # noqa: E501
"""What a finger cannot press: off the screen, behind something, or smaller than so many pixels."""

FINGER_PX = 40


@pytest.fixture
def size():
    return PHONE


@pytest.fixture
def phone(browser, server, size):
    context = browser.new_context(
        viewport=size, has_touch=True, is_mobile=True, device_scale_factor=2, bypass_csp=True
    )
    made = Visitor(context, server[0])
    yield made
    context.close()
    assert made.troubles == []


@pytest.mark.parametrize("size", [PHONE, UPRIGHT], ids=["landscape", "portrait"])
def test_on_a_phone_everything_can_be_reached_by_a_finger(phone, size):
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 - of the extra "browser" alone

    page = phone.page
    figures = ("#speed", "#latency") if size is PHONE else ()  # upright there is no room for them
    push(phone, 20, lambda told: step_of(told) >= 3)
    phone.stop()
    page.locator("#show-truth").tap()
    page.locator("#rival").select_option("window")
    phone.until(lambda told: len(told["panes"]) == 2)
    tools = {
        "map": ["#closer", "#farther", "#follow", "#key"],
        "shelf": ["#subjects .card", "#views .thumb"],
        "timeline": ["#back", "#fork", "#fork-at", "#moments li", "#prompt-text", "#save", "#film", "#log"],
    }
    for tab, signs in tools.items():
        page.locator(f"#tab-{tab}").tap()
        for sign in (*signs, "#pause", "#show-truth", "#show-rendered", "#stick", "#pad", *figures):
            expect(page.locator(sign).first).to_be_visible()
        assert page.evaluate(OUT_OF_REACH, ["body", FINGER_PX]) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    for name in ("scenes", "walks", "help"):
        page.locator(f"#open-{name}").tap()
        assert page.locator(f"#{name}").evaluate("dialog => dialog.scrollTop") == 0
        assert page.evaluate(OUT_OF_REACH, [f"#{name}", FINGER_PX]) == []
        found = Axe().run(page).response["violations"]
        assert not found, [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
        page.locator(f"#{name} [data-close]").tap()


def test_on_a_phone_the_stick_walks_and_the_caption_changes(phone):
    page = phone.page
    before = phone.memory()["camera"]["x_m"]
    push(phone, 40, lambda told: told["panes"][0]["memory"]["camera"]["x_m"] > before + 0.3)
    page.locator("#tab-timeline").tap()
    page.locator("#prompt-text").fill("Snow falls.")
    page.locator("#prompt button").tap()
    phone.until(lambda told: told["status"]["prompt"] == "Snow falls.")


def test_on_a_phone_one_steps_aside_rises_and_forks_from_an_earlier_step(phone):
    page = phone.page
    arrows = (
        ("Step to the left", "y_m", 1),
        ("Step to the right", "y_m", -1),
        ("Rise", "z_m", 1),
        ("Sink", "z_m", -1),
    )
    for name, axis, sign in arrows:
        box = page.get_by_role("button", name=name).bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        with phone.moves(axis, 0.2 * sign):
            page.mouse.down()
        page.mouse.up()
    told = phone.stop()
    page.locator("#tab-timeline").tap()
    page.get_by_role("button", name="Fork at").tap()
    page.get_by_role("button", name=f"Go back to step {step_of(told) - 2}", exact=True).tap()
    now = phone.until(lambda now: len(now["panes"]) == 2)
    assert (step_of(now), step_of(now, 1)) == (step_of(told), step_of(told) - 2)
    expect(page.get_by_role("button", name="Fork at")).to_have_attribute("aria-pressed", "false")


def push(phone, up_px, wanted):
    """Push the stick on the picture away from oneself until the walk is as wanted."""
    page, box = phone.page, phone.page.locator("#stick").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - up_px, steps=4)
    phone.until(wanted)
    page.mouse.up()


ATTACK = """<!doctype html><title>waiting</title><script>
const target = "TARGET";
const tries = {
  socket: () => new Promise((done) => { const s = new WebSocket(`ws://${target}/socket`);
    s.onopen = () => { s.send('{"kind":"hello","version":2}'); }; s.onmessage = () => done("read"); s.onerror = s.onclose = () => done("refused"); }),
  state: () => fetch(`http://${target}/walks/SESSION/state.json`).then((a) => a.text()).then(() => "read", () => "refused"),
  opaque: () => fetch(`http://${target}/walks/SESSION/walk.json`, { mode: "no-cors" }).then((a) => a.type === "opaque" && !a.ok ? "refused" : "read", () => "refused"),
  post: () => fetch(`http://${target}/walks/SESSION/video?caption=x`, { method: "POST", mode: "no-cors", body: "x" }).then(() => "sent", () => "refused"),
  script: () => new Promise((done) => { const s = document.createElement("script"); s.src = `http://${target}/main.js`; s.onload = () => done("read"); s.onerror = () => done("refused"); document.head.append(s); }),
  frame: () => new Promise((done) => { const f = document.createElement("iframe"); f.src = `http://${target}/`; f.onload = () => { try { done(f.contentDocument ? "read" : "refused"); } catch { done("refused"); } }; document.body.append(f); setTimeout(() => done("refused"), 3000); }),
};
addEventListener("load", async () => { const out = {}; for (const name in tries) out[name] = await tries[name](); document.title = JSON.stringify(out); });
</script><body></body>"""  # noqa: E501


def test_another_sites_page_can_neither_drive_nor_read(browser, server, visitor, tmp_path):
    (tmp_path / "index.html").write_text(
        ATTACK.replace("TARGET", server[0]).replace("SESSION", visitor.session)
    )
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    evil = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=evil.serve_forever, daemon=True)
    thread.start()
    before = visitor.state()
    count = len(server[1].sessions)
    page = browser.new_page()
    try:
        page.goto(f"http://127.0.0.1:{evil.server_port}/index.html")
        expect(page).not_to_have_title("waiting", timeout=1000 * PATIENCE_S)
        told = page.evaluate("JSON.parse(document.title)")
    finally:
        page.close()
        evil.shutdown()
        evil.server_close()
        thread.join()
    assert set(told.values()) <= {"refused", "sent"}, told
    assert [name for name, outcome in told.items() if outcome == "sent"] in (
        [],
        ["post"],
    )  # sent, and refused there
    assert visitor.state() == before
    assert len(server[1].sessions) == count


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass
