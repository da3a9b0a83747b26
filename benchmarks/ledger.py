"""The ledger beside the bare database: the same rows inserted by hand; and what reading costs as it grows.

`KEEPFIT_BENCH_FACTS` says how many facts the ledgers have when they are read (10000,1000000).
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from keepfit.ledger import Fact, Ledger, Move, Point, Query, Where, fact, open_ledger, postgres, sqlite
from keepfit.ledger.group import Work
from keepfit.ledger.row import point_rows, row_of
from keepfit.ledger.settle import Changes, State, Write, settle
from keepfit.testing.postgres import server

NOON = datetime(2013, 5, 2, 12, tzinfo=UTC)
SIZES = [int(size) for size in os.environ.get("KEEPFIT_BENCH_FACTS", "10000,1000000").split(",")]
ROUNDS, COMMITS, WRITERS = 5, 50, 8
NUMBERS = count(os.getpid() << 20)
"""Of the facts that are written; none is ever written twice."""
POINTS = [Point(step, step / 7, NOON) for step in range(1000)]


def main() -> None:
    with tempfile.TemporaryDirectory(dir=os.environ.get("KEEPFIT_BENCH_FOLDER")) as folder:
        _synced(Path(folder))
        _measure("SQLite", f"sqlite:{folder}/ledger.db", f"sqlite:{folder}/bare.db")
    try:
        with server() as url:
            subprocess.run(["psql", "-q", url, "-c", "CREATE SCHEMA bare"], check=True)
            _measure("PostgreSQL", url, f"{url}?options=-csearch_path%3Dbare")
    except pytest.skip.Exception as problem:
        print(f"PostgreSQL: {problem}")


def _synced(folder: Path) -> None:
    """The disk's own pace: 4 KB more in a file, and synced."""
    with open(folder / "synced", "wb", buffering=0) as file:

        def sync() -> None:
            file.write(bytes(4096))
            os.fdatasync(file)

        print(f"{'4 KB written and synced':<40} {_median(sync, rounds=200) * 1000:9.2f} ms")


def _measure(title: str, url: str, bare_url: str) -> None:
    with closing(open_ledger(url, Path())) as ledger, closing(open_ledger(bare_url, Path())) as bare:
        print(f"-- {title}: writing, beside the same rows inserted and committed by hand")
        _versus("append", ledger, bare, batch=1, commits=COMMITS)
        _versus(f"append, {WRITERS} threads (by hand: one)", ledger, bare, batch=1, commits=COMMITS, threads=WRITERS)
        _versus_processes(f"append, {WRITERS} processes", url, bare_url)
        _versus("append of 1,000 at once", ledger, bare, batch=1000, commits=3)
        mine, other = _paired(
            lambda: lambda: ledger.record(f"s{next(NUMBERS)}", POINTS), lambda: _by_hand(bare, [_points_settled()])
        )
        _told("record of 1,000 points", mine / 1000, other / 1000)
        _fill(ledger, 0, 1001)
        ledger.append([], [Move(f"pointer/{n}", None, event(n).id) for n in range(1000)])
        held = 1001
        for size in SIZES:
            _fill(ledger, held, size)
            held = max(held, size)
            _reads(title, ledger, held)


def _fill(ledger: Ledger, start: int, stop: int) -> None:
    for at in range(start, stop, 5000):
        ledger.append([event(number) for number in range(at, min(at + 5000, stop))])


def _versus(what: str, ledger: Ledger, bare: Ledger, *, batch: int, commits: int, threads: int = 1) -> None:
    def ours() -> Callable[[], None]:
        work = [[_some(batch) for _ in range(commits)] for _ in range(threads)]
        return lambda: _in_threads([lambda own=own: [ledger.append(facts) for facts in own] for own in work])

    mine, other = _paired(ours, lambda: _by_hand(bare, [_settled(_some(batch)) for _ in range(commits * threads)]))
    _told(what, mine / (batch * commits * threads), other / (batch * commits * threads))


def _versus_processes(what: str, url: str, bare_url: str) -> None:
    def started(verb: str, address: str) -> Callable[[], None]:
        command = [sys.executable, "-m", "benchmarks.ledger", verb, address]
        workers = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(WRITERS)
        ]
        for worker in workers:
            worker.stdout.readline()  # it is ready

        def go() -> None:
            for worker in workers:
                worker.stdin.close()
            for worker in workers:
                worker.stdout.read()
                worker.wait()

        return go

    mine, other = _paired(lambda: started("append", url), lambda: started("insert", bare_url), rounds=3)
    _told(what, mine / (COMMITS * WRITERS), other / (COMMITS * WRITERS))


def _worker(verb: str, url: str) -> None:
    with closing(open_ledger(url, Path())) as ledger:
        if verb == "append":
            facts = [_some(1) for _ in range(COMMITS)]
            work: Callable[[], object] = lambda: [ledger.append(made) for made in facts]  # noqa: E731
        else:
            work = _by_hand(ledger, [_settled(_some(1)) for _ in range(COMMITS)])
        print("ready", flush=True)
        sys.stdin.read()
        work()


def _by_hand(ledger: Any, changes: Sequence[Changes]) -> Callable[[], None]:
    """Insert and commit each, with nothing looked up, linked or shared."""

    def go() -> None:
        for change in changes:
            with ledger._pool.lend() as connection:
                if isinstance(ledger, sqlite.SqliteLedger):
                    with sqlite._transaction(connection, "IMMEDIATE"):
                        sqlite._write(connection, change)
                else:
                    postgres._write(connection, change)

    return go


def _settled(facts: Sequence[Fact]) -> Changes:
    work: Work[Write, Any] = Work(Write([row_of(made) for made in facts]))
    return settle([work], State(next(NUMBERS) * 1000, "", {}, {}))


def _points_settled() -> Changes:
    work: Work[Write, Any] = Work(Write(points=point_rows(f"s{next(NUMBERS)}", POINTS)))
    return settle([work], State(0, "", {}, {}))


def _paired(
    ours: Callable[[], Callable[[], object]], other: Callable[[], Callable[[], object]], *, rounds: int = ROUNDS
) -> tuple[float, float]:
    """Medians of both, made ready outside the clock and taken in turns."""
    pairs = [(_timed(ours()), _timed(other())) for _ in range(rounds + 1)][1:]
    mine, theirs = zip(*pairs, strict=True)
    return statistics.median(mine), statistics.median(theirs)


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _median(work: Callable[[], object], *, rounds: int = 15) -> float:
    work()
    return statistics.median(_timed(work) for _ in range(rounds))


def _told(what: str, mine: float, other: float) -> None:
    print(f"{what:<40} {1 / mine:9,.0f} /s   {other / mine:8.2f} x by hand ({1 / other:,.0f} /s)")


def _in_threads(work: Sequence[Callable[[], object]]) -> None:
    threads = [threading.Thread(target=own) for own in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _reads(title: str, ledger: Ledger, size: int) -> None:
    print(f"-- {title}: reading at {size:,} facts, beside reading 100 facts by their number")
    good = Where("auc", ">", 0.9)
    whole = Query(kind="run", subject="model/7")
    asked: dict[str, Callable[[], Any]] = {
        "newest 100": lambda: ledger.find(Query()),
        "of a subject, newest 100": lambda: ledger.find(Query(subject="model/7")),
        "of a kind and subject, newest 100": lambda: ledger.find(whole),
        "top 100 by a number": lambda: ledger.find(Query(kind="run", order="auc")),
        "top 100 of a subject by a number": lambda: ledger.find(Query(kind="run", subject="model/7", order="auc")),
        "two conditions, newest 100": lambda: ledger.find(Query(kind="run", where=(good, Where("carrier", "=", "AA")))),
        "two conditions, top 100": lambda: ledger.find(
            Query(kind="run", where=(good, Where("carrier", "=", "AA")), order="rate")
        ),
        "few match, newest 100": lambda: ledger.find(Query(kind="run", where=(Where("auc", ">", 0.9999),))),
        "most match, newest 100": lambda: ledger.find(Query(kind="run", where=(Where("auc", ">", 0.1),))),
        "a day, newest 100": lambda: ledger.find(
            Query(kind="run", since=NOON + timedelta(minutes=3000), until=NOON + timedelta(minutes=4440))
        ),
        "deep page": lambda: ledger.find(Query(kind="run", offset=size // 3)),
        "deep page by a number": lambda: ledger.find(Query(kind="run", order="auc", offset=size // 3)),
        "history from the middle": lambda: ledger.history(after=size // 2, limit=100),
        "get": lambda: ledger.get(event(size // 2).id),
        "name": lambda: ledger.name("pointer/500"),
        "names": lambda: ledger.names("pointer/5"),
    }
    bare = _median(lambda: ledger.history(after=size - 200, limit=100))
    for what, read in asked.items():
        mine = _median(read)
        print(f"{what:<40} {mine * 1000:9.2f} ms   {mine / bare:8.2f} x")


def event(number: int) -> Fact:
    chance = random.Random(number)
    return fact(
        "run" if number % 5 else "alert",
        f"model/{chance.randrange(50)}",
        time=NOON + timedelta(minutes=number % 2_000_000),
        key=number,
        actor="bench",
        body={"plan": {"rate": 0.1, "window": "60d"}, "outputs": ["0" * 64, "1" * 64]},
        refs={"data": "2" * 64, "run": f"run-{number}"},
        attributes={
            "auc": chance.random(),
            "rate": chance.random(),
            "carrier": chance.choice(["AA", "DL", "UA", "B6"]),
        },
    )


def _some(number: int) -> list[Fact]:
    return [event(next(NUMBERS)) for _ in range(number)]


if __name__ == "__main__":
    _worker(*sys.argv[1:])
