"""The server: a page, one WebSocket a page, downloads and an upload. Nothing in an address is ever a path."""

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from outofsight.errors import InputError, OutOfSightError
from outofsight.geometry.path_expressions import make_path
from outofsight.types import Intrinsics
from outofsight.web import protocol
from outofsight.web.guard import Doors, Guard
from outofsight.web.outbox import Outbox
from outofsight.web.protocol import Hello, to_text
from outofsight.web.scene import Scene
from outofsight.web.session import House, Session
from outofsight.web.sessions import GRACE_S, MOST_SESSIONS, Sessions
from outofsight.web.steering import MOVE_M_S, TURN_DEG_S
from outofsight.web.store import ID
from outofsight.web.studio import decode_apart

GREETING_S = 10.0
RATE, BURST = 80.0, 160.0
"""Messages a second that a page may send, and how many at once."""

MOST_BAD = 100
"""Messages that are refused or left out before a page is let go."""

UPLOAD_BYTES = 64 << 20
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
PROTOCOL_ERROR, TOO_SLOW, TAKEN = 4000, 4001, 4002


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What the page is told in its welcome, and how uploads are taken: frames of context, height and width, rate."""

    choices: protocol.Choices | None
    num_context: int
    size: tuple[int, int] | None
    fps: float


def explorer_app(
    house: House, offer: Offer, doors: Doors, *, most: int = MOST_SESSIONS, grace_s: float = GRACE_S
) -> Starlette:
    """Make the application. ``app.state.sessions``: its sessions, once it runs."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.sessions = Sessions(house, most, grace_s)
        app.state.sessions.start()
        yield
        await app.state.sessions.close()
        await asyncio.to_thread(house.studio.close)
        await asyncio.to_thread(house.engine.close)

    page = read_page()
    routes = [
        WebSocketRoute("/socket", partial(_socket, offer=offer)),
        Route("/walks/{id}/state.json", _state),
        Route("/walks/{id}/walk.{kind}", _download),
        Route("/walks/{id}/video", partial(_upload, offer=offer), methods=["POST"]),
        *(Route(f"/{name}", partial(_page, content=content, name=name)) for name, content in page.items()),
        Route("/", partial(_page, content=page["index.html"], name="index.html")),
    ]
    app = Starlette(routes=routes, middleware=[Middleware(Guard, doors=doors)], lifespan=lifespan)
    app.router.redirect_slashes = False
    return app


def read_page() -> Mapping[str, bytes]:
    """Read the page's files, which are all there is to be served."""
    folder = files("outofsight.web").joinpath("page")
    return {entry.name: entry.read_bytes() for entry in folder.iterdir() if Path(entry.name).suffix in TYPES}


async def _page(request: Request, content: bytes, name: str) -> Response:
    return Response(content, media_type=TYPES[Path(name).suffix])


def _session(request: Request) -> Session | None:
    name = request.path_params["id"]
    sessions: Sessions = request.app.state.sessions
    return sessions.get(name) if ID.fullmatch(name) else None


async def _state(request: Request) -> Response:
    session = _session(request)
    return PlainTextResponse("no such walk\n", 404) if session is None else JSONResponse(session.state())


async def _download(request: Request) -> Response:
    """Give a walk's film as mp4, or its record as JSON; ``?pane=1``: of the second pane."""
    session, kind = _session(request), request.path_params["kind"]
    number = {"0": 0, "1": 1}.get(request.query_params.get("pane", "0"))
    if session is None or kind not in ("mp4", "json") or number is None or number >= len(session.walk.panes):
        return PlainTextResponse("no such walk\n", 404)
    pane = session.walk.panes[number]
    headers = {"Content-Disposition": f'attachment; filename="walk.{kind}"'}
    if kind == "mp4":
        if pane.film.mark.num_frames == 0:
            return PlainTextResponse("nothing has been shown yet\n", 404)
        return FileResponse(pane.film.path, media_type="video/mp4", headers=headers)
    lines = (await asyncio.to_thread(pane.film.log.read_text, encoding="utf-8")).split("\n")
    about = session.walk.about()
    record = {key: about[key] for key in ("date", "model", "world", "fps", "scene")}
    record |= {
        "strategy": pane.strategy,
        "num_frames": pane.rollout.num_frames,
        "steps": [json.loads(line) for line in lines if line],
    }
    return Response(json.dumps(record, ensure_ascii=False), media_type="application/json", headers=headers)


async def _upload(request: Request, offer: Offer) -> Response:
    """Begin a walk anew in a video of one's own: a still context of its first frames."""
    session = _session(request)
    if session is None:
        return PlainTextResponse("no such walk\n", 404)
    with tempfile.NamedTemporaryFile(suffix=".video") as file:
        try:
            size = 0
            async for chunk in request.stream():
                size += len(chunk)
                if size > UPLOAD_BYTES:
                    return PlainTextResponse(f"the video is larger than {UPLOAD_BYTES >> 20} MB\n", 413)
                file.write(chunk)
            file.flush()
            scene = await asyncio.to_thread(_own_scene, Path(file.name), dict(request.query_params), offer)
            await session.begin_anew(scene)
        except ClientDisconnect:
            return Response(status_code=400)
        except OutOfSightError as error:
            return PlainTextResponse(protocol.in_one_line(str(error)).line + "\n", 400)
    return Response(status_code=204)


def _own_scene(path: Path, asked: Mapping[str, str], offer: Offer) -> Scene:
    caption = asked.get("caption", "").strip()
    if not 0 < len(caption) <= 1000:
        raise InputError("describe the video in a caption of at most 1000 letters")
    try:
        fov_deg = float(asked.get("fov", "70"))
    except ValueError:
        fov_deg = 0.0
    if not 10 <= fov_deg <= 150:
        raise InputError("the lens: give a horizontal field of view of 10 to 150 degrees")
    video = decode_apart(path, offer.size, offer.num_context)
    return own_scene(video, caption, fov_deg, offer.fps)


def own_scene(video: Any, caption: str, fov_deg: float, fps: float, name: str = "own video") -> Scene:
    """Make a scene of a video of one's own, whose camera stood still."""
    lens = Intrinsics.from_fov(
        width_px=video.shape[2], height_px=video.shape[1], fov_x_rad=fov_deg * 3.141592653589793 / 180
    )
    cameras = make_path("still", len(video), intrinsics=lens)
    return Scene(caption=caption, fps=fps, video=video, cameras=cameras, lens=lens, name=name)


async def _socket(socket: WebSocket, offer: Offer) -> None:
    """Greet a page, and then read its messages and write what waits for it until one of both ends."""
    await socket.accept()
    try:
        hello = await _greeted(socket)
        if hello is None:
            return
        sessions: Sessions = socket.app.state.sessions
        await socket.send_text(to_text(protocol.Busy(queue=sessions.entering + 1)))
        session = await sessions.enter(hello.session)
    except OutOfSightError as error:
        await _farewell(socket, PROTOCOL_ERROR, str(error))
        return
    except WebSocketDisconnect:
        return
    outbox = Outbox()
    outbox.put(to_text(_welcome(session, offer)))
    session.attach(outbox)
    try:
        async with anyio.create_task_group() as both:
            both.start_soon(_writing, socket, outbox, both.cancel_scope)
            await _reading(socket, session, outbox)
            both.cancel_scope.cancel()
    finally:
        session.detach(outbox)


async def _greeted(socket: WebSocket) -> Hello | None:
    """Read the greeting; ``None``: there was none that will do, and the page was told so."""
    try:
        message = await asyncio.wait_for(_receive(socket), GREETING_S)
    except TimeoutError:
        await _farewell(socket, TOO_SLOW, f"no greeting within {GREETING_S:g} s")  # it may try again
        return None
    try:
        hello = protocol.read_up(message)
    except InputError as error:
        await _farewell(socket, PROTOCOL_ERROR, f"expected a greeting: {error}")
        return None
    if not isinstance(hello, Hello):
        await _farewell(socket, PROTOCOL_ERROR, f"expected a greeting (hello), got {hello.kind}")
        return None
    if hello.version != protocol.VERSION:
        line = (
            f"the page speaks version {hello.version} and the server {protocol.VERSION}; load the page anew"
        )
        await _farewell(socket, PROTOCOL_ERROR, line)
        return None
    return hello


def _welcome(session: Session, offer: Offer) -> protocol.Welcome:
    mind = session.house.mind
    return protocol.Welcome(
        session=session.id, model=mind.name, strategies=dict(mind.strategies), choices=offer.choices,
        limits=protocol.Limits(
            turn_deg_s=TURN_DEG_S, move_m_s=MOVE_M_S, keep_steps=mind.keep_steps, upload_bytes=UPLOAD_BYTES
        ),
    )  # fmt: skip


async def _reading(socket: WebSocket, session: Session, outbox: Outbox) -> None:
    allowed, at, bad = BURST, time.monotonic(), 0
    while bad < MOST_BAD:
        try:
            text = await _receive(socket)
        except WebSocketDisconnect:
            return
        now = time.monotonic()
        allowed, at = min(BURST, allowed + (now - at) * RATE) - 1, now
        try:
            if allowed < 0:
                allowed = 0.0
                raise InputError(f"more than {RATE:g} messages a second; this one is left out")
            message = protocol.read_up(text)
            if isinstance(message, Hello):
                raise InputError("one greeting is enough")
            session.take(message)
        except InputError as error:
            bad += 1
            outbox.put(to_text(protocol.in_one_line(str(error))))
    await _farewell(socket, 1008, f"{MOST_BAD} messages could not be taken")


async def _receive(socket: WebSocket) -> str | bytes:
    message = await socket.receive()
    if message["type"] != "websocket.receive":
        raise WebSocketDisconnect(message.get("code", 1005))
    text = message.get("text")
    return text if text is not None else (message.get("bytes") or b"")


async def _writing(socket: WebSocket, outbox: Outbox, both: anyio.CancelScope) -> None:
    with suppress(WebSocketDisconnect, RuntimeError, OSError):
        while True:
            message = await outbox.get()
            if message is None:
                await _farewell(socket, TOO_SLOW, "the page reads too slowly")
                break
            if message == "":
                await _farewell(socket, TAKEN, "this walk goes on in another tab")
                break
            if isinstance(message, bytes):
                await socket.send_bytes(message)
            else:
                await socket.send_text(message)
    both.cancel()


async def _farewell(socket: WebSocket, code: int, line: str) -> None:
    """Say why, and close."""
    with suppress(WebSocketDisconnect, RuntimeError, OSError):
        if socket.application_state == WebSocketState.CONNECTED:
            await socket.send_text(to_text(protocol.in_one_line(line)))
            await socket.close(code, line.encode()[:120].decode(errors="ignore"))
