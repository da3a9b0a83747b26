"""A past time lived again: rows become requests, labels arrive when they were known, and the loop runs on that clock.

Nothing here decides: the same `tick` that the daemon calls is called at the start of every
replayed day. A replay that was killed goes on with the day it was in; predictions carry ids
made from day and row, so that a row sent twice is still one prediction.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
import polars as pl

from keepfit.core.clocks import ReplayClock, utc
from keepfit.core.errors import ProjectError, ServingError
from keepfit.datasets.dataset import Dataset
from keepfit.datasets.read import collect, find_files, naive, read_files
from keepfit.home import Home
from keepfit.ledger import Query, fact
from keepfit.loop import Action, State, tick
from keepfit.project import Project
from keepfit.releases.rollout import find_rollout
from keepfit.serving.client import Client
from keepfit.serving.endpoint import SYNC_SECONDS

DAY = timedelta(days=1)
HISTORY = timedelta(days=2)
"""How far back the rows of side datasets are sent before the first day."""
CONNECTIONS = 512
_PROBE_PAUSE = 0.02


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """What happened on one replayed day."""

    start: datetime
    served: int
    failed: int
    probes: int
    """Requests sent only to see that the endpoint answers while models are exchanged; not logged."""
    probes_failed: int
    labels: int


@dataclass
class _Count:
    sent: int = 0
    failed: int = 0
    reasons: list[str] = field(default_factory=list)

    def add(self, status: int, body: bytes) -> None:
        self.sent += 1
        if status != 200:
            self.failed += 1
            self.reasons.append(f"{status} {body[:200].decode(errors='replace')}")


Report = Callable[[Day], None]
Acted = Callable[[Action, State], None]


def replay(
    project: Project,
    home: Home,
    client: Client,
    *,
    start: datetime,
    until: datetime,
    report: Report,
    acted: Acted,
) -> list[Day]:
    """Live `[start, until)` again, day by day, against a running endpoint; gives all days, also earlier runs'.

    `home.clock` must be a ReplayClock. Raises ServingError, naming the first answers, when the
    endpoint fails more requests than it answers on a day.
    """
    clock = home.clock
    if not isinstance(clock, ReplayClock) or project.main.event_time is None:
        raise ProjectError("only data with an event time can be replayed", hint='give a column role = "event time"')
    known = days(home, project.name)
    begin = known[0].start if known else start
    now = known[-1].start + DAY if known else start
    asyncio.run(_live(project, home, clock, client, begin, now, until, report, acted))
    return days(home, project.name)


def days(home: Home, name: str) -> list[Day]:
    """The days replayed so far, oldest first."""
    found = home.ledger.find(Query(kind="replayed", subject=f"replay/{name}", limit=100_000))
    return [msgspec.convert(f.body, Day) for f in reversed(found)]


async def _live(
    project: Project,
    home: Home,
    clock: ReplayClock,
    client: Client,
    begin: datetime,
    now: datetime,
    until: datetime,
    report: Report,
    acted: Acted,
) -> None:
    first = now
    async with client:
        while now < until:
            clock.advance(now)
            labels = await _deliver_labels(project, home, client, begin, now)
            probes = await _tick(project, home, client, now, acted)
            await _deliver_rows(project, home, client, now - (HISTORY if now == first else timedelta()), now + DAY)
            if now == first:
                await _deliver_lasting(project, home, client)
            count = await _send(client, _requests(project, home, now))
            if count.failed > count.sent / 2:
                raise ServingError(f"{count.failed:,} of {count.sent:,} requests failed: {count.reasons[0]}")
            day = Day(
                start=now,
                served=count.sent - count.failed,
                failed=count.failed,
                probes=probes.sent,
                probes_failed=probes.failed,
                labels=labels,
            )
            _record(home, project.name, day)
            report(day)
            now += DAY
        await _finish(project, home, clock, client, begin, until, acted)


async def _finish(
    project: Project, home: Home, clock: ReplayClock, client: Client, begin: datetime, until: datetime, acted: Acted
) -> None:
    """The last days' labels come in after the last day."""
    end = until + project.main.label_delay + project.watch.width
    while until <= end:
        clock.advance(until)
        await _deliver_labels(project, home, client, begin, until)
        until += DAY
    await _tick(project, home, client, end, acted)


async def _tick(project: Project, home: Home, client: Client, now: datetime, acted: Acted) -> _Count:
    """Let the loop do all it has to do, asking the endpoint all the while whether it still answers."""
    count = _Count()
    await _control(client, "/control/sync")  # what was answered must be in the log before it is watched
    work = asyncio.create_task(asyncio.to_thread(tick, project, home, acted))
    probes = [body for _, body in zip(range(50), _requests(project, home, now - DAY), strict=False)]
    await asyncio.sleep(_PROBE_PAUSE)
    live = (await client.request("GET", "/health/ready", None))[0] == 200
    at = 0
    while not work.done():
        if live and probes:
            count.add(*await client.request("POST", "/predict?log=off", probes[at % len(probes)]))
            at += 1
        await asyncio.wait([work], timeout=_PROBE_PAUSE)
    await work
    await _seated(project, home, client)
    return count


async def _seated(project: Project, home: Home, client: Client) -> None:
    """Wait until the endpoint has loaded a version that is being rolled out, or stopped it: days here take no time."""
    rollout, began = find_rollout(home, project.name), time.monotonic()
    while rollout and rollout.running and time.monotonic() - began < SYNC_SECONDS:
        status, body = await client.request("GET", "/control/rollout", None)
        trials = msgspec.json.decode(body)["trials"] if status == 200 else []
        if status != 200 or any(t["id"] == rollout.id and (t["ready"] or t["stopped"]) for t in trials):
            return
        await asyncio.sleep(_PROBE_PAUSE)


async def _deliver_labels(project: Project, home: Home, client: Client, begin: datetime, now: datetime) -> int:
    """Send the labels of events since `begin` that became known in the day before `now`."""
    main, delay = project.main, project.main.label_delay
    first = max(now - delay - DAY, begin - timedelta(microseconds=1))
    truth: list[dict[str, Any]] = []
    for day in _days_between(first, now - delay):
        rows = _rows(home, main, day, day + DAY)
        time, label = rows[main.event_time or ""], rows[main.label or ""]
        for number, (event, value) in enumerate(zip(time, label, strict=True)):
            if value is not None and naive(first) < event <= naive(now - delay):
                truth.append({"id": _id(day, number), "label": value})
    for at in range(0, len(truth), 1000):
        body = msgspec.json.encode({"labels": truth[at : at + 1000]})
        status, answer = await client.request("POST", "/labels", body)
        if status != 200:
            raise ServingError(f"the endpoint did not take the labels: {status} {answer[:200].decode()}")
    return len(truth)


async def _deliver_rows(project: Project, home: Home, client: Client, start: datetime, end: datetime) -> None:
    """Send the rows of every side dataset that has a time; the rule of time hides what is not yet known."""
    for side in project.sides:
        if side.event_time:
            await _put(client, side, _rows(home, side, start, end))


async def _deliver_lasting(project: Project, home: Home, client: Client) -> None:
    """Send the side datasets that have no time."""
    for side in project.sides:
        if not side.event_time:
            await _put(client, side, collect(read_files(find_files(home.root, side), side), side))


async def _put(client: Client, side: Dataset, rows: pl.DataFrame) -> None:
    for at in range(0, rows.height, 5000):
        body = msgspec.json.encode({"rows": rows[at : at + 5000].to_dicts()})
        await _control(client, f"/rows/{side.name}", body, method="PUT")


def _requests(project: Project, home: Home, day: datetime) -> Iterator[bytes]:
    """The day's rows, in order of their time, each as the body of a request."""
    main = project.main
    rows = _rows(home, main, day, day + DAY).select(list(main.inputs))
    for number, row in enumerate(rows.iter_rows(named=True)):
        yield msgspec.json.encode({"rows": [row], "ids": [_id(day, number)]})


async def _send(client: Client, bodies: Iterator[bytes]) -> _Count:
    """Send them all over the client's connections, each as soon as one is free."""
    count = _Count()

    async def work() -> None:
        for body in bodies:
            count.add(*await client.request("POST", "/predict", body))

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return count


async def _control(client: Client, path: str, body: bytes = b"{}", *, method: str = "POST") -> None:
    status, answer = await client.request(method, path, body)
    if status != 200:
        raise ServingError(f"the endpoint refused {method} {path}: {status} {answer[:200].decode(errors='replace')}")


def _rows(home: Home, dataset: Dataset, start: datetime, end: datetime) -> pl.DataFrame:
    time = pl.col(dataset.event_time or "")
    rows = read_files(find_files(home.root, dataset), dataset)
    day = rows.filter((time >= naive(start)) & (time < naive(end))).sort(time, maintain_order=True)
    return collect(day, dataset)


def _days_between(first: datetime, last: datetime) -> Sequence[datetime]:
    """The days that hold `(first, last]`."""
    day = first.replace(hour=0, minute=0, second=0, microsecond=0)
    found = []
    while day <= last:
        found.append(day)
        day += DAY
    return found


def _id(day: datetime, number: int) -> str:
    return f"{day:%Y%m%d}-{number:06}"


def _record(home: Home, name: str, day: Day) -> None:
    subject = f"replay/{name}"
    made = fact(
        "replayed",
        subject,
        time=home.clock.now(),
        key=[subject, day.start],
        actor=home.actor,
        body=msgspec.to_builtins(day),
        attributes={"served": day.served, "failed": day.failed},
    )
    home.ledger.append([made])


def span(project: Project, home: Home) -> tuple[datetime, datetime]:
    """From the first day to the day after the last of the main dataset."""
    time = pl.col(project.main.event_time or "")
    rows = read_files(find_files(home.root, project.main), project.main)
    first, last = collect(rows.select(time.min().alias("first"), time.max().alias("last")), project.main).row(0)
    return utc(first).replace(hour=0, minute=0, second=0, microsecond=0), utc(last)
