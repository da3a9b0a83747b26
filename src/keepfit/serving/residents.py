"""Which models are loaded, which of them answers, and how one takes the other's place without losing a request.

A model on trial - the challenger of a rollout, or a champion that is new - is judged ten times a second, and
stopped here: nobody is asked, and neither the ledger nor the loop has to be there.
"""

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
from keepfit.core.files import sweep, write_file
from keepfit.home import Home
from keepfit.packages.unpack import read_manifest, unpack
from keepfit.serving.batch import Ask
from keepfit.serving.conduct import Standing, read_stopped
from keepfit.serving.contest import Contest, read_again, unproven
from keepfit.serving.desired import Live, Release, Trial, desired, names, pinned
from keepfit.serving.frames import AddRows, ReloadRows
from keepfit.serving.guard import misconduct
from keepfit.serving.lane import Lane, Shared
from keepfit.serving.metrics import Metrics
from keepfit.serving.settings import GuardLimits

WAITING = 20.0
"""Seconds a request may wait for its answer, besides the time that two batches may take."""
STARTING = 60.0
"""Seconds a request may wait for a gateway that starts."""
AGAIN = 5.0
"""Seconds before a release that could not be fetched is tried again."""
WEIGHING = 1.0
"""Seconds between two looks at how much memory the models on trial hold."""
STOPPED = 20
"""Trials that were stopped are remembered, up to so many."""

_logger = logging.getLogger("keepfit.serving")


class Refused(msgspec.Struct, frozen=True):
    """A release that is not live because it would not load, or not reproduce its golden rows."""

    release: str
    version: int
    reason: str


class Residents:
    """The champion, the previous champion beside it, and the way from one champion to the next."""

    def __init__(
        self,
        open_home: Callable[[], Home],
        name: str,
        pins: Path,
        shared: Shared,
        *,
        patience: float,
        guard: GuardLimits,
    ) -> None:
        self.champion: Lane | None = None
        self.previous: Lane | None = None
        self.candidate: Lane | None = None
        """Loaded and proven, but not live."""
        self.challenger: Lane | None = None
        """Mirrored, or answering a share."""
        self.contests: tuple[Contest, ...] = ()
        """The models on trial: the challenger first."""
        self.stopped: list[Standing] = []
        """Trials that ended here, oldest first."""
        self.refused: Refused | None = None
        self._open_home = open_home
        self._name = name
        self._pins = pins
        self._shared = shared
        self._patience = patience
        self._guard = guard
        self._waiting = WAITING + 2 * shared.hang
        self._started = asyncio.Event()
        self._changing = asyncio.Lock()
        self._leaving: dict[Lane, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._followed: tuple[str | None, str | None] = None, None
        """What the ledger named when it was last followed."""
        self._not_before = 0.0
        self._unfit: set[str] = set()
        """Packages that were refused."""
        self._wish: Live | None = None
        """What should be live, as far as it is known."""
        self._trying: asyncio.Task[None] | None = None
        """Loads a challenger."""
        self._weighed = 0.0

    # -- answering

    async def wait(self) -> Lane | None:
        """The champion, or None; while the gateway starts, it is waited for."""
        if self.champion is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._started.wait(), STARTING)
        return self.champion

    def put(self, ask: Ask, lane: Lane) -> None:
        """Queue a request that was read with this lane's signature, with it or with whom can answer in its place."""
        lane.put(ask)
        if not lane.ready:
            self._relieve(lane, time.monotonic())

    def standings(self) -> list[Standing]:
        """How the models on trial stand, and those that were stopped, oldest first."""
        return [*self.stopped, *(contest.standing() for contest in self.contests)]

    def ids(self, count: int) -> list[str]:
        """So many new ids for predictions."""
        return self._shared.ids.take(count)

    @property
    def metrics(self) -> Metrics:
        return self._shared.metrics

    @property
    def ready(self) -> bool:
        """Whether requests are answered now."""
        return any(lane.ready for lane in (self.champion, self.previous) if lane) and self.champion is not None

    @property
    def rows_waiting(self) -> int:
        return sum(lane.queue.rows for lane in self._lanes() if not lane.mirrored)

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
        if self.contests:
            self._judge(now)

    def _judge(self, now: float) -> None:
        weighing = now - self._weighed > WEIGHING
        if weighing:
            self._weighed = now
            self._arrange()
        for contest in self.contests:
            if (longest := contest.trusted.tally.longest) > 0:
                contest.tried.hurry(now, max(self._patience, self._guard.slower * longest))
            if weighing:
                contest.tried.weigh()
                contest.trusted.weigh()
            if contest.stage == "bake" and not contest.trusted.ready:
                continue
            reason = misconduct(contest.tried.tally.conduct(), contest.trusted.tally.conduct(), self._guard)
            if reason is not None:
                self._stop(contest.standing(reason))

    def _relieve(self, lane: Lane, now: float) -> None:
        """Let another resident answer what waits for a scorer that has been away too long."""
        if lane.ready or now - lane.down_since < self._patience:
            return
        other = next((r for r in (self.champion, self.previous) if r and r is not lane and r.ready), None)
        if other is None:
            return
        for ask in lane.queue.drop(lambda ask: not ask.pinned):
            block = read_again(ask.block, ask.read, other, of=lane)
            if block is None:
                ask.give_up()
                continue
            ask.restart(block)
            ask.route = "previous" if other is self.previous else "champion"
            self.metrics.previous_answers += ask.size
            other.put(ask)

    def _lanes(self) -> list[Lane]:
        lanes = (self.champion, self.previous, self.candidate, self.challenger, *self._leaving)
        return [lane for lane in lanes if lane is not None]

    # -- changing

    async def restore(self, *, tidy: bool = True) -> None:
        """Load what was live last from this machine's own disk: no ledger, no store of objects.

        `tidy` away what else is there, unless another gateway may still use it.
        """
        async with self._changing:
            self.stopped = await asyncio.to_thread(read_stopped, self._stops)
            live = pinned(self._pins / "live.json")
            if tidy:
                await asyncio.to_thread(self._tidy, live)
            wants = [live] if live and live.champion.id not in self._stopped_ids() else []
            if live and live.previous:
                wants.append(Live(live.previous, None, live.challenger))
            for want in wants:
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
                if named[0] is None or (named == self._followed and not (now and self.refused)):
                    return
                unfit = self._unfit | {standing.package for standing in self.stopped if standing.stage == "bake"}
                want = await asyncio.to_thread(desired, home.ledger, self._name, unfit, self._stopped_ids())
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
            await self._tried(candidate.package)
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
        kept = _folders(live)
        for folder in self._pins.glob("*/") if kept else ():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def _look(self) -> tuple[Home, tuple[str | None, str | None]]:
        home = self._open_home()
        return home, names(home.ledger, self._name)

    async def _try(self, want: Live, home: Home) -> None:
        try:
            await self._change(want, home)
        except (PackageError, NotFound, DamagedObject) as problem:
            self._unfit.add(want.champion.package)
            self.refused = Refused(want.champion.id, want.champion.version, problem.message)
            _logger.warning("version %s is refused: %s", want.champion.version, problem.message)

    async def _change(self, want: Live, home: Home | None = None) -> None:
        """Load what is wanted, prove it, pin it, and only then let it answer."""
        await self._tried(want.champion.package)
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
        if lane.release != want.champion:
            lane.serve_as(want.champion)
        self._wish = want
        self.champion, self.previous = lane, self._resident(want.previous) if want.previous else None
        self._started.set()
        self._unfit.discard(want.champion.package)
        if known is None or known is self.candidate:
            self.refused = None
        if known is None:
            lane.tell(ReloadRows())  # what came in while it was loading
        self.candidate = None
        self._seat(home)
        for old in before:
            if old not in (self.champion, self.previous, self.challenger, *self._leaving):
                self._leave(old)
        self._arrange()
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
                self._arrange()
            except KeepfitError as problem:
                _logger.warning("the previous champion cannot be loaded: %s", problem.message)

    def _seat(self, home: Home | None) -> None:
        """Have the challenger that is wished for beside the champion, or none; whom it displaces is left to others."""
        trial, lane = self._trial(), self.challenger
        if trial is None:
            self.challenger = None
        elif lane is not None and _fits(lane, trial):
            if lane.release != trial:
                self._begin(lane, trial)
        elif self._trying is None or self._trying.done():
            self._trying = self._later(self._try_out(trial, home))

    async def _try_out(self, trial: Trial, home: Home | None) -> None:
        """Load a challenger while what is live may change; one that will not do is stopped before it sees a row."""
        try:
            lane = await self._proven(trial, home, mirrored=trial.stage == "shadow")
        except (PackageError, NotFound, DamagedObject) as problem:
            if home is None:
                self._not_tried(trial, problem)
            else:
                self._stop(unproven(trial, problem.message))
            return
        except KeepfitError as problem:
            self._not_tried(trial, problem)
            return
        wished = self._trial()
        if wished is None or not _fits(lane, wished):  # meanwhile the wish has become another
            self._leave(lane)
            self._trying = None
            self._seat(home)
            return
        if self.challenger is not None:
            self._leave(self.challenger)
        self.challenger = lane
        lane.tell(ReloadRows())
        self._begin(lane, wished)

    def _not_tried(self, trial: Trial, problem: KeepfitError) -> None:
        """The challenger could not be fetched: the next look at the ledger tries again."""
        _logger.warning("version %s cannot be loaded: %s", trial.version, problem.message)
        self._followed, self._not_before = (None, None), time.monotonic() + AGAIN

    def _trial(self) -> Trial | None:
        """The rollout that should be running."""
        trial = self._wish.challenger if self._wish else None
        if self._wish is None or trial is None or trial.id in self._stopped_ids():
            return None
        return trial if trial.package != self._wish.champion.package else None

    def _begin(self, lane: Lane, trial: Trial) -> None:
        """From here on a challenger and the champion are compared."""
        lane.serve_as(trial)
        if self.champion is not None:
            self.champion.serve_as(self.champion.release)
        self._arrange()

    def _arrange(self) -> None:
        """Say who is on trial now."""
        contests, champion, previous = [], self.champion, self.previous
        if champion and self.challenger:
            self.challenger.ahead = champion
            contests.append(Contest(self.challenger, champion))
        if champion and previous and 0 <= time.time() - champion.release.since < self._guard.bake_seconds:
            contests.append(Contest(champion, previous))
        self.contests = tuple(contests)

    def _stop(self, standing: Standing) -> None:
        """End a trial, at once and for good."""
        _logger.warning("version %s (%s) is stopped: %s", standing.version, standing.stage, standing.stopped)
        self.stopped = [*self.stopped, standing][-STOPPED:]
        gone: Lane | None = None
        if standing.stage != "bake":
            gone, self.challenger = self.challenger, None
        elif self.previous is not None and self.champion is not None:
            self.refused = Refused(standing.id, standing.version, standing.stopped or "")
            gone, self.champion, self.previous = self.champion, self.previous, None
            self._wish = Live(self.champion.release, None, self._wish.challenger if self._wish else None)
            self._followed = None, None
        if gone is not None:
            self._leave(gone, at_once=standing.stage != "bake")
        self._arrange()
        self._later(self._remember())

    async def _remember(self) -> None:
        """Keep durably what was stopped, and what answers now."""
        try:
            await asyncio.to_thread(write_file, self._stops, msgspec.json.encode(self.stopped))
            async with self._changing:
                if self._wish is not None:
                    await asyncio.to_thread(self._wish.pin, self._pins / "live.json")
        except StoreError as problem:
            _logger.warning("a restart would try again what was stopped: %s", problem.message)

    def _stopped_ids(self) -> set[str]:
        return {standing.id for standing in self.stopped}

    @property
    def _stops(self) -> Path:
        return self._pins / "stopped.json"

    async def _tried(self, package: str) -> None:
        """Wait for a challenger with this package that is being loaded."""
        trial = self._trial()
        if trial is not None and trial.package == package and self._trying is not None:
            await asyncio.wait({self._trying})

    def _resident(self, release: Release) -> Lane | None:
        """Who answers with this release's package already."""
        loaded = (self.champion, self.previous, self.candidate, self.challenger)
        return next((r for r in loaded if r and r.release.package == release.package and not r.mirrored), None)

    async def _proven(self, release: Release, home: Home | None, *, mirrored: bool = False) -> Lane:
        """A new lane for this release; a pinned copy that does not prove itself is fetched again, where that can be."""
        folder = self._pins / release.package[:16]
        pinned_before = folder.exists()
        try:
            open_package = read_manifest if home is None else functools.partial(unpack, home, release.package)
            manifest = await asyncio.to_thread(open_package, folder)
            lane = Lane(release, folder, manifest, self._shared, mirrored=mirrored)
            await lane.prove(new=home is not None and not pinned_before)
            return lane
        except PackageError:
            if home is None:
                raise
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            if not pinned_before:
                raise
        return await self._proven(release, home, mirrored=mirrored)

    def _leave(self, lane: Lane, *, at_once: bool = False) -> None:
        self._leaving[lane] = asyncio.create_task(self._retire(lane, at_once))

    async def _retire(self, lane: Lane, at_once: bool) -> None:
        await lane.close(at_once=at_once)
        async with self._changing:  # a release that is being loaded may use the same folder
            del self._leaving[lane]
            wished = lane.folder.name in _folders(self._wish)
            if not wished and lane.folder not in {other.folder for other in self._lanes()}:
                await asyncio.to_thread(shutil.rmtree, lane.folder, ignore_errors=True)

    def _later(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _fits(lane: Lane, trial: Trial) -> bool:
    """Whether a lane can go on in this trial; a mirrored process has a priority that only root could raise again."""
    return lane.release.package == trial.package and lane.mirrored == (trial.stage == "shadow")


def _folders(live: Live | None) -> set[str]:
    """Names of the folders that hold these packages."""
    releases = (live.champion, live.previous, live.challenger) if live else ()
    return {release.package[:16] for release in releases if release is not None}
