"""One HTTP/1.1 connection on a socket that never blocks: a request out, its answer in, as cheaply as Python can."""

from __future__ import annotations

import errno
import socket
from typing import NamedTuple

from keepfit.core.errors import ServingError

_CHUNK = 1 << 18


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes
    closing: bool
    """Whether no further request may be sent on this connection."""


class Connection:
    """Not connected until the first request; OSError from `send` and `receive` when it breaks."""

    __slots__ = ("_in", "_out", "due", "question", "socket")

    def __init__(self, family: int, address: tuple[str, int]) -> None:
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reason = self.socket.connect_ex(address)
        if reason not in (0, errno.EINPROGRESS):
            self.socket.close()
            raise OSError(reason, errno.errorcode.get(reason, "connect"))
        self._out = b""
        self._in = b""
        self.due = 0.0
        """When the request that is under way should have been sent."""
        self.question = -1
        """Which it is; -1 when none is."""

    @property
    def closed(self) -> bool:
        """Whether the other side closed it while it was idle: clients that keep connections look before they send."""
        try:
            return not self.socket.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True

    def send(self, request: bytes) -> bool:
        """Send as much as the socket takes; whether something is left, to be sent by `flush` once it takes more."""
        self._out = request
        return self.flush()

    def flush(self) -> bool:
        try:
            sent = self.socket.send(self._out)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError as problem:
            if problem.errno == errno.ENOTCONN:  # not yet
                return True
            raise
        self._out = self._out[sent:]
        return bool(self._out)

    def receive(self) -> Answer | None:
        """The answer, once all of it is here; ConnectionResetError when the other side closed before."""
        try:
            data = self.socket.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return None
        if not data:
            raise ConnectionResetError(errno.ECONNRESET, "closed")
        if self._in:
            data = self._in + data
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            head = data[:end].lower()
            start, length = end + 4, _length(head)
            if len(data) >= start + length:
                self._in = b""
                return Answer(int(head[9:12]), data[start:], b"connection: close" in head)
        self._in = data
        return None

    def close(self) -> None:
        self.socket.close()


def _length(head: bytes) -> int:
    at = head.find(b"content-length:")
    if at < 0 or not head.startswith(b"http/1.1 "):
        raise ServingError("this is not an answer of keepfit's endpoint: it has no content-length")
    end = head.find(b"\r\n", at)
    return int(head[at + 15 : end if end >= 0 else None])
