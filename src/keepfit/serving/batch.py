"""Greedy batching without timers: each batch is whatever queued while the last one was scored."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from keepfit.serving.desired import Release
from keepfit.serving.problems import UNAVAILABLE, Problem
from keepfit.serving.wire import Block, Table, height

LARGEST = 512
"""Rows in one batch, so that single rows do not wait behind whole tables."""
TRIES = 3
"""Times a row may be in a batch whose scorer dies: once beside others, then on its own."""


class Prediction(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The answer for one row."""

    id: str
    prediction: Any
    probabilities: dict[str, float] | None = None


Read = Callable[[Any], Any]
"""The rows of a request as the model with this Signature takes them, as Rows; raises Rejection."""


class Ask:
    """The rows of one request, until all of them have an answer."""

    __slots__ = (
        "answers",
        "block",
        "done",
        "ids",
        "left",
        "logged",
        "pinned",
        "read",
        "release",
        "route",
        "since",
        "size",
        "trial",
        "tries",
    )

    def __init__(
        self,
        block: Block,
        read: Read | None = None,
        *,
        ids: Sequence[str] | None = None,
        logged: bool = True,
        pinned: bool = False,
        route: str = "champion",
        trial: bool = False,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.read = read
        """How another model reads the request."""
        self.pinned = pinned
        """Whether no other release than the one asked may answer."""
        self.ids = ids
        """What the predictions are to be called; None: by ids of ours."""
        self.logged = logged
        self.route = route
        """How it came to whoever answers, for the log."""
        self.trial = trial
        """Whether another model answers at once what this one does not."""
        self.since = time.monotonic()
        self.done: asyncio.Future[None] = loop.create_future()
        self.tries = 0
        self.release: Release | None = None
        """Which release answered."""
        self.restart(block)

    def restart(self, block: Block) -> None:
        """Forget all answers so far: another model will give them."""
        self.block = block
        self.size = self.left = height(block)
        self.answers: list[Prediction | Problem] = [UNAVAILABLE] * self.size

    def give_up(self) -> None:
        """Wait no longer: rows without an answer stay unavailable."""
        self.left = 0
        if not self.done.done():
            self.done.set_result(None)

    def abandon(self) -> None:
        """Give up, and let no answer that still comes be logged."""
        self.logged = False
        self.give_up()

    def answer(self, start: int, answers: Sequence[Prediction | Problem], release: Release | None) -> None:
        """Take the answers of some rows."""
        self.answers[start : start + len(answers)] = answers
        self.left -= len(answers)
        self.release = release or self.release
        if self.left == 0 and not self.done.done():
            self.done.set_result(None)


class Piece(NamedTuple):
    """Neighbouring rows of one request."""

    ask: Ask
    start: int
    stop: int

    @property
    def block(self) -> Block:
        whole = self.ask.block
        return whole.part(self.start, self.stop) if isinstance(whole, Table) else whole[self.start : self.stop]


class Queue:
    """Rows waiting for a scorer."""

    def __init__(self) -> None:
        self._waiting: deque[Piece] = deque()
        self._alone: deque[Piece] = deque()
        self.rows = 0
        self._largest = LARGEST

    def limit(self, *, together: bool) -> None:
        """Whether rows may share a batch."""
        self._largest = LARGEST if together else 1

    def put(self, ask: Ask) -> None:
        """Add all rows of a request; those that a scorer has died of, or beside, stay on their own."""
        if ask.tries:
            starts = range(0, ask.size, LARGEST)
            self._alone.extend(Piece(ask, start, min(start + LARGEST, ask.size)) for start in starts)
        else:
            self._waiting.append(Piece(ask, 0, ask.size))
        self.rows += ask.size

    def put_back(self, pieces: Sequence[Piece]) -> None:
        """Try these again after their scorer died: each on its own, since one of them may be the cause.

        Those that have been tried often enough are answered as unavailable.
        """
        for piece in pieces:
            piece.ask.tries += 1
            if piece.ask.trial or piece.ask.tries >= TRIES:
                piece.ask.answer(piece.start, [UNAVAILABLE] * (piece.stop - piece.start), None)
            else:
                self._alone.append(piece)
                self.rows += piece.stop - piece.start

    def take(self) -> list[Piece]:
        """The next batch: all that waits, up to its largest size; empty when nothing waits."""
        if self._alone:
            pieces = [self._alone.popleft()]
        else:
            pieces, room = [], self._largest
            while room > 0 and self._waiting:
                piece = self._waiting.popleft()
                if piece.stop - piece.start > room:
                    cut = piece.start + room
                    self._waiting.append(piece._replace(start=cut))
                    piece = piece._replace(stop=cut)
                pieces.append(piece)
                room -= piece.stop - piece.start
        self.rows -= sum(p.stop - p.start for p in pieces)
        return pieces

    @property
    def since(self) -> float:
        """Since when the request that is next has waited (as time.monotonic); infinity when none waits."""
        return min((queue[0].ask.since for queue in (self._alone, self._waiting) if queue), default=math.inf)

    def drop(self, give_up: Callable[[Ask], bool]) -> list[Ask]:
        """Take out the requests that `give_up` says yes to; each once, however many pieces it has."""
        gone: dict[int, Ask] = {}
        for queue in (self._alone, self._waiting):
            pieces = list(queue)
            queue.clear()
            for piece in pieces:
                if give_up(piece.ask):
                    gone[id(piece.ask)] = piece.ask
                    self.rows -= piece.stop - piece.start
                else:
                    queue.append(piece)
        return list(gone.values())
