"""Many requests at once over a few connections."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import cast
from urllib.parse import urlsplit

import httptools

from keepfit.serving.endpoint import headers, no_answer


class Client:
    """An HTTP/1.1 client for one endpoint; as many requests at once as it has connections, the others wait.

    Nothing is ever sent twice: a request whose connection breaks raises ServingError.
    """

    def __init__(self, url: str, token: str, connections: int = 64, *, kind: str = "application/json") -> None:
        """`kind` is the media type of all bodies."""
        at = urlsplit(url)
        self._url = url
        self._host, self._port = at.hostname or "", at.port or 80
        lines = {"Host": at.netloc, **headers(token), "Content-Type": kind}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode()
        self._idle: deque[_Connection] = deque()
        self._free = asyncio.Semaphore(connections)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            self._idle.pop().close()

    async def request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and body of the answer; ServingError when there is none."""
        content = body or b""
        head = b"%s %s HTTP/1.1\r\n%scontent-length: %d\r\n\r\n" % (
            *(method.encode(), path.encode(), self._head),
            len(content),
        )
        async with self._free:
            connection = await self._connect()
            try:
                answer = await connection.ask(head + content)
            except OSError as problem:
                raise no_answer(self._url, problem) from problem
            finally:
                if connection.reusable:
                    self._idle.append(connection)
                else:
                    connection.close()
            return answer

    async def _connect(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
        try:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(_Connection, self._host, self._port)
        except OSError as problem:
            raise no_answer(self._url, problem) from problem
        return connection


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._body: list[bytes] = []

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent."""
        return self._transport is not None and not self._transport.is_closing() and self._answer is None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        if self._transport is None:
            raise ConnectionResetError("the connection is closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._body = []
        self._transport.write(request)
        return await self._answer  # when cancelled, the answer is still to come: the connection is not reusable

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail(exc if isinstance(exc, OSError) else ConnectionResetError("the connection was closed"))

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as problem:
            self._fail(ConnectionError(f"not an HTTP answer: {problem}"))
            self.close()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        answer, self._answer = self._answer, None
        if not self._parser.should_keep_alive():
            self.close()
        if answer is not None and not answer.done():
            answer.set_result((self._parser.get_status_code(), b"".join(self._body)))

    def _fail(self, problem: Exception) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(problem)
