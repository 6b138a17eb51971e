"""A server with a stand-in for a model, in a thread, and a page that is a program."""

import asyncio
import json
import threading
import time
from contextlib import contextmanager

import uvicorn
from websockets.asyncio.client import connect

from explorer_stand_in import CONTEXT, FPS, HEIGHT, WIDTH, StandInMind, scene
from outofsight.web import protocol
from outofsight.web.engine import Engine
from outofsight.web.guard import doors_for
from outofsight.web.protocol import MAX_MESSAGE_BYTES, split_picture
from outofsight.web.serve import listen
from outofsight.web.server import Offer, explorer_app
from outofsight.web.session import House
from outofsight.web.store import WalkStore
from outofsight.web.studio import Studio


@contextmanager
def served(folder, mind=None, *, token=None, studio=None, plan=None, choices=None, begin=None, **limits):
    """Serve walks of a stand-in. Gives the address, and the application's state."""
    mind = mind or StandInMind()
    house = House(
        mind=mind, engine=Engine(), studio=studio or Studio(), store=WalkStore(folder), plan=plan, latent_frames=2,
        first=lambda walk: walk.begin(begin or scene()),
    )  # fmt: skip
    listening = listen("127.0.0.1", None)
    port = listening.getsockname()[1]
    offer = Offer(choices=choices, num_context=CONTEXT, size=(HEIGHT, WIDTH), fps=FPS)
    app = explorer_app(house, offer, doors_for(port, token), **limits)
    config = uvicorn.Config(
        app, log_level="warning", ws="websockets-sansio", ws_max_size=MAX_MESSAGE_BYTES, timeout_graceful_shutdown=1,
        lifespan="on",
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
        assert thread.is_alive()
    try:
        yield f"127.0.0.1:{port}", app.state
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
        assert not thread.is_alive()


class Page:
    """Speaks as the page does, and keeps what it is told."""

    def __init__(self, socket):
        self.socket, self.told, self.frames, self.pictures = socket, [], [], []
        self.number = 0

    async def send(self, kind, **fields):
        await self.socket.send(json.dumps({"kind": kind, **fields}))

    async def look(self, **keys):
        self.number += 1
        await self.send("look", number=self.number, **keys)

    async def read(self):
        """Read one message; returns what it says."""
        message = await self.socket.recv()
        if isinstance(message, bytes):
            header, picture = split_picture(message)
            assert picture[:2] == b"\xff\xd8"
            protocol.DOWN[header["kind"]](**header)
            (self.frames if header["kind"] == "frame" else self.pictures).append(header)
            return header
        told = json.loads(message)
        self.told.append(protocol.DOWN[told["kind"]](**told) and told)
        return told

    async def until(self, kind, wanted=lambda told: True, seconds=10.0):
        """Read until a message of a kind is as wanted."""
        async with asyncio.timeout(seconds):
            while True:
                told = await self.read()
                if told["kind"] == kind and wanted(told):
                    return told

    async def settled(self, seconds=0.3):
        """Read whatever comes for a while."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await self.read()
        except TimeoutError:
            return


def at(address, **options):
    """Open a socket as a page of the server's own would."""
    return connect(
        f"ws://{address}/socket", origin=f"http://{address}", max_size=None, close_timeout=0.5, **options
    )


async def greeted(socket, session=None):
    page = Page(socket)
    await page.send("hello", version=protocol.VERSION, session=session)
    welcome = await page.until("welcome")
    page.session = welcome["session"]
    await page.until("memory")  # all has been told
    return page
