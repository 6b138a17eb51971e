"""The protocol, spoken by a program: greeting, commands, and everything that goes wrong."""

import asyncio
import json
import random
import resource
import socket as sockets
import string
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from explorer_serving import at, greeted, served
from explorer_stand_in import StandInMind, StandInStudio, scene
from outofsight.web import protocol
from outofsight.web.engine import give_back_memory
from outofsight.web.truth import affordable
from outofsight.worlds.plan import plan_world
from outofsight.worlds.presets import mini_plan


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with served(tmp_path_factory.mktemp("walks"), most=12) as given:
        yield given


@pytest.fixture
def address(server):
    return server[0]


def state_of(address, session):
    return httpx.get(f"http://{address}/walks/{session}/state.json").json()


def run(work):
    return asyncio.run(work)


async def first_words(address, *messages):
    """Send messages instead of a greeting; return the error and the code that the server closes with."""
    async with at(address) as socket:
        for message in messages:
            await socket.send(message)
        told = json.loads(await socket.recv())
        if told["kind"] == "busy":
            told = json.loads(await socket.recv())
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        return told["line"], closed.value.rcvd.code


async def code_of_end(socket):
    """Read until the server closes; the code that it closes with."""
    with suppress(ConnectionClosed):
        while True:
            await socket.recv()
    return socket.close_code


def test_greeting(address):
    async def work():
        async with at(address) as socket:
            page = await greeted(socket)
            kinds = [told["kind"] for told in page.told]
            assert kinds[:2] == ["busy", "welcome"]
            assert {"saves", "status", "cleared", "timeline", "memory"} <= set(kinds)
            assert page.frames[0]["frame"] == -1
            assert page.told[1]["strategies"] == StandInMind.strategies

    run(work())


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ('{"kind": "hello", "version": 99}', "version 99"),
        ('{"kind": "pause", "on": true}', "expected a greeting (hello), got pause"),
        ("nonsense", "expected a greeting"),
        (b"\x00\xff\x00", "expected a greeting"),
        ("{", "expected a greeting"),
        ('{"kind": "hello"}', "version"),
        ('{"kind": "hello", "version": 2, "session": "../../etc/passwd....."}', "session"),
        ("[" * 10000, "expected a greeting"),
    ],
)
def test_wrong_greetings_are_refused_in_a_line(address, message, line):
    told, code = run(first_words(address, message))
    assert line in told
    assert code == 4000
    assert "\n" not in told


def test_keys_move_the_camera(address):
    async def work():
        async with at(address) as socket:
            page = await greeted(socket)
            before = state_of(address, page.session)["panes"][0]["memory"]["camera"]
            await page.send("pause", on=False)
            await page.look(yaw=1.0, forward=1.0)
            await page.until("memory", lambda told: told["step"] >= 3)
            after = state_of(address, page.session)["panes"][0]["memory"]["camera"]
            assert after["heading"] > before["heading"] + 0.1
            assert after["x_m"] > before["x_m"] + 0.1
            frames = [header["frame"] for header in page.frames if header["frame"] >= 0]
            assert frames == list(range(len(frames)))
            assert page.frames[-1]["heeds"] == 1
            await page.send("pause", on=True)
            await page.until("status", lambda told: not told["walking"])

    run(work())


def test_steps_keep_the_worlds_own_time(address):
    async def work():
        async with at(address) as socket:
            page = await greeted(socket)
            await page.send("pause", on=False)
            await page.until("memory", lambda told: told["step"] == 2)
            start = asyncio.get_running_loop().time()
            await page.until("memory", lambda told: told["step"] == 4)
            assert 1.3 < asyncio.get_running_loop().time() - start < 2.2  # 16 frames at 10 a second

    run(work())


def test_memory_can_be_touched(address):
    async def work():
        async with at(address) as socket:
            page = await greeted(socket)
            await page.send("pin", subject=0, on=True)
            await page.until("memory", lambda told: told["subjects"][0]["pinned"])
            await page.send("edit", subject=0, x_m=3.0, y_m=2.0)
            await page.until("memory", lambda told: told["subjects"][0]["x_m"] == 3.0)
            await page.send("forget", slot=2)
            await page.until("memory", lambda told: len(told["views"]) == 3)
            await page.send("forget", slot=2)
            assert "slot 2" in (await page.until("error"))["line"]
            await page.send("forget", subject=0)
            await page.until("memory", lambda told: not told["subjects"])
            await page.send("pin", subject=0, slot=1)
            assert "one of both" in (await page.until("error"))["line"]
            await page.send("pin", pane=1, slot=1)
            assert "no second pane" in (await page.until("error"))["line"]

    run(work())


def test_rewind_fork_save_and_load(address):
    async def work():
        async with at(address) as socket:
            page = await greeted(socket)
            await page.send("pause", on=False)
            await page.look(yaw=0.5)
            await page.until("memory", lambda told: told["step"] == 4)
            await page.send("pause", on=True)
            await page.until("status", lambda told: not told["walking"])
            await page.settled()
            await page.send("rewind", step=2)
            assert (await page.until("cleared"))["frame"] == 12
            assert state_of(address, page.session)["status"]["panes"][0]["step"] == 2
            await page.send("save", name="by the <b>river</b>")
            saves = await page.until("saves")
            saved = next(walk for walk in saves["walks"] if walk["name"] == "by the <b>river</b>")
            await page.send("fork", step=1)
            told = await page.until("status", lambda told: len(told["panes"]) == 2)
            assert (told["focus"], told["panes"][1]["step"], told["panes"][1]["linked"]) == (1, 1, False)
            await page.send("pause", on=False)
            await page.until("memory", lambda told: told["pane"] == 1 and told["step"] == 2)
            assert state_of(address, page.session)["panes"][0]["memory"]["step"] == 2
            await page.send("load", saved=saved["id"])
            told = await page.until("status", lambda told: len(told["panes"]) == 1 and not told["doing"])
            assert told["panes"][0]["step"] == 2
            await page.send("strategy", name="window")
            await page.send("save", name="two")
            saves = await page.until("saves")
            two = next(walk for walk in saves["walks"] if walk["name"] == "two")
            assert two["strategy"] == "hybrid and window"
            await page.send("strategy", name=None)
            await page.until("status", lambda told: len(told["panes"]) == 1 and not told["doing"])
            await page.send("load", saved=two["id"])
            await page.until("status", lambda told: len(told["panes"]) == 2 and not told["doing"])
            panes = state_of(address, page.session)["status"]["panes"]
            assert [(pane["step"], pane["strategy"], pane["linked"]) for pane in panes] == [
                (2, "hybrid", False),
                (2, "window", True),
            ]
            await page.send("load", saved="A" * 22)
            assert "no walk" in (await page.until("error"))["line"]
            await page.send("rewind", step=77)
            assert "77" in (await page.until("error"))["line"]

    run(work())


def test_another_strategy_walks_along(address):
    async def work():
        async with at(address) as socket:
            page = await greeted(socket)
            await page.send("strategy", name="window")
            await page.until("status", lambda told: len(told["panes"]) == 2)
            await page.send("pause", on=False)
            await page.until("memory", lambda told: told["pane"] == 1 and told["step"] == 2)
            panes = state_of(address, page.session)["status"]["panes"]
            assert abs(panes[0]["step"] - panes[1]["step"]) <= 1
            assert "no banks" in panes[1]["note"]
            await page.send("strategy", name=None)
            await page.until("status", lambda told: len(told["panes"]) == 1)
            await page.send("strategy", name="telepathy")
            assert "telepathy" in (await page.until("error"))["line"]

    run(work())


def test_keys_that_change_while_the_second_pane_moves_do_not_close_it(tmp_path):
    async def work(address, state):
        async with at(address) as socket:
            page = await greeted(socket)
            await page.send("strategy", name="window")
            await page.until("status", lambda told: len(told["panes"]) == 2)
            first, second = state.sessions.get(page.session).walk.panes
            await page.send("pause", on=False)
            while first.rollout.num_steps == second.rollout.num_steps:
                await asyncio.sleep(0.01)
            await page.look(yaw=1.0)
            await page.send("pause", on=True)
            await page.until("memory", lambda told: told["pane"] == 1 and told["step"] == 1)
            assert len(state_of(address, page.session)["status"]["panes"]) == 2

    with served(tmp_path, StandInMind(step_s=0.8)) as (address, state):
        run(work(address, state))


def test_a_reload_goes_on(address):
    async def work():
        async with at(address) as socket:
            page = await greeted(socket)
            await page.send("pause", on=False)
            await page.until("memory", lambda told: told["step"] == 2)
        async with at(address) as socket:
            again = await greeted(socket, page.session)
            assert again.session == page.session
            told = next(told for told in again.told if told["kind"] == "status")
            assert told["panes"][0]["step"] >= 2
            assert not told["walking"]
            assert any(header["id"].startswith("v") for header in again.pictures)

    run(work())


def test_a_second_page_takes_the_walk_over(address):
    async def work():
        async with at(address) as socket, at(address) as other:
            page = await greeted(socket)
            taken = await greeted(other, page.session)
            assert taken.session == page.session
            assert "another tab" in (await page.until("error"))["line"]
            assert await code_of_end(socket) == 4002

    run(work())


def test_the_state_outlives_the_server(tmp_path):
    async def first(address):
        async with at(address) as socket:
            page = await greeted(socket)
            await page.send("strategy", name="window")
            await page.until("status", lambda told: len(told["panes"]) == 2)
            await page.send("pause", on=False)
            await page.send("pin", slot=3)
            await page.until("memory", lambda told: told["step"] == 3)
            return page.session

    async def second(address, session):
        async with at(address) as socket:
            page = await greeted(socket, session)
            return page.session

    with served(tmp_path) as (address, _):
        session = run(first(address))
    with served(tmp_path) as (address, _):
        assert run(second(address, session)) == session
        told = state_of(address, session)
        assert told["status"]["panes"][0]["step"] >= 3
        assert [pane["step"] for pane in told["status"]["panes"]] == 2 * [told["status"]["panes"][0]["step"]]
        assert told["status"]["panes"][1]["linked"]
        assert next(view for view in told["panes"][0]["memory"]["views"] if view["slot"] == 3)["pinned"]
        assert run(second(address, "B" * 22)) != "B" * 22


def test_an_idle_session_leaves_memory_and_comes_back(tmp_path):
    async def work(address, state):
        async with at(address) as socket:
            page = await greeted(socket)
            assert len(state.sessions) == 1
        await asyncio.sleep(0.8)
        assert len(state.sessions) == 0
        async with at(address) as socket:
            assert (await greeted(socket, page.session)).session == page.session

    with served(tmp_path, grace_s=0.2) as (address, state):
        run(work(address, state))


def test_sessions_are_bounded(tmp_path):
    async def work(address):
        async with at(address) as one, at(address) as two:
            await greeted(one)
            await greeted(two)
            line, code = await first_words(address, '{"kind": "hello", "version": 2}')
            assert "full" in line
            assert code == 4000
        await asyncio.sleep(0.2)
        async with at(address) as one:
            await greeted(one)

    with served(tmp_path, most=2) as (address, _):
        run(work(address))


def test_what_the_model_cannot_do_is_told_and_stops_the_walk(tmp_path):
    mind = StandInMind()

    async def work(address):
        async with at(address) as socket:
            page = await greeted(socket)
            mind.fails = True
            await page.send("pause", on=False)
            assert "as it was told to" in (await page.until("error"))["line"]
            mind.fails = False
            await page.send("pause", on=False)
            await page.until("memory", lambda told: told["step"] == 1)

    with served(tmp_path, mind) as (address, _):
        run(work(address))


def test_a_message_of_10_mb_ends_the_socket_alone(address):
    async def work():
        async with at(address) as socket:
            await greeted(socket)
            with suppress(ConnectionClosed):
                await socket.send("x" * 10_000_000)
            assert await code_of_end(socket) in (1006, 1009)
        async with at(address) as socket:
            await greeted(socket)

    run(work())


def test_half_a_message(address):
    """A page that vanishes in the middle of a frame leaves nothing behind."""
    host, port = address.split(":")
    with sockets.create_connection((host, int(port))) as raw:
        raw.sendall(
            f"GET /socket HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert b"101" in raw.recv(4096)
        raw.sendall(b"\x81\xfe\x10\x00abcd")  # announces 4096 bytes, and sends none of them
    run(_still_serves(address))


async def _still_serves(address):
    async with at(address) as socket:
        await greeted(socket)


def test_a_flood_is_left_out_and_ended(address):
    async def work():
        async with at(address) as socket:
            page = await greeted(socket)
            with suppress(ConnectionClosed):
                for _ in range(3000):
                    await page.look(yaw=0.1)
            assert await code_of_end(socket) == 1008

    run(work())


def test_commands_wait_in_a_bounded_queue(tmp_path):
    async def work(address):
        async with at(address) as socket:
            page = await greeted(socket)
            await page.send("pause", on=False)
            await page.until("memory", lambda told: told["step"] == 1)
            for _ in range(60):
                await page.send("pin", slot=1)
            assert "wait already" in (await page.until("error"))["line"]

    with served(tmp_path, StandInMind(step_s=0.6)) as (address, _):
        run(work(address))


def test_one_that_never_reads_loses_frames_alone(tmp_path):
    async def work(address, state):
        async with at(address, max_queue=1) as socket:
            page = await greeted(socket)
            session = state.sessions.get(page.session)
            await page.send("pause", on=False)
            session._written_at += 1e6
            outbox = session.outbox
            outbox.get = lambda: asyncio.sleep(3600)  # the socket takes no more
            await page.look(yaw=0.2)
            deadline = asyncio.get_running_loop().time() + 8
            while session.walk.main.rollout.num_frames < 70:
                assert asyncio.get_running_loop().time() < deadline
                await page.look(yaw=random.uniform(-1, 1))
                await asyncio.sleep(0.1)
            assert len(outbox._frames) <= 48
            assert outbox.dropped > 0

    with served(tmp_path, StandInMind(step_s=0.01)) as (address, state):
        run(work(address, state))


FIELDS = ["kind", "version", "session", "number", "yaw", "on", "text", "pane", "slot", "subject", "x_m", "step", "name",
          "seed", "subjects", "saved", "truth"]  # fmt: skip
KINDS = [
    "look",
    "pause",
    "prompt",
    "pin",
    "forget",
    "edit",
    "rewind",
    "fork",
    "strategy",
    "focus",
    "views",
    "load",
]


def odd_message(dice):
    """A message that is nearly right, or not at all."""
    if dice.random() < 0.2:
        return "".join(dice.choices(string.printable, k=dice.randint(0, 60)))
    values = [
        0,
        1,
        -1,
        2**70,
        1e308,
        float("nan"),
        None,
        True,
        "",
        "a" * 50,
        "../..",
        "<img>",
        [],
        {},
        [[1]],
        "A" * 22,
    ]
    fields = {name: dice.choice(values) for name in dice.sample(FIELDS, dice.randint(0, 5))}
    return json.dumps({**fields, "kind": dice.choice([*KINDS, "hello", "x", 3, None])})


def test_500_odd_messages_leave_no_traceback_and_no_hung_session(tmp_path, caplog):
    dice = random.Random(7)

    async def work(address):
        session, sent = None, 0
        while sent < 500:
            async with at(address) as socket:
                page = await greeted(socket, session)
                session = page.session
                try:
                    for _ in range(90):
                        await socket.send(odd_message(dice))
                        sent += 1
                    await page.settled(0.2)
                except ConnectionClosed:
                    pass
        async with at(address) as socket:
            page = await greeted(socket, session)
            await page.send("pause", on=False)
            before = state_of(address, session)["status"]["panes"][0]["num_frames"]
            await page.until("memory", lambda told: told["pane"] == 0 and told["frame"] > before)

    with served(tmp_path, StandInMind(step_s=0.005)) as (address, _):
        run(work(address))
    assert not [record for record in caplog.records if record.exc_info]


def test_every_message_down_is_in_the_protocol():
    assert set(protocol.DOWN) == {
        "welcome", "status", "memory", "timeline", "saves", "cleared", "error", "busy", "frame", "picture",
    }  # fmt: skip


def test_another_past_brings_its_own_pictures(tmp_path):
    async def work(address):
        async with at(address) as socket:
            page = await greeted(socket)
            for yaw in (1.0, -1.0):
                page.pictures.clear()
                await page.look(yaw=yaw)
                await page.send("pause", on=False)
                await page.until(
                    "timeline", lambda told: told["moments"] and told["moments"][-1]["step"] >= 1
                )
                await page.send("pause", on=True)
                await page.settled()
                assert "p0-1-5" in {told["id"] for told in page.pictures}
                await page.send("rewind", pane=0, step=0)
                await page.settled()
            await page.send("save", name="a walk")
            saves = await page.until("saves", lambda told: told["walks"])
            await page.send("load", saved=saves["walks"][0]["id"])
            await page.until("cleared", lambda told: told["pane"] == 0 and told["frame"] == -1)

    with served(tmp_path) as (address, _):
        run(work(address))


def test_the_truth_comes_beside_it(tmp_path):
    plan = mini_plan()
    begin = scene(spec=plan_world(5, plan).spec)

    async def work(address):
        async with at(address) as socket:
            page = await greeted(socket)
            await page.send("views", truth=True, rendered=False)
            await page.send("pause", on=False)
            await page.until("frame", lambda told: told["view"] == "truth" and told["last"])
            memory = next(told for told in reversed(page.told) if told["kind"] == "memory")
            assert [subject["name"] for subject in memory["truth"]] == [
                subject.kind for subject in begin.spec.subjects
            ]

    with served(tmp_path, studio=StandInStudio(), plan=plan, begin=begin) as (address, _):
        run(work(address))


def test_the_truth_is_rendered_as_often_as_there_is_time_for():
    assert affordable(8, 10.0, 0.0).tolist() == list(range(8))
    assert affordable(8, 10.0, 0.05).tolist() == list(range(8))
    assert affordable(8, 10.0, 0.15).tolist() == [1, 3, 5, 7]
    assert affordable(8, 10.0, 10.0).tolist() == [7]


def resident_mb():
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_what_is_free_is_given_back():
    large, between = [], []
    for _ in range(400):  # large pieces that go between small ones that stay
        large.append(np.ones(12_000, np.uint8))
        between.append(np.ones(64, np.uint8))
    before = resident_mb()
    large.clear()
    give_back_memory()
    assert resident_mb() < before - 2


@pytest.mark.parametrize("seconds", [6, pytest.param(60, marks=pytest.mark.slow)])
def test_8_pages_at_once_in_bounded_memory(tmp_path, seconds):
    async def visit(address, state, number, end):
        most = 0
        async with at(address) as socket:
            page = await greeted(socket)
            await page.send("pause", on=False)
            while asyncio.get_running_loop().time() < end:
                await page.look(yaw=(-1.0) ** page.number * 0.5)
                await page.settled(1.0)
                most = max(most, len(state.sessions.get(page.session).outbox._frames))
            page.told.clear()
            return len(page.frames), most

    async def work(address, state):
        end = asyncio.get_running_loop().time() + seconds
        visits = [asyncio.create_task(visit(address, state, number, end)) for number in range(8)]
        await asyncio.sleep(seconds / 4)
        early = resident_mb()
        told = await asyncio.gather(*visits)
        return early, resident_mb(), told

    with served(tmp_path, StandInMind(step_s=0.02)) as (address, state):
        early, late, told = asyncio.run(work(address, state))
    assert late < early + 25  # what the 8 programs themselves write down is part of it
    assert all(frames > seconds for frames, _ in told)  # nobody starves, on a busy machine too
    assert all(most <= 48 for _, most in told)
