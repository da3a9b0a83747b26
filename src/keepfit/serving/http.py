"""Requests and answers: who may call, how much, how long. What can be asked is in `routes`, the wire `connection`."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from keepfit.core.errors import StoreError
from keepfit.serving.access import Access
from keepfit.serving.problems import Problem, Rejection, rejection
from keepfit.serving.settings import Limits

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


class Exchange:
    """A request, from its head to its answer."""

    __slots__ = ("begun", "handler", "keep", "old", "parts", "reply", "request", "route", "size")

    def __init__(self, route: Route | None, request: Request) -> None:
        self.begun = time.perf_counter()
        self.route = route
        self.request = request
        self.handler: Handler | None = None
        self.reply: Reply | None = None
        """Known already when the head was refused."""
        self.parts: list[bytes] = []
        self.size = 0
        """Bytes of the body so far."""
        self.keep = True
        """Whether the client wants to go on on this connection."""
        self.old = False
        """Whether it speaks HTTP/1.0."""

    def refuse(self, problem: Rejection) -> Reply:
        """The answer that says what is wrong, as the route's dialect says it."""
        return (self.route.refuse if self.route else refusal)(problem)


class App:
    """What is done with requests. Whatever was opened is closed, or left."""

    def __init__(self, routes: Mapping[str, Route], access: Access, *, limits: Limits, seen: Seen) -> None:
        self._routes = routes
        self._access = access
        self._limits = limits
        self._seen = seen
        self._open = 0
        self._held = 0

    def open(self, method: str, path: str, query: bytes, headers: Sequence[tuple[bytes, bytes]]) -> Exchange:
        """Take up a request by its head; one that is refused has its reply."""
        route = self._routes.get(path) or self._routes.get(path[: path.find("/", 1) + 1] + "*")
        exchange = Exchange(route, Request(path, query, b"", method, "", headers))
        self._open += 1
        try:
            self._look(exchange)
        except Rejection as problem:
            exchange.reply = exchange.refuse(problem)
        return exchange

    def take(self, exchange: Exchange, body: bytes) -> None:
        """A piece of the body has come; Rejection when that is too much."""
        exchange.parts.append(body)
        exchange.size += len(body)
        self._held += len(body)
        if exchange.size > self._limits.body:
            raise self._too_large()
        if self._held > self._limits.held:
            raise rejection(503, "busy", "too many large bodies are being answered: try again")

    def late(self, seconds: float) -> Rejection | None:
        """What to say to a client whose body has not come whole in so many seconds; None when it has time still."""
        if seconds <= self._limits.body_seconds:
            return None
        return rejection(408, "timeout", f"the body did not arrive within {self._limits.body_seconds:g} s")

    async def answer(self, exchange: Exchange) -> Reply:
        """The answer to a request that has come whole. Raises nothing."""
        route, request = exchange.route, exchange.request
        assert route and exchange.handler
        try:
            if request.method == "GET":
                return await exchange.handler(request)
            if exchange.size and request.kind not in route.takes:
                takes = " or ".join(filter(None, route.takes))
                raise rejection(415, "content-type", f"the body must be {takes}", hint=f"send content-type: {takes}")
            parts = exchange.parts
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            return await exchange.handler(request._replace(body=body))
        except Exception as problem:
            return exchange.refuse(_rejection(problem, request.path))

    def close(self, exchange: Exchange, reply: Reply) -> None:
        """The answer goes out."""
        self.leave(exchange)
        self._seen(exchange.request.path, reply.status, time.perf_counter() - exchange.begun)

    def leave(self, exchange: Exchange) -> None:
        """The client has gone."""
        self._open -= 1
        self._held -= exchange.size
        exchange.size = 0

    def _look(self, exchange: Exchange) -> None:
        """See whether the head will do; Rejection otherwise."""
        route, request = exchange.route, exchange.request
        if route is None or not route.open:
            refused = self._access.check(request.headers)
            if refused is not None:
                raise refused
        if route is None:
            raise rejection(404, "not-found", "there is nothing at this path", hint="GET /model")
        exchange.handler = route.handlers.get(request.method)
        if exchange.handler is None:
            allowed = ", ".join(route.handlers)
            reply = route.refuse(rejection(405, "method", f"this path takes {allowed}"))
            exchange.reply = reply._replace(headers=(*reply.headers, (b"allow", allowed.encode())))
        elif request.method != "GET":
            if self._open > self._limits.requests and not route.open:
                most = self._limits.requests
                raise rejection(429, "too-many-requests", f"more than {most} requests at once: try again")
            exchange.request = request._replace(kind=self._kind(request.headers))

    def _kind(self, headers: Sequence[tuple[bytes, bytes]]) -> str:
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

    def _too_large(self) -> Rejection:
        return rejection(413, "too-large", f"the body may not have more than {self._limits.body:,} bytes")


def not_http() -> Reply:
    """The answer to what is no request."""
    return refusal(rejection(400, "not-http", "this is not HTTP/1.1"))


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
