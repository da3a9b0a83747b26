"""The trial step, in a process of its own: does the package load, repeat itself, and answer in its time and memory?"""

from __future__ import annotations

import resource
import signal
import sys
import threading
import time
from pathlib import Path

import msgspec
import numpy as np

from keepfit.core.clocks import duration
from keepfit.core.errors import PackageError
from keepfit.core.memory import held_by, size
from keepfit.loadtest.alone import alone
from keepfit.loadtest.demand import demand
from keepfit.loadtest.fire import fire
from keepfit.loadtest.load import Figures, best
from keepfit.loadtest.questions import questions_of
from keepfit.packages.load import Scorer, load
from keepfit.packages.unpack import read_manifest
from keepfit.runs.child import end, run_step
from keepfit.serving.settings import ServeSettings
from keepfit.serving.signature import Signature

SINGLE_ROWS = 100
LEAST_ROUNDS, MOST_ROUNDS = 2, 10
MEASURING = 1.5
"""Seconds after which no further round begins."""
LONGEST, LEAST_ROWS = 4.0, 10
"""Seconds after which a round ends, once it has so many rows."""
LOADS = 3
"""Rounds of a load in which its demand may be met."""
LOOKING = 0.02
"""Seconds between two looks at the memory that is held."""


class TrialSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What the trial step is told."""

    package: str
    load: list[str] = []
    memory: str = "50%"
    within: str = "25s"


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
    loads: list[Figures] = []
    """The best round of each load."""


def trial(folder: Path) -> None:
    """Load `package/`, repeat its golden rows, time single rows, send loads; leave `trial.json` in `out/`."""
    spec = msgspec.json.decode((folder / "spec.json").read_bytes(), type=TrialSpec)
    tried = threading.Event()
    threading.Thread(target=_watch, args=(folder, spec, tried), daemon=True).start()
    started = time.perf_counter()
    scorer = load(folder / "package")
    loaded = time.perf_counter() - started
    Signature(scorer.manifest.inputs)  # what the endpoint reads rows with: what it cannot read may not ship
    scorer.self_test()
    golden = scorer.golden()
    tried.set()
    signal.alarm(0)
    times = _times(scorer)
    unit = 1 if sys.platform == "darwin" else 1024
    found = Trial(
        golden_rows=golden.height,
        p50=float(np.median(times)),
        p99=float(np.quantile(times, 0.99)),
        load=loaded,
        memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        loads=_loads(folder / "package", spec) if spec.load else [],
    )
    (folder / "out" / "trial.json").write_bytes(msgspec.json.encode(found))


def _times(scorer: Scorer) -> list[float]:
    """Seconds for single rows, of the best of several rounds: what else the machine does only makes them longer."""
    golden, rounds, ending = scorer.golden(), list[list[float]](), time.perf_counter() + MEASURING
    while len(rounds) < LEAST_ROUNDS or (len(rounds) < MOST_ROUNDS and time.perf_counter() < ending):
        times: list[float] = []
        while len(times) < SINGLE_ROWS and (len(times) < LEAST_ROWS or sum(times) < LONGEST):
            row = golden[len(times) % golden.height]
            before = time.perf_counter()
            scorer.score(row)
            times.append(time.perf_counter() - before)
        rounds.append(times)
    return min(rounds, key=lambda times: np.quantile(times, 0.99))


def _loads(package: Path, spec: TrialSpec) -> list[Figures]:
    """The best round of each load on the package behind an endpoint of its own."""
    found = []
    with alone(package, spec.package, ServeSettings(memory=spec.memory)) as target:
        for wanted in map(demand, spec.load):
            rounds = list[Figures]()
            while len(rounds) < LOADS and not any(map(wanted.met, rounds)):
                questions = questions_of(package, read_manifest(package).version)
                rounds.append(fire(target, questions, wanted.load))
            found.append(best(rounds, wanted.name))
    return found


def _watch(folder: Path, spec: TrialSpec, tried: threading.Event) -> None:
    """End the process when the package takes too much memory, or too long to load and repeat itself."""
    most, within = size(spec.memory), duration(spec.within).total_seconds()
    signal.alarm(int(within) + 5)  # by the kernel, should the package not let this thread run
    begun = time.monotonic()
    while True:
        if (held := held_by()) > most:
            end(folder, PackageError(f"it takes {held // 10**6:,} MB of memory, {most // 10**6:,} MB are allowed"))
        if not tried.is_set() and time.monotonic() - begun > within:
            end(folder, PackageError(f"it did not load and answer its golden rows within {spec.within}"))
        time.sleep(LOOKING)


if __name__ == "__main__":
    run_step(trial)
