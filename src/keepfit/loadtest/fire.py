"""Sends a load, and looks at every answer: its status, its values and the version that gave it.

Of an open load, the latency of an answer counts from when its request was due, not from when there
was a connection to send it on: a server that stalls is charged for all who would have asked meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import select
import selectors
import socket
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from keepfit.core.errors import ServingError
from keepfit.loadtest.connection import Answer, Connection
from keepfit.loadtest.load import Figures, Load, distribution, ordered, quantiles
from keepfit.loadtest.questions import Questions
from keepfit.serving.endpoint import headers

SHOWN = 5
"""Examples that are kept of what went wrong."""
STEP = 0.2
"""Seconds between two looks at whether to stop."""


class Target(NamedTuple):
    """Where requests go."""

    url: str
    token: str
    path: str = "/predict"
    kind: str = "application/json"


def fire(target: Target, questions: Questions, load: Load, *, stop: Callable[[float], bool] | None = None) -> Figures:
    """What came of the load. `stop` is asked a few times a second, told the seconds so far, and ends it early.

    Raises ServingError when nothing listens there at the start.
    """
    with contextlib.closing(_Generator(target, questions, load)) as generator:
        return generator.run(stop or (lambda seconds: False))


class _Generator:
    def __init__(self, target: Target, questions: Questions, load: Load) -> None:
        self._load = load
        self._questions = questions
        self._requests = [_request(target, body) for body in questions.bodies]
        self._turn = itertools.cycle(range(len(self._requests)))
        self._family, self._address = _resolved(target.url)
        self._selector = selectors.DefaultSelector()
        self._idle: deque[Connection] = deque()
        self._open: set[Connection] = set()
        self._waiting: deque[float] = deque()
        """When requests were due for which there is no connection yet."""
        self._latency = array("d")
        self._statuses: Counter[str] = Counter()
        self._versions: Counter[str] = Counter()
        self._examples: list[str] = []
        self._wrong = self._sent = self._right = 0
        self._late = self._looked = 0.0
        self._sending = True

    def close(self) -> None:
        for connection in self._open:
            connection.close()
        self._selector.close()

    def run(self, stop: Callable[[float], bool]) -> Figures:
        begun = time.perf_counter()
        ended = self._closed(begun, stop) if self._load.rate is None else self._open_loop(begun, stop)
        self._sending = False
        self._drain(ended + self._load.patience)
        seconds = ended - begun
        return Figures(
            sent=self._sent,
            answered=self._right,
            seconds=seconds,
            rate=len(self._latency) / max(seconds, 1e-9),
            statuses=ordered(self._statuses),
            wrong=self._wrong,
            examples=self._examples,
            versions=ordered(self._versions),
            latency=quantiles(self._latency),
            late=self._late,
            distribution=distribution(self._latency),
        )

    def _closed(self, begun: float, stop: Callable[[float], bool]) -> float:
        end = begun + self._load.seconds
        while (now := time.perf_counter()) < end and not self._look(now, begun, stop):
            for _ in range(self._load.connections - len(self._open) + len(self._idle)):
                self._ask(now)
            self._hear(min(end, now + STEP))
        return now

    def _open_loop(self, begun: float, stop: Callable[[float], bool]) -> float:
        for after in self._load.times():
            due = begun + after
            while (now := time.perf_counter()) < due:
                self._hear(min(due, now + STEP))
            self._late = max(self._late, now - due)
            self._ask(due)
            self._hear(now)
            if self._look(now, begun, stop):
                break
        return time.perf_counter()

    def _look(self, now: float, begun: float, stop: Callable[[float], bool]) -> bool:
        """Now and then: give up what nobody answers, and see whether to stop."""
        if now - self._looked < STEP:
            return False
        self._looked = now
        self._give_up(now)
        return stop(now - begun)

    def _drain(self, until: float) -> None:
        """Hear what is still under way; what has no answer in the end is counted as not answered."""
        while (len(self._open) > len(self._idle) or self._waiting) and (now := time.perf_counter()) < until:
            self._hear(min(until, now + STEP))
        self._give_up(float("inf"))

    def _give_up(self, now: float) -> None:
        overdue = now - self._load.patience
        for connection in [c for c in self._open if c.question >= 0 and c.due < overdue]:
            self._failed("no answer", f"no answer within {self._load.patience:g} s")
            self._drop(connection)
        while self._waiting and self._waiting[0] < overdue:
            self._waiting.popleft()
            self._failed("no answer", f"no connection within {self._load.patience:g} s")

    def _ask(self, due: float) -> None:
        """Send the next request, or have it wait for a connection."""
        self._sent += 1
        self._send_when_free(due)

    def _send_when_free(self, due: float) -> None:
        while self._idle and self._idle[0].closed:
            self._drop(self._idle[0])
        if self._idle:
            connection = self._idle.popleft()  # those idle for longest first, so that none is forgotten
        elif len(self._open) < self._load.connections:
            try:
                connection = Connection(self._family, self._address)
            except OSError as problem:
                self._failed("not connected", _words(problem))
                return
            self._open.add(connection)
            self._selector.register(connection.socket, selectors.EVENT_READ, connection)
        else:
            self._waiting.append(due)
            return
        connection.due, connection.question = due, next(self._turn)
        try:
            if connection.send(self._requests[connection.question]):
                events = selectors.EVENT_READ | selectors.EVENT_WRITE
                self._selector.modify(connection.socket, events, connection)
        except OSError as problem:
            self._broke(connection, problem)

    def _hear(self, until: float) -> None:
        """Wait for what comes, no longer than this, and deal with it."""
        timeout = until - time.perf_counter()
        if timeout > 0:  # select's clock is finer than that of epoll, which counts in milliseconds
            select.select([self._selector], [], [], timeout)
        for key, events in self._selector.select(0):
            connection: Connection = key.data
            try:
                if events & selectors.EVENT_WRITE and not connection.flush():
                    self._selector.modify(connection.socket, selectors.EVENT_READ, connection)
                answer = connection.receive() if events & selectors.EVENT_READ else None
            except OSError as problem:
                self._broke(connection, problem)
                continue
            if answer is not None:
                self._answered(connection, answer)

    def _answered(self, connection: Connection, answer: Answer) -> None:
        self._latency.append(time.perf_counter() - connection.due)
        question, connection.question = connection.question, -1
        self._judge(question, answer)
        if answer.closing:
            self._drop(connection)
        else:
            self._idle.append(connection)
        self._go_on()

    def _go_on(self) -> None:
        if self._waiting:
            self._send_when_free(self._waiting.popleft())
        elif self._load.rate is None and self._sending:
            self._ask(time.perf_counter())

    def _judge(self, question: int, answer: Answer) -> None:
        self._statuses[str(answer.status)] += 1
        if answer.status != 200:
            self._example(f"{answer.status}: {answer.body[:200].decode(errors='replace')}")
            return
        version, problem = self._questions.judge(question, answer.body)
        self._versions[version] += 1
        if problem:
            self._wrong += 1
            self._example(problem)
        else:
            self._right += 1

    def _broke(self, connection: Connection, problem: OSError) -> None:
        """A connection has ended; that is a fault only when an answer was still to come."""
        asked = connection.question >= 0
        self._drop(connection)
        if asked:
            kind = "not connected" if isinstance(problem, ConnectionRefusedError) else "broken off"
            self._failed(kind, _words(problem))
            self._go_on()

    def _drop(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection.question < 0:
            with contextlib.suppress(ValueError):
                self._idle.remove(connection)
        self._selector.unregister(connection.socket)
        connection.close()

    def _failed(self, kind: str, words: str) -> None:
        self._statuses[kind] += 1
        self._example(f"{kind}: {words}")

    def _example(self, text: str) -> None:
        if len(self._examples) < SHOWN and text not in self._examples:
            self._examples.append(text)


def _request(target: Target, body: bytes) -> bytes:
    told = {"Host": urlsplit(target.url).netloc, **headers(target.token), "Content-Type": target.kind}
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    head = f"POST {target.path} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _resolved(url: str) -> tuple[int, tuple[str, int]]:
    at = urlsplit(url)
    try:
        with socket.create_connection((at.hostname or "", at.port or 80), timeout=10) as found:
            return found.family, found.getpeername()[:2]
    except OSError as problem:
        raise ServingError(f"{url} does not answer: {_words(problem)}", hint="keepfit up") from problem


def _words(problem: OSError) -> str:
    return problem.strerror or errno.errorcode.get(problem.errno or 0, type(problem).__name__)
