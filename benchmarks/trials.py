"""What a model on trial costs: rows, CPU and latency beside those of the champion alone, in one run by turns.

Server, champion and challenger share one core, the client has another; the same two models throughout. Beside a
mirrored challenger, a second core or a pause would be free time: here there is none.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.serving import CLIENT, CODE, FEATURES, ROWS, Figure, Server, _keepfit, _loads, _measure, write_project
from keepfit.engines import Here
from keepfit.home import LEDGER, OBJECTS, Home
from keepfit.ledger import Fact, Move, Query, fact, open_ledger
from keepfit.objects import open_objects
from keepfit.serving.conduct import Standing
from keepfit.serving.endpoint import call, conduct

TURNS = 3
STATES: dict[str, tuple[str, float]] = {
    "champion alone": ("ended", 0.0),
    "shadow, all rows": ("shadow", 1.0),
    "canary, half": ("canary", 0.5),
}


def main() -> None:
    os.sched_setaffinity(0, {CLIENT})
    values = np.random.default_rng(0).normal(size=(20_000, FEATURES)).round(4)
    names = [f"f{i}" for i in range(FEATURES)]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_project(root, names, values)
        with (root / "keepfit.toml").open("a") as toml:
            toml.write('guard = { bake = "0s" }\n')
        rows = pl.DataFrame(values[:ROWS], names)
        with _keepfit(root):
            pass
        (root / "model.py").write_text(CODE.replace("random_state=seed", "random_state=seed + 1"))
        with _keepfit(root) as server:
            home = _home(root)
            older = _older(home)
            found: dict[tuple[str, str], list[Figure]] = {}
            for _ in range(TURNS):
                for state, (stage, share) in STATES.items():
                    _put(home, server, older, stage, share)
                    for load in (_loads(rows)[n] for n in (0, 1, 2)):
                        found.setdefault((load.title, state), []).append(_measure(server, load))
                    _tell(state, conduct(home))
            _print(found)


def _print(found: dict[tuple[str, str], list[Figure]]) -> None:
    print(f"{'':<44} {'rows/s':>9} {'CPU us/row':>11} {'p50 ms':>8} {'p99 ms':>8}   beside the champion alone")
    for (title, state), figures in found.items():
        rate, cost, median, p99 = (statistics.median(some) for some in zip(*figures, strict=True))
        alone = found[title, "champion alone"]
        ratios = [
            statistics.median(getattr(f, name) / getattr(a, name) for f, a in zip(figures, alone, strict=True))
            for name in Figure._fields
        ]
        told = ", ".join(f"{ratio:.2f} x" for ratio in ratios)
        print(f"{title + ', ' + state:<44} {rate:>9,.0f} {cost:>11.1f} {median:>8.2f} {p99:>8.2f}   {told}")


def _tell(state: str, standings: list[Standing]) -> None:
    for standing in standings:
        seen = standing.challenger
        print(f"  {state}: {seen.rows:,} rows scored, {seen.dropped:,} dropped, stopped: {standing.stopped}")


def _home(root: Path) -> Home:
    return Home(root=root, ledger=open_ledger(LEDGER, root), objects=open_objects(OBJECTS, root), engine=Here())


def _older(home: Home) -> Fact:
    """The release of the first model."""
    return home.ledger.find(Query(kind="release", subject="release/bench", limit=2))[-1]


def _put(home: Home, server: Server, model: Fact, stage: str, share: float) -> None:
    """Have this model on trial, and wait until it is."""
    pointer = "rollout/bench"
    last = home.ledger.name(pointer)
    refs = {"package": model.refs["package"], **({"previous": last} if last else {})}
    body = {"version": model.body["version"], "stage": stage, "share": share, "key": None}
    made = fact("rollout", "release/bench", time=datetime.now(UTC), key=[last, stage], body=body, refs=refs)
    home.ledger.append([made], [Move(pointer, last, made.id)])

    def there() -> bool:
        challenger = call(server.url, server.token, "POST", "/control/sync", {})["challenger"]
        return challenger is None if stage == "ended" else bool(challenger and challenger["stage"] == stage)

    _until(there)


def _until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not done():
        if time.monotonic() > end:
            sys.exit("the challenger was not loaded")
        time.sleep(0.1)
