"""The gateway's side of one resident release: its queue, its scorer process, and what happens when that dies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from keepfit.core.errors import KeepfitError, PackageError, StoreError
from keepfit.core.memory import held_by
from keepfit.packages.package import Manifest
from keepfit.serving.batch import Ask, Piece, Prediction, Queue
from keepfit.serving.conduct import Tally
from keepfit.serving.desired import Release
from keepfit.serving.frames import FromScorer, Ready, Score, Scored, ToScorer, Unfit
from keepfit.serving.ids import Ids
from keepfit.serving.journal import Source, packed
from keepfit.serving.link import Link, open_link
from keepfit.serving.log import Log
from keepfit.serving.metrics import Metrics
from keepfit.serving.problems import NOT_FINITE, ROW_PROBLEMS, Problem
from keepfit.serving.signature import Signature

LOADING = 120.0
"""Seconds a scorer may take to load and prove itself again, after its package has done so before."""
GATHERING = 0.02
"""Seconds for which a mirrored model lets rows gather: few large batches cost the gateway little."""
GIVING_WAY = 1.0
"""Seconds for which it waits at most for a moment in which nobody waits for an answer."""
PATIENT = 10
"""How many times as long a mirrored model may take, since its process gets what others leave."""
LOOKING = 0.05
"""Seconds between two looks at the memory of a scorer that loads."""
PAUSES = (0.5, 1.0, 2.0, 5.0)
"""Seconds before a scorer is started again, after so many failed starts in a row."""

_logger = logging.getLogger("keepfit.serving")


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What all lanes of a gateway use."""

    records: Path
    log: Log
    shadow: Log
    """The log of mirrored models, whose answers never leave."""
    metrics: Metrics
    ids: Ids
    hang: float
    """Seconds the scorer may work on one batch."""
    starting: float = LOADING
    """Seconds a new package may take to load and prove itself."""
    memory: int = 2**63
    """Bytes a scorer may hold."""


class _Batch(msgspec.Struct):
    pieces: list[Piece]
    columns: bytes
    rows: int
    sent: float


class Lane:
    """Answers rows with one package, for as long as it is kept: a scorer that dies is started again.

    One that is `mirrored` is asked what others answer: at low priority, and logged apart.
    """

    def __init__(
        self, release: Release, folder: Path, manifest: Manifest, shared: Shared, *, mirrored: bool = False
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self.mirrored = mirrored
        self.ahead: Lane | None = None
        """Whose requests go before those that are mirrored."""
        self.serve_as(release)
        self.signature = Signature(manifest.inputs)
        self.shape = msgspec.json.encode(list(manifest.inputs.items()))
        """Equal in models that read rows alike: the same columns in the same order."""
        self.sides = {side.name: (side, Signature(side.columns)) for side in manifest.sides}
        self.queue = Queue()
        self.ready = False
        self.down_since = time.monotonic()
        self.proof: Ready | None = None
        """How the scorer last proved itself."""
        self._shared = shared
        self._link: Link | None = None
        self._batch: _Batch | None = None
        self._dispatching = False
        self._dispatched = 0.0
        self._closing = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    async def prove(self, *, new: bool = True) -> None:
        """Start the scorer and wait until it has loaded and answered its golden rows bit for bit.

        A package that is not `new` may take longer. Raises PackageError with the scorer's reason, or because it
        died, took too long or too much memory; StoreError when this machine has no room for another process.
        """
        link = await self._start(self._shared.starting if new else LOADING)
        self._keeper = asyncio.create_task(self._keep(link))

    def put(self, ask: Ask) -> None:
        """Queue the rows of a request for the next batch."""
        self.queue.put(ask)
        self._soon()

    def tell(self, message: ToScorer) -> None:
        """Tell the scorer of new online rows; one that is being started reads them itself."""
        if self._link is not None:
            self._link.send(message)

    def tick(self, now: float) -> None:
        """End the scorer if it hangs; to be called a few times a second."""
        if self.pid and (held := held_by(self.pid)) > self._shared.memory and self._link is not None:
            _logger.warning("version %s takes %d MB: starting it anew", self.release.version, held // 10**6)
            self._link.kill()
        hang = self._shared.hang * (PATIENT if self.mirrored else 1)
        if self._batch is not None and now - self._batch.sent > hang and self._link is not None:
            _logger.warning("version %s hangs on a batch: starting it anew", self.release.version)
            self._link.kill()

    def hurry(self, now: float, patience: float) -> None:
        """Let others answer what this model keeps waiting for too long; to be called a few times a second."""
        if self.mirrored or self._batch is None or now - self._batch.sent < patience:
            return
        late = {
            id(piece.ask): piece.ask for piece in self._batch.pieces if piece.ask.trial and not piece.ask.done.done()
        }
        for ask in [*late.values(), *self.queue.drop(lambda ask: ask.trial)]:
            self.tally.late += 1
            ask.abandon()

    @property
    def idle(self) -> bool:
        """Whether nobody waits for an answer from here."""
        return self._batch is None and self.queue.rows == 0

    @property
    def pid(self) -> int | None:
        """Of the scorer process."""
        return self._link.pid if self._link else None

    def weigh(self) -> None:
        """Look how much memory the scorer holds."""
        if self.pid and self.ready:
            self.tally.weigh(held_by(self.pid))

    def serve_as(self, release: Release) -> None:
        """Answer in the name of this release, which has the same package; its conduct is counted from now on."""
        self.release = release
        self.tally = Tally()
        manifest = self.manifest
        types = {name: column.type for name, column in manifest.inputs.items()}
        sides = {side.name: {n: column.type for n, column in side.columns.items()} for side in manifest.sides}
        self._source = packed(
            Source(manifest.model, release.version, release.id, types, manifest.event_time, manifest.levels, sides)
        )

    async def close(self, *, at_once: bool = False) -> None:
        """Answer what waits, unless it is to be at once, then end the scorer."""
        while not (self.idle or at_once or self._closing.is_set()):
            await asyncio.sleep(0.01)
        self._closing.set()
        if self._link is not None:
            self._link.kill()
        if self._keeper is not None:
            await self._keeper

    async def _start(self, within: float = LOADING) -> Link:
        heard: asyncio.Future[FromScorer] = self._loop.create_future()

        def hear(message: FromScorer) -> None:
            if isinstance(message, Scored):
                self._scored(message)
            elif not heard.done():
                heard.set_result(message)

        try:
            link = self._link = await open_link(self.folder, self._shared.records, self._shared.hang / 2, hear)
        except OSError as problem:
            raise StoreError(f"no process can be started for the model: {problem.strerror}") from problem
        try:
            waited: set[asyncio.Future[Any]] = {heard, link.lost}
            end = time.monotonic() + within
            while time.monotonic() < end and not any(one.done() for one in waited):
                await asyncio.wait(waited, timeout=LOOKING, return_when=asyncio.FIRST_COMPLETED)
                if (held := held_by(link.pid or 0)) > self._shared.memory:
                    allowed = self._shared.memory // 10**6
                    raise PackageError(f"it takes {held // 10**6:,} MB of memory, {allowed:,} MB are allowed")
            said = heard.result() if heard.done() else None
            if isinstance(said, Ready):
                self.proof = said
                if self.mirrored:
                    link.step_back()
                self.queue.limit(together=said.together)
                self.ready = True
                self._soon()
                return link
            if isinstance(said, Unfit):
                raise PackageError(said.reason)
            died = (
                "its process died while loading"
                if link.lost.done()
                else f"it did not load and prove itself within {within:g} s"
            )
            raise PackageError(died)
        except BaseException:
            self._link = None
            link.kill()
            await link.reap()
            raise

    async def _keep(self, link: Link) -> None:
        """Start the scorer again whenever it dies, until the lane is closed."""
        failures = 0
        while True:
            if self._link is link:
                await link.lost
                self._fell()
                link.kill()
                await link.reap()
            if self._closing.is_set():
                return
            self._shared.metrics.restarts += 1
            self.tally.restarts += 1
            try:
                link = await self._start()
                failures = 0
            except KeepfitError as problem:
                failures += 1
                _logger.warning("version %s cannot be started again: %s", self.release.version, problem.message)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), PAUSES[min(failures, len(PAUSES)) - 1])

    def _fell(self) -> None:
        """The scorer is gone: what it was working on is tried again, unless another model will answer."""
        self.ready, self._link = False, None
        self.down_since = time.monotonic()
        batch, self._batch = self._batch, None
        if batch is not None:
            self.queue.put_back(batch.pieces)
        for ask in self.queue.drop(lambda ask: ask.trial):
            ask.give_up()

    def _soon(self) -> None:
        """Send the next batch when this turn of the event loop, with all requests it brings, is over."""
        if not self._dispatching:
            self._dispatching = True
            if self.mirrored:
                self._loop.call_later(GATHERING, self._dispatch)
            else:
                self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._dispatching = False
        if self._batch is not None or not self.ready or self._link is None:
            return
        if self.mirrored and self._gives_way():
            self._soon()
            return
        pieces = self.queue.take()
        if not pieces:
            return
        columns = self.signature.pack_blocks([piece.block for piece in pieces])
        rows = sum(piece.stop - piece.start for piece in pieces)
        self._dispatched = time.monotonic()
        self._batch = _Batch(pieces, columns, rows, self._dispatched)
        if not self.mirrored:
            self._shared.metrics.batches.add(rows)
        self._link.send(Score(msgspec.Raw(columns)))

    def _gives_way(self) -> bool:
        waited = time.monotonic() - self._dispatched
        return self.ahead is not None and not self.ahead.idle and waited < GIVING_WAY and self.queue.rows > 0

    def _scored(self, message: Scored) -> None:
        batch = self._batch
        if batch is None or len(message.values) != batch.rows:
            raise ValueError("the scorer gave another number of answers than it was asked for")  # ends the link
        self._batch = None
        if self.mirrored:
            self._soon()
            seconds = message.cpu
        else:
            seconds = time.monotonic() - batch.sent
            self._dispatch()
        self.tally.batch(batch.columns, message.values, seconds)
        ids = self._ids(batch)
        self._write(batch, ids, message)
        answers = self._answers(ids, message)
        at = 0
        for piece in batch.pieces:
            end = at + piece.stop - piece.start
            piece.ask.answer(piece.start, answers[at:end], self.release)
            at = end

    def _ids(self, batch: _Batch) -> list[str]:
        ids = self._shared.ids.take(batch.rows)
        at = 0
        for ask, start, stop in batch.pieces:
            if ask.ids is not None:
                ids[at : at + stop - start] = ask.ids[start:stop]
            at += stop - start
        return ids

    def _write(self, batch: _Batch, ids: Sequence[str], message: Scored) -> None:
        """Log the batch: one record, in which a row that is not to be logged has no answer."""
        values = message.values
        if not all(ask.logged for ask, _, _ in batch.pieces):
            kept = [ask.logged for ask, start, stop in batch.pieces for _ in range(start, stop)]
            if not any(kept):
                return
            values = [value if keep else None for value, keep in zip(values, kept, strict=True)]
        route: str | list[str] = batch.pieces[0].ask.route
        if len({ask.route for ask, _, _ in batch.pieces}) > 1:
            route = [ask.route for ask, start, stop in batch.pieces for _ in range(start, stop)]
        log = self._shared.shadow if self.mirrored else self._shared.log
        log.append(self._source, ids, batch.columns, values, sides=message.sides, route=route)

    def _answers(self, ids: Sequence[str], message: Scored) -> list[Prediction | Problem]:
        levels, pairs = self.manifest.levels, zip(ids, message.values, strict=True)
        answers: list[Prediction | Problem]
        answers = [Prediction(*pair) for pair in pairs] if levels is None else [_of_levels(*p, levels) for p in pairs]
        for row, problem in message.failed.items():
            answers[row] = ROW_PROBLEMS[problem]
        if message.failed:
            self.tally.failed(len(message.failed), sum(ROW_PROBLEMS[p] is NOT_FINITE for p in message.failed.values()))
        if not self.mirrored:
            self._shared.metrics.rows += len(answers)
            self._shared.metrics.rows_failed += len(message.failed)
        return answers


def _of_levels(id: str, value: list[float] | None, levels: list[str]) -> Prediction:
    """The likeliest level, and how likely each is."""
    if value is None:
        return Prediction(id, None)
    return Prediction(id, levels[value.index(max(value))], dict(zip(levels, value, strict=True)))
