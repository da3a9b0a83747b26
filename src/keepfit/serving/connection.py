"""HTTP/1.1 on a socket (RFC 9112, parsed by httptools): requests in their order, within bounds of size and time.

What requests mean, and who may send them, is the application's business (`http.App`).
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import select
import socket
import time
from collections import deque
from typing import Literal
from urllib.parse import unquote

import httptools

from keepfit.serving.http import App, Exchange, Reply, not_http
from keepfit.serving.problems import Rejection

HEAD_SECONDS = 15.0
"""How long a connection may take to send the head of a request."""
HEAD_BYTES = 64_000
IDLE_SECONDS = 75.0
"""How long a connection is kept between requests, or while its client reads nothing."""
LINGERING = 2.0
"""Seconds in which a client may read the last answer; a socket closed before takes the answer away from it."""
DRAINING = 0.25
"""Seconds idle connections are kept when the server stops: what comes on them is answered, and its client told."""
SETTLING = 0.05
"""Seconds until connections that were accepted just before the end are known."""
ENDING = 60.0
"""Seconds a server that stops waits for answers."""
LOOKING = 0.25
"""Seconds between two looks at connections that take too long."""

_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\ncontent-length: ".encode() for s in http.HTTPStatus}


class HttpServer:
    """Runs an application on a socket until told to stop; requests that have begun are answered first."""

    def __init__(self, app: App, sock: socket.socket) -> None:
        self._app = app
        self._sock = sock
        self._connections: set[_Connection] = set()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Serve until `stop`."""
        server = await asyncio.get_running_loop().create_server(self._connect, sock=self._sock, backlog=2048)
        try:
            while not self._stopping.is_set():
                self._look(IDLE_SECONDS)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), LOOKING)
            server.close()
            begun = time.monotonic()
            while (waited := time.monotonic() - begun) < SETTLING or (self._connections and waited < ENDING):
                for connection in self._connections:
                    connection.last = True
                self._look(DRAINING)
                await asyncio.sleep(0.01)
        finally:
            server.close()
            for connection in list(self._connections):
                connection.abort()

    def stop(self) -> None:
        """Take no more connections, answer what has been asked, end."""
        self._stopping.set()

    def _connect(self) -> _Connection:
        return _Connection(self._app, self._connections)

    def _look(self, idle: float) -> None:
        now = time.monotonic()
        for connection in list(self._connections):
            connection.look(now, idle)


class _Connection(asyncio.Protocol):
    """One client. A request is answered when those before it have been."""

    def __init__(self, app: App, others: set[_Connection]) -> None:
        self.last = False
        """Whether the next answer is the last."""
        self._app = app
        self._others = others
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._state: Literal["head", "body", "idle", "ending"] = "head"
        self._since = time.monotonic()
        self._head_bytes = 0
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._coming: Exchange | None = None
        """The request whose body is arriving."""
        self._queue: deque[Exchange] = deque()
        self._task: asyncio.Task[None] | None = None
        self._writable = self._reading = True
        self._ended = False
        """Whether the client sends nothing more."""

    # -- of asyncio

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._others.add(self)

    def data_received(self, data: bytes) -> None:
        if self._state == "ending":
            return
        in_head = self._state == "head"
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # the request itself is answered; nothing is upgraded
            self.last = True
            if self._resting:
                self._end()
        except httptools.HttpParserError:
            self._refuse_all()
            return
        if self._state == "head" and in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._transport.close()

    def eof_received(self) -> bool:
        self._ended = True
        return not self._resting

    def pause_writing(self) -> None:
        self._writable, self._since = False, time.monotonic()

    def resume_writing(self) -> None:
        self._writable, self._since = True, time.monotonic()
        self._next()

    def connection_lost(self, problem: Exception | None) -> None:
        self._others.discard(self)
        self._forget()
        self._state = "ending"

    # -- of httptools

    def on_message_begin(self) -> None:
        if self._state == "ending":
            return
        self._state, self._since = "head", time.monotonic()
        self._head_bytes, self._url, self._headers = 0, b"", []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._state == "head":  # no trailers
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._state == "ending":
            return
        self._state, self._since = "body", time.monotonic()
        path, query = _target(self._url)
        exchange = self._app.open(self._parser.get_method().decode(), path, query, self._headers)
        exchange.keep = self._parser.should_keep_alive()
        exchange.old = self._parser.get_http_version() == "1.0"
        waits = any(name == b"expect" and value.lower() == b"100-continue" for name, value in self._headers)
        if exchange.reply is not None:
            exchange.keep &= not waits  # else its body could be taken for the next request
            self._put(exchange)
            return
        self._coming = exchange
        if waits and self._resting:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        if self._coming is None:
            return
        try:
            self._app.take(self._coming, body)
        except Rejection as problem:
            self._refuse(problem)

    def on_message_complete(self) -> None:
        if self._state == "ending":
            return
        self._state, self._since = "idle", time.monotonic()
        exchange, self._coming = self._coming, None
        if exchange is not None:
            self._put(exchange)

    # -- own

    def look(self, now: float, idle: float) -> None:
        """End what takes too long."""
        waited = now - self._since
        if not self._writable:
            if waited > IDLE_SECONDS:
                self._transport.abort()
        elif self._state == "ending":
            if waited > LINGERING:
                self._transport.close()
        elif self._state == "body":
            if (late := self._app.late(waited)) and self._coming is not None:
                self._refuse(late)
            elif late:
                self._transport.close()
        elif self._state == "head":
            silent = self.last and self._head_bytes == 0
            if waited > (idle if silent else HEAD_SECONDS) and not (silent and self._has_more()):
                self._transport.close()
        elif self._state == "idle" and self._resting and waited > idle and not self._has_more():
            self._transport.close()

    def _has_more(self) -> bool:
        """Whether the next request is here already: its answer then closes the connection."""
        waiting = select.poll()
        waiting.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(waiting.poll(0))

    def abort(self) -> None:
        """Close without further words."""
        self._transport.abort()

    @property
    def _resting(self) -> bool:
        """Whether nothing is to be answered."""
        return self._task is None and not self._queue

    def _put(self, exchange: Exchange) -> None:
        self._queue.append(exchange)
        self._next()

    def _next(self) -> None:
        while self._queue and self._task is None and self._writable and self._state != "ending":
            exchange = self._queue.popleft()
            if exchange.reply is None:
                self._task = self._loop.create_task(self._answer(exchange))
            else:
                self._write(exchange, exchange.reply)
        self._read(not self._queue)  # more is read when what is here has been taken up

    def _read(self, more: bool) -> None:
        if more != self._reading and not self._transport.is_closing():
            self._reading = more
            if more:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    async def _answer(self, exchange: Exchange) -> None:
        reply = await self._app.answer(exchange)
        self._task = None
        self._write(exchange, reply)
        self._next()

    def _write(self, exchange: Exchange, reply: Reply) -> None:
        self._app.close(exchange, reply)
        if self._transport.is_closing():
            return
        says = any(name == b"connection" for name, _ in reply.headers)
        keep = exchange.keep and not (says or self.last or (self._ended and not self._queue))
        parts = [_LINES[reply.status], b"%d\r\n" % len(reply.body)]
        parts += [b"%b: %b\r\n" % header for header in reply.headers]
        if not keep and not says:
            parts.append(b"connection: close\r\n")
        elif exchange.old and keep:
            parts.append(b"connection: keep-alive\r\n")
        parts.append(b"\r\n")
        if exchange.request.method != "HEAD":
            parts.append(reply.body)
        self._transport.write(b"".join(parts))
        self._since = time.monotonic() if self._state == "idle" else self._since
        if not keep:
            self._end()

    def _refuse(self, problem: Rejection) -> None:
        """Say what is wrong with the request that is arriving, whose body is not wanted any more."""
        exchange, self._coming = self._coming, None
        assert exchange is not None
        exchange.reply, exchange.keep = exchange.refuse(problem), False
        self._put(exchange)

    def _refuse_all(self) -> None:
        """What comes is not HTTP: nothing after it can be understood."""
        if self._coming is not None:
            self._app.leave(self._coming)
            self._coming = None
        exchange = self._app.open("", "", b"", [])
        exchange.reply, exchange.keep = not_http(), False
        self._put(exchange)

    def _end(self) -> None:
        """Say no more, and wait until the client has read it."""
        self._forget()
        self._state, self._since = "ending", time.monotonic()
        if self._ended:
            self._transport.close()
            return
        self._read(True)  # also what is thrown away must be read, or the answer may be lost
        with contextlib.suppress(OSError, RuntimeError):
            self._transport.write_eof()

    def _forget(self) -> None:
        for exchange in [*self._queue, *([self._coming] if self._coming else [])]:
            self._app.leave(exchange)
        self._queue.clear()
        self._coming = None


def _target(url: bytes) -> tuple[str, bytes]:
    """Path, unquoted, and query of a request's target (RFC 9112, 3.2); an empty path for what is none."""
    if not url.startswith(b"/"):
        try:
            parsed = httptools.parse_url(url)
        except httptools.HttpParserInvalidURLError:
            return "", b""
        path, query = parsed.path or b"/", parsed.query or b""
    else:
        path, _, query = url.partition(b"?")
    text = path.decode("latin-1")
    return (unquote(text) if "%" in text else text), query
