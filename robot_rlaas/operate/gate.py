"""The web server of the operator's page: it lets in who may, hands out the page, and carries wishes and news.

The 3D scene has a server of its own on the loopback address. It is handed through here, so that the page is in one
place and nobody reaches any of it from another machine without the token.
"""

import asyncio
import json
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

LIVE, SCENE = "/live", ("/scene/", "/scene")  # viser's page leaves the last slash away
WISHES = ("stop", "reset", "start", "pause")
SAFE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; frame-src 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
CLOSING_S = 0.5  # for the last word to leave


class Gate:
    """Serves a page in a thread of its own. Use as a context manager.

    Args:
        host, port: where.
        token: of who may come in; empty lets in whoever addresses this machine by a name of its own.
        page: HTML.
        scene: the scene's HTML, and its server as "127.0.0.1:PORT".
        wish: is called with one of WISHES, in the server's thread.
    """

    def __init__(
        self, host: str, port: int, token: str, page: str, scene: tuple[str, str], wish: Callable[[str], None]
    ) -> None:
        self._where, self._token, self._wish = (host, port), token, wish
        self._page, (self._scene_page, self._scene) = page, scene
        self._names = {f"{name}:{port}" for name in (host, "localhost", "127.0.0.1", "[::1]")}
        self._cookie = f"rlaas_{port}"
        self._live: set[ServerConnection] = set()
        self._last, self._loop, self._up = "{}", asyncio.new_event_loop(), threading.Event()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)

    def __enter__(self) -> "Gate":
        self._thread.start()
        if not self._up.wait(10.0):
            raise OSError(f"cannot listen at {self._where}")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()
        self._loop.close()

    def tell(self, news: dict[str, Any]) -> None:
        """Send news to every open page, from any thread. A page that reads too slowly delays nobody."""
        self._last = json.dumps(news)
        self._loop.call_soon_threadsafe(broadcast, self._live, self._last)

    async def _serve(self) -> None:
        options = {"compression": None, "max_size": None, "select_subprotocol": _first}
        async with serve(self._talk, *self._where, process_request=self._answer, **options):
            self._up.set()
            await self._closing.wait()
            await asyncio.sleep(CLOSING_S)

    async def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """What is not a socket of a page that may have one."""
        way = urlsplit(request.path)
        given = parse_qs(way.query).get("token", [""])[0] or self._kept(request)
        if not self._may(request, given):
            text = "Open the address that the deployment printed, with its token.\n"
            return connection.respond(HTTPStatus.FORBIDDEN, text)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return None if way.path in (LIVE, *SCENE) else connection.respond(HTTPStatus.NOT_FOUND, "")
        if way.path == "/":
            return _html(self._page, SAFE | self._keep())
        if way.path in SCENE:
            return _html(self._scene_page, {"Cache-Control": "no-store"})
        return connection.respond(HTTPStatus.NOT_FOUND, "")

    def _may(self, request: Request, given: str) -> bool:
        """Whether a request is of somebody who may, and not made by some other site in his browser."""
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return False
        if self._token:
            return secrets.compare_digest(given.encode(), self._token.encode())
        return host in self._names

    def _kept(self, request: Request) -> str:
        try:
            kept = SimpleCookie(request.headers.get("Cookie", "")).get(self._cookie)
        except CookieError:
            return ""
        return kept.value if kept else ""

    def _keep(self) -> dict[str, str]:
        if not self._token:
            return {}
        return {"Set-Cookie": f"{self._cookie}={self._token}; HttpOnly; SameSite=Strict; Path=/"}

    async def _talk(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        if urlsplit(connection.request.path).path in SCENE:
            await self._hand_through(connection)
            return
        self._live.add(connection)
        with suppress(ConnectionClosed):
            await connection.send(self._last)
            async for wish in connection:
                if wish in WISHES:
                    self._wish(str(wish))
        self._live.discard(connection)

    async def _hand_through(self, browser: ServerConnection) -> None:
        kind = [browser.subprotocol] if browser.subprotocol else None
        async with connect(f"ws://{self._scene}/", subprotocols=kind, compression=None, max_size=None) as scene:
            pumps = {asyncio.create_task(_pump(*ends)) for ends in ((browser, scene), (scene, browser))}
            _, left = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in left:
                pump.cancel()


async def _pump(source: Any, sink: Any) -> None:
    with suppress(ConnectionClosed):
        async for message in source:
            await sink.send(message)


def _first(connection: ServerConnection, offered: Any) -> Any:
    return next(iter(offered), None)


def _html(page: str, headers: dict[str, str]) -> Response:
    content = page.encode()
    told = {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(content))} | headers
    return Response(HTTPStatus.OK, "OK", Headers(**told), content)
