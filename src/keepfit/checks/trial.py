"""The trial step, run in a process of its own: does the package load, repeat itself, and answer in time?"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import msgspec
import numpy as np

from keepfit.packages.load import Scorer, load
from keepfit.runs.child import run_step
from keepfit.serving.signature import Signature

SINGLE_ROWS = 100
LEAST_ROUNDS, MOST_ROUNDS = 2, 10
MEASURING = 1.5
"""Seconds after which no further round begins."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured."""

    golden_rows: int
    p50: float
    """Seconds for one row, median over single-row predictions."""
    p99: float
    load: float
    """Seconds to load the package, its libraries included."""
    memory: int
    """Peak bytes of the process."""


def trial(folder: Path) -> None:
    """Load `package/`, repeat its golden rows, time single rows; leave `trial.json` in `out/`."""
    started = time.perf_counter()
    scorer = load(folder / "package")
    loaded = time.perf_counter() - started
    Signature(scorer.manifest.inputs)  # what the endpoint reads rows with: what it cannot read may not ship
    scorer.self_test()
    golden = scorer.golden()
    times = _times(scorer)
    unit = 1 if sys.platform == "darwin" else 1024
    found = Trial(
        golden_rows=golden.height,
        p50=float(np.median(times)),
        p99=float(np.quantile(times, 0.99)),
        load=loaded,
        memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
    )
    (folder / "out" / "trial.json").write_bytes(msgspec.json.encode(found))


def _times(scorer: Scorer) -> list[float]:
    """Seconds for single rows, of the best of several rounds: what else the machine does only makes them longer."""
    golden, rounds, ending = scorer.golden(), list[list[float]](), time.perf_counter() + MEASURING
    while len(rounds) < LEAST_ROUNDS or (len(rounds) < MOST_ROUNDS and time.perf_counter() < ending):
        times = []
        for i in range(SINGLE_ROWS):
            row = golden[i % golden.height]
            before = time.perf_counter()
            scorer.score(row)
            times.append(time.perf_counter() - before)
        rounds.append(times)
    return min(rounds, key=lambda times: np.quantile(times, 0.99))


if __name__ == "__main__":
    run_step(trial)
