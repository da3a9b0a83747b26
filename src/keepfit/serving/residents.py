"""Which models are loaded, which of them answers, and how one takes the other's place without losing a request."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import shutil
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import msgspec

from keepfit.core.errors import DamagedObject, KeepfitError, NotFound, PackageError, StoreError
from keepfit.core.files import sweep
from keepfit.home import Home
from keepfit.packages.unpack import read_manifest, unpack
from keepfit.serving.batch import Ask
from keepfit.serving.desired import Live, Release, desired, pinned
from keepfit.serving.frames import AddRows, ReloadRows
from keepfit.serving.lane import Lane, Shared
from keepfit.serving.problems import Rejection
from keepfit.serving.wire import Block, height

WAITING = 20.0
"""Seconds a request may wait for its answer, besides the time that two batches may take."""
AGAIN = 5.0
"""Seconds before a release that could not be fetched is tried again."""

_logger = logging.getLogger("keepfit.serving")


class Refused(msgspec.Struct, frozen=True):
    """A release that is not live because it would not load, or not reproduce its golden rows."""

    release: str
    version: int
    reason: str


class Residents:
    """The champion, the previous champion beside it, and the way from one champion to the next."""

    def __init__(self, open_home: Callable[[], Home], name: str, pins: Path, shared: Shared, patience: float) -> None:
        self.champion: Lane | None = None
        self.previous: Lane | None = None
        self.candidate: Lane | None = None
        """Loaded and proven, but not live."""
        self.refused: Refused | None = None
        self._open_home = open_home
        self._name = name
        self._pins = pins
        self._shared = shared
        self._patience = patience
        self._waiting = WAITING + 2 * shared.hang
        self._started = asyncio.Event()
        self._changing = asyncio.Lock()
        self._leaving: dict[Lane, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._followed: str | None = None
        """Release the ledger named when it was last followed."""
        self._not_before = 0.0
        self._unfit: set[str] = set()
        """Packages that were refused."""

    # -- answering

    async def wait(self) -> Lane | None:
        """The champion, or None; while the gateway starts, it is waited for."""
        if self.champion is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._started.wait(), WAITING)
        return self.champion

    def put(self, ask: Ask, lane: Lane) -> None:
        """Queue a request that was read with this lane's signature, with it or with whom can answer in its place."""
        lane.put(ask)
        if not lane.ready:
            self._relieve(lane, time.monotonic())

    @property
    def ready(self) -> bool:
        """Whether requests are answered now."""
        return any(lane.ready for lane in (self.champion, self.previous) if lane) and self.champion is not None

    @property
    def rows_waiting(self) -> int:
        return sum(lane.queue.rows for lane in self._lanes())

    def tell(self, message: AddRows | ReloadRows) -> None:
        """Tell every scorer of new online rows."""
        for lane in self._lanes():
            lane.tell(message)

    def tick(self) -> None:
        """Look after requests that wait too long; to be called a few times a second."""
        now = time.monotonic()
        for lane in self._lanes():
            lane.tick(now)
            self._relieve(lane, now)
            if now - lane.queue.since > self._waiting:
                for ask in lane.queue.drop(lambda ask: now - ask.since > self._waiting):
                    ask.give_up()

    def _relieve(self, lane: Lane, now: float) -> None:
        """Let another resident answer what waits for a scorer that has been away too long."""
        if lane.ready or now - lane.down_since < self._patience:
            return
        other = next((r for r in (self.champion, self.previous) if r and r is not lane and r.ready), None)
        if other is None:
            return
        for ask in lane.queue.drop(lambda ask: not ask.pinned):
            block = ask.block if other.manifest.inputs == lane.manifest.inputs else _read_again(ask, other)
            if block is None:
                ask.give_up()
                continue
            ask.restart(block)
            self._shared.metrics.previous_answers += ask.size
            other.put(ask)

    def _lanes(self) -> list[Lane]:
        return [lane for lane in (self.champion, self.previous, self.candidate, *self._leaving) if lane is not None]

    # -- changing

    async def restore(self, *, tidy: bool = True) -> None:
        """Load what was live last from this machine's own disk: no ledger, no store of objects.

        `tidy` away what else is there, unless another gateway may still use it.
        """
        async with self._changing:
            live = pinned(self._pins / "live.json")
            if tidy:
                await asyncio.to_thread(self._tidy, live)
            for want in [live, *([Live(live.previous)] if live.previous else [])] if live else []:
                try:
                    await self._change(want)
                    break
                except KeepfitError as problem:
                    _logger.warning("version %s cannot be loaded: %s", want.champion.version, problem.message)

    def started(self) -> None:
        """All that is pinned or released has been tried: who waits for a champion now waits in vain."""
        self._started.set()

    async def follow(self, *, now: bool = False) -> None:
        """Make live what the ledger says should be; with `now`, a release that was refused is tried again.

        Raises KeepfitError when ledger or objects cannot be read: what is live stays.
        """
        if time.monotonic() < self._not_before and not now:
            return
        async with self._changing:
            try:
                home, named = await asyncio.to_thread(self._look)
                if named is None or (named == self._followed and not (now and self.refused)):
                    return
                want = await asyncio.to_thread(desired, home.ledger, self._name, self._unfit)
                if want is not None:
                    await self._try(want, home)
                    self._followed = named
            except KeepfitError:
                self._not_before = time.monotonic() + AGAIN
                raise

    async def prove(self, candidate: Release) -> str | None:
        """Load a package that may become the champion, and let it prove itself; why it will not do, if it won't.

        A candidate stays loaded until the next change, so that making it live takes no time.
        """
        async with self._changing:
            if self._resident(candidate) is None:
                try:
                    home = await asyncio.to_thread(self._open_home)
                    lane = await self._proven(candidate, home)
                except (PackageError, NotFound, DamagedObject) as problem:
                    return problem.message
                if self.candidate is not None:
                    self._leave(self.candidate)
                self.candidate = lane
                lane.tell(ReloadRows())
            return None

    async def close(self) -> None:
        """End all scorers."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(lane.close(at_once=True) for lane in self._lanes()))

    def _tidy(self, live: Live | None) -> None:
        """Remove what a gateway that was killed had begun to load."""
        sweep(self._pins)
        kept = {r.package[:16] for r in (live.champion, live.previous) if r} if live else set()
        for folder in self._pins.glob("*/") if kept else ():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def _look(self) -> tuple[Home, str | None]:
        home = self._open_home()
        return home, home.ledger.name(f"release/{self._name}")

    async def _try(self, want: Live, home: Home) -> None:
        try:
            await self._change(want, home)
        except (PackageError, NotFound, DamagedObject) as problem:
            self._unfit.add(want.champion.package)
            self.refused = Refused(want.champion.id, want.champion.version, problem.message)
            _logger.warning("version %s is refused: %s", want.champion.version, problem.message)

    async def _change(self, want: Live, home: Home | None = None) -> None:
        """Load what is wanted, prove it, pin it, and only then let it answer."""
        known = self._resident(want.champion)
        lane = known or await self._proven(want.champion, home)
        if home is not None:
            try:
                await asyncio.to_thread(want.pin, self._pins / "live.json")
            except StoreError:
                if known is None:
                    await lane.close()
                raise
        before = self._lanes()
        lane.serve_as(want.champion)
        self.champion, self.previous = lane, self._resident(want.previous) if want.previous else None
        self._started.set()
        self._unfit.discard(want.champion.package)
        if known is None or known is self.candidate:
            self.refused = None
        if known is None:
            lane.tell(ReloadRows())  # what came in while it was loading
        self.candidate = None
        for old in before:
            if old not in (self.champion, self.previous, *self._leaving):
                self._leave(old)
        if want.previous is not None and self.previous is None:
            self._later(self._complete(want, home))

    async def _complete(self, want: Live, home: Home | None) -> None:
        """Load the previous champion beside a champion that answers already."""
        async with self._changing:
            if want.previous is None or self.champion is None or self.champion.release != want.champion:
                return
            try:
                self.previous = self._resident(want.previous) or await self._proven(want.previous, home)
                self.previous.tell(ReloadRows())
            except KeepfitError as problem:
                _logger.warning("the previous champion cannot be loaded: %s", problem.message)

    def _resident(self, release: Release) -> Lane | None:
        """Who answers with this release's package already."""
        loaded = (self.champion, self.previous, self.candidate)
        return next((r for r in loaded if r and r.release.package == release.package), None)

    async def _proven(self, release: Release, home: Home | None) -> Lane:
        """A new lane for this release; a pinned copy that does not prove itself is fetched again, where that can be."""
        folder = self._pins / release.package[:16]
        pinned_before = folder.exists()
        try:
            open_package = read_manifest if home is None else functools.partial(unpack, home, release.package)
            lane = Lane(release, folder, await asyncio.to_thread(open_package, folder), self._shared)
            await lane.prove(new=home is not None and not pinned_before)
            return lane
        except PackageError:
            if home is None:
                raise
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            if not pinned_before:
                raise
        return await self._proven(release, home)

    def _leave(self, lane: Lane) -> None:
        self._leaving[lane] = asyncio.create_task(self._retire(lane))

    async def _retire(self, lane: Lane) -> None:
        await lane.close()
        async with self._changing:  # a release that is being loaded may use the same folder
            del self._leaving[lane]
            if lane.folder not in {other.folder for other in self._lanes()}:
                await asyncio.to_thread(shutil.rmtree, lane.folder, ignore_errors=True)

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _read_again(ask: Ask, lane: Lane) -> Block | None:
    """The rows of a request as another model takes them; None when it does not take them all."""
    if ask.read is None:
        return None
    try:
        rows = ask.read(lane.signature)
    except Rejection:
        return None
    return rows.good if height(rows.good) == ask.size and not rows.bad else None
