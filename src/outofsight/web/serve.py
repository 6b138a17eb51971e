"""Running the server: a socket that is free, one line with the address, a browser, and a clean end."""

import errno
import logging
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp

from outofsight.errors import InputError
from outofsight.web.guard import Doors, doors_for
from outofsight.web.protocol import MAX_MESSAGE_BYTES

FIRST_PORT, PORTS_TRIED = 8765, 20
LOCAL = ("127.0.0.1", "localhost", "::1")


def listen(host: str, port: int | None) -> socket.socket:
    """Open the port asked for, or the first free one where none was asked for.

    Raises:
        InputError: the port is busy, or the host is no address of this machine.
    """
    tried = range(FIRST_PORT, FIRST_PORT + PORTS_TRIED) if port is None else (port,)
    for number in tried:
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listening = socket.create_server((host, number), family=family)
            listening.set_inheritable(False)
            return listening
        except OSError as error:
            if error.errno == errno.EADDRINUSE and port is None:
                continue
            if error.errno == errno.EADDRINUSE:
                raise InputError(
                    f"--port {port}: another program listens there; leave it out for a free one"
                ) from error
            if error.errno == errno.EACCES:
                raise InputError(
                    f"--port {number}: not permitted to this user; choose one above 1023"
                ) from error
            raise InputError(f"--host {host}: cannot listen there ({error.strerror or error})") from error
    raise InputError(
        f"ports {FIRST_PORT} to {FIRST_PORT + PORTS_TRIED - 1} are all busy; choose one with --port"
    )


def doors_of(host: str, listening: socket.socket) -> Doors:
    """Say who may come in; a host that others reach needs a token."""
    token = None if host in LOCAL else secrets.token_urlsafe(16)
    return doors_for(listening.getsockname()[1], token)


def address_of(host: str, listening: socket.socket, doors: Doors) -> str:
    """Give the address to open, with the token where there is one."""
    port = listening.getsockname()[1]
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"?token={doors.token}" if doors.token else "")


def serve(app: ASGIApp, listening: socket.socket, *, on_start: Callable[[], None] | None = None) -> None:
    """Serve until Ctrl-C. ``on_start``: called in a thread of its own once the server answers."""
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, ws="websockets-sansio", ws_max_size=MAX_MESSAGE_BYTES,
        ws_ping_interval=20, ws_ping_timeout=20, server_header=False, date_header=False, timeout_graceful_shutdown=3,
        lifespan="on",
    )  # fmt: skip
    server = uvicorn.Server(config)
    if on_start is not None:
        threading.Thread(target=_when_started, args=(server, on_start), daemon=True).start()
    logging.getLogger("uvicorn.error").addFilter(_is_no_farewell)
    with suppress(KeyboardInterrupt):  # uvicorn has ended cleanly, and passes the signal on
        server.run(sockets=[listening])


def open_browser(address: str) -> None:
    """Show the address in a browser, where there is one."""
    webbrowser.open(address)


def _when_started(server: uvicorn.Server, then: Callable[[], None]) -> None:
    tick = threading.Event()
    while not server.started and not server.should_exit:
        tick.wait(0.05)
    if server.started:
        then()


def _is_no_farewell(record: logging.LogRecord) -> bool:
    """Leave out what uvicorn says of pages that are still open when the server ends."""
    return "timeout graceful shutdown exceeded" not in record.getMessage()
