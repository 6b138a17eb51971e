"""Who may speak to the server: this machine's own pages, or who knows the token.

* **Host** must be a name of this machine's loopback (or, with a token, whatever the server is reached by): a foreign
  name that was rebound to 127.0.0.1 is refused.
* **Origin**, where a browser sends one, must be the server's own; WebSockets must send one.
* With a **token** every request needs it: once in the address, then in a cookie that scripts cannot read.
"""

import secrets
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
COOKIE = "outofsight"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cache-Control", "no-cache"),
)


@dataclass(frozen=True, kw_only=True)
class Doors:
    """What lets a request in. ``hosts``: values of Host; empty: any, as the ``token`` then guards alone."""

    hosts: frozenset[str]
    token: str | None = None

    def refusal(self, scope: Scope) -> str | None:
        """Say why a request is refused; ``None``: it may come in."""
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if self.hosts and host not in self.hosts:
            return "this server answers to its own address alone"
        origin = headers.get("origin")
        if origin is None and scope["type"] == "websocket":
            return "a WebSocket must say where it comes from (Origin)"
        if origin is not None and not _is_own(origin, host):
            return "another site's page may not use this server"
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not _is_visit(headers):
            return "another site's page may not use this server"
        if self.token is not None and not self._knows(scope, headers):
            return "this server needs the token that its start has printed in the address"
        return None

    def given_token(self, scope: Scope) -> bool:
        """Whether the right token stands in the address."""
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        return self.token is not None and _same(given, self.token)

    def _knows(self, scope: Scope, headers: Headers) -> bool:
        assert self.token is not None
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        return self.given_token(scope) or (cookie is not None and _same(cookie.value, self.token))


def doors_for(port: int, token: str | None) -> Doors:
    """Say who may come in at a port of this machine."""
    names = LOOPBACK if token is None else ()
    hosts = {f"{name}:{port}" for name in names} | (set(names) if port == 80 else set())
    return Doors(hosts=frozenset(hosts), token=token)


class Guard:
    """Refuses what may not come in, and adds headers that keep the page to itself."""

    def __init__(self, app: ASGIApp, doors: Doors) -> None:
        self.app, self.doors = app, doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        why = self.doors.refusal(scope)
        if why is None:
            cookie = self.doors.given_token(scope)
            await self.app(scope, receive, self._with_headers(send, cookie=cookie))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": why})
        else:
            response = PlainTextResponse(why + "\n", status_code=403)
            await response(scope, receive, self._with_headers(send, cookie=False))

    def _with_headers(self, send: Send, *, cookie: bool) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS:
                    headers.setdefault(name, value)
                if cookie:
                    headers.append(
                        "Set-Cookie", f"{COOKIE}={self.doors.token}; HttpOnly; SameSite=Strict; Path=/"
                    )
            await send(message)

        return sending


def _is_own(origin: str, host: str) -> bool:
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host


def _is_visit(headers: Headers) -> bool:
    """Whether someone follows a link to the page, which shows it and tells the other site nothing."""
    return headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"


def _same(given: str, token: str) -> bool:
    return secrets.compare_digest(given.encode(), token.encode())
