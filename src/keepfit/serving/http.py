"""HTTP: raw ASGI on uvicorn with httptools: who may call, how much, how long. What can be asked is in `routes`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import select
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from keepfit.core.errors import StoreError
from keepfit.serving.access import Access
from keepfit.serving.problems import Problem, Rejection, rejection
from keepfit.serving.settings import Limits

HEAD_SECONDS = 15.0
"""How long a connection may take to send the head of a request."""
HEAD_BYTES = 64_000
IDLE_SECONDS = 75
"""How long a connection is kept between requests."""
LEAVING = 0.25
"""Seconds in which, before the end, every answer tells its client that the connection closes."""

JSON_TYPE = "application/json"
JSON = (b"content-type", JSON_TYPE.encode())
TEXT = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")

_logger = logging.getLogger("keepfit.serving")
_encode = msgspec.json.Encoder().encode


class Request(NamedTuple):
    """What a handler needs to know of a request."""

    path: str
    query: bytes
    body: bytes
    method: str = "POST"
    kind: str = JSON_TYPE
    """Media type of the body, without its parameters."""
    headers: Sequence[tuple[bytes, bytes]] = ()

    def header(self, name: bytes) -> bytes:
        """The value of a header (named in lower case); empty when there is none."""
        return next((value for key, value in self.headers if key == name), b"")


class Reply(NamedTuple):
    """What a handler gives back."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = (JSON,)


Handler = Callable[[Request], Awaitable[Reply]]
Refuse = Callable[[Rejection], Reply]


class Route(NamedTuple):
    """Handlers of one path by method. A path that ends in `/*` stands for all paths below it."""

    handlers: Mapping[str, Handler]
    open: bool = False
    """Whether it needs neither token nor name."""
    takes: Collection[str] = (JSON_TYPE,)
    """Media types a body may have; the empty one stands for a body that says nothing of itself."""
    refuse: Refuse = lambda problem: refusal(problem)
    """How its dialect says what is wrong."""


Seen = Callable[[str, int, float], None]
"""Told of every answer: path, status, seconds."""


class App:
    """The ASGI application."""

    def __init__(self, routes: Mapping[str, Route], access: Access, *, limits: Limits, seen: Seen) -> None:
        self._routes = routes
        self._access = access
        self._limits = limits
        self._seen = seen
        self._open = 0
        self.leaving = False
        """Whether clients are to connect anew for their next request."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        begun = time.perf_counter()
        path: str = scope["path"]
        route = self._routes.get(path) or self._routes.get(path[: path.find("/", 1) + 1] + "*")
        self._open += 1
        try:
            reply = await self._reply(route, scope, receive)
        except Exception as problem:
            reply = (route.refuse if route else refusal)(_rejection(problem, path))
        finally:
            self._open -= 1
        if reply is None:
            return  # the client has gone
        self._seen(path, reply.status, time.perf_counter() - begun)
        headers = [(b"content-length", b"%d" % len(reply.body)), *reply.headers]
        if self.leaving:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    async def _reply(self, route: Route | None, scope: Any, receive: Any) -> Reply | None:
        headers = scope["headers"]
        if route is None or not route.open:
            refused = self._access.check(headers)
            if refused is not None:
                raise refused
        if route is None:
            raise rejection(404, "not-found", "there is nothing at this path", hint="GET /model")
        method = scope["method"]
        handler = route.handlers.get(method)
        if handler is None:
            allowed = ", ".join(route.handlers)
            reply = route.refuse(rejection(405, "method", f"this path takes {allowed}"))
            return reply._replace(headers=(*reply.headers, (b"allow", allowed.encode())))
        path, query = scope["path"], scope["query_string"]
        if method == "GET":
            return await handler(Request(path, query, b"", method, "", headers))
        if self._open > self._limits.requests and not route.open:
            raise rejection(429, "too-many-requests", f"more than {self._limits.requests} requests at once: try again")
        kind = self._kind(headers)
        body = await self._body(receive)
        if body and kind not in route.takes:
            takes = " or ".join(filter(None, route.takes))
            raise rejection(415, "content-type", f"the body must be {takes}", hint=f"send content-type: {takes}")
        return None if body is None else await handler(Request(path, query, body, method, kind, headers))

    def _kind(self, headers: list[tuple[bytes, bytes]]) -> str:
        """The media type of the body; Rejection for one that is larger than allowed, or compressed."""
        kind = ""
        for name, value in headers:
            if name == b"content-type":
                kind = value.partition(b";")[0].strip().lower().decode("latin-1")
            elif name == b"content-length" and int(value) > self._limits.body:
                raise self._too_large()
            elif name == b"content-encoding" and value.strip().lower() != b"identity":
                raise rejection(415, "content-encoding", "the body may not be compressed")
        return kind

    async def _body(self, receive: Any) -> bytes | None:
        """The whole body; None when the client went away before it was complete."""
        event = await receive()
        body: bytes | None = await self._rest(event, receive) if event.get("more_body") else event.get("body")
        if body is not None and len(body) > self._limits.body:
            raise self._too_large()
        return body

    async def _rest(self, event: Any, receive: Any) -> bytes | None:
        """A body that arrives in pieces, the first of which is here."""
        parts, size = [event["body"]], len(event["body"])
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while event["more_body"] and size <= self._limits.body:
                    event = await receive()
                    if event["type"] == "http.disconnect":
                        return None
                    parts.append(event["body"])
                    size += len(event["body"])
        except TimeoutError:
            seconds = self._limits.body_seconds
            raise rejection(408, "timeout", f"the body did not arrive within {seconds:g} s") from None
        return b"".join(parts)

    def _too_large(self) -> Rejection:
        return rejection(413, "too-large", f"the body may not have more than {self._limits.body:,} bytes")


def _rejection(problem: Exception, path: str) -> Rejection:
    """What the sender may know of whatever stood in the way of an answer."""
    if isinstance(problem, Rejection):
        return problem
    if isinstance(problem, StoreError):
        _logger.warning("%s", problem)
        return rejection(503, "storage", "it could not be stored: try again")
    _logger.error("answering %s", path, exc_info=problem)
    return rejection(500, "internal", "this is a fault of the endpoint, not of the request")


def reply(value: Any, *, status: int = 200) -> Reply:
    """A JSON answer."""
    return Reply(status, _encode(value))


def refusal(problem: Rejection, told: Any = None) -> Reply:
    """The answer that says what is wrong, in these words or in ours."""
    headers = [JSON]
    if problem.status in (429, 503):
        headers.append((b"retry-after", b"1"))
    elif problem.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if problem.status in (408, 413, 429):  # the rest of the body is not wanted
        headers.append((b"connection", b"close"))
    return Reply(problem.status, _encode(_Error(problem.problem) if told is None else told), tuple(headers))


class _Error(msgspec.Struct, frozen=True):
    error: Problem


class HttpServer:
    """Runs an application on a socket until told to stop; requests that have begun are answered first."""

    def __init__(self, app: App, sock: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            proxy_headers=False,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=60,
        )
        self._app = app
        self._server = _Server(config)
        self._sock = sock
        self._leaving: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve until `stop`."""
        watch = asyncio.create_task(self._end_slow_heads())
        try:
            await self._server.serve(sockets=[self._sock])
        finally:
            watch.cancel()

    def stop(self) -> None:
        """Ask clients to leave, take no more connections, answer what has been asked, end."""
        self._leaving = self._leaving or asyncio.create_task(self._leave())

    async def _leave(self) -> None:
        """A connection that is closed while its client sends loses a request: first its client is told."""
        self._app.leaving = True
        end = time.monotonic() + LEAVING
        while self._server.server_state.connections and time.monotonic() < end:
            await asyncio.sleep(0.01)
        self._server.should_exit = True

    async def _end_slow_heads(self) -> None:
        while True:
            await asyncio.sleep(1)
            late = time.monotonic() - HEAD_SECONDS
            for connection in list(self._server.server_state.connections):
                since = getattr(connection, "head_since", None)
                if since is not None and since < late:
                    connection.transport.close()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals are the gateway's business


class _Protocol(HttpToolsProtocol):
    """uvicorn's, with bounds on the head of a request."""

    head_since: float | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.head_since = time.monotonic()

    def shutdown(self) -> None:
        """Close, unless the next request is here already: its answer closes the connection."""
        waiting = select.poll()
        waiting.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        if not waiting.poll(0):
            super().shutdown()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.head_since = time.monotonic()

    def on_headers_complete(self) -> None:
        self.head_since, self._head_bytes = None, 0
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.head_since is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.transport.close()
