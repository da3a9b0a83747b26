"""Drift: false alarms while nothing changes, delays when something does, and what it costs; beside others' defaults.

`./dev bench drift [--full]`: 100 windows of each kind, with --full 2,000 (half an hour and more). Evidently, NannyML
and whylogs live in venvs of their own outside the repository, made at first use; one that cannot be had is left out.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from keepfit.datasets.profile import profile
from keepfit.monitoring.baseline import Baseline
from keepfit.monitoring.drift import Past, drift

DAYS, RATE = 60, 1 / 1000
START, DAY = datetime(2024, 3, 1), timedelta(days=1)
NUMBERS, SKEWED, TEXTS = 20, 4, 6
PEERS = Path(os.environ.get("KEEPFIT_BENCH_PEERS") or Path.home() / ".cache" / "keepfit-benchmarks")
LEVELS = {"plain": [0.6, 0.25, 0.1, 0.05], "category": [0.57, 0.25, 0.13, 0.05]}
Random = np.random.Generator
Make = Callable[[Random, int, int], pl.DataFrame]


def window(random: Random, rows: int, day: int, *, change: str = "", nature: str = "") -> pl.DataFrame:
    """Rows of one day: 20 normal columns, 4 skewed ones, 6 categories; 1 in 100 of one column is missing."""
    numbers = random.normal(size=(rows, NUMBERS + SKEWED))
    if nature == "remembers":  # each row is like the one before
        for i in range(1, rows):
            numbers[i] = 0.8 * numbers[i - 1] + 0.6 * numbers[i]
    if nature == "weekly":
        numbers[:, :10] += 0.5 * np.sin(2 * np.pi * day / 7)
    numbers[:, NUMBERS:] = np.exp(numbers[:, NUMBERS:])
    if change == "mean":
        numbers[:, 3] += 0.1
    if change == "spread":
        numbers[:, 3] *= np.sqrt(1.2)
    gaps = random.random(rows) < (0.03 if change == "missing" else 0.01)
    numbers[gaps, 0] = np.nan
    columns = {f"n{i}": pl.Series(numbers[:, i]).fill_nan(None) for i in range(NUMBERS + SKEWED)}
    for i in range(TEXTS):
        shares = LEVELS["category" if change == "category" and i == 2 else "plain"]
        codes = random.choice(4, rows, p=shares)
        columns[f"t{i}"] = pl.Series(codes).cast(pl.Int8).replace_strict([0, 1, 2, 3], ["a", "b", "c", "d"])
    at = datetime(2024, 1, 1) + day * DAY
    return pl.DataFrame(columns).with_columns(at=pl.lit(at))


def main() -> None:
    full = "--full" in sys.argv
    count = 2_000 if full else 100
    print(f"-- alarms in {count:,} windows of 30 columns with nothing changed (budget: {RATE * count:g})")
    for nature in ("", "remembers", "weekly"):
        for rows in (200, 500, 2_000, 20_000) if not nature else (500,):
            told, cost = _false_alarms(rows, count, nature)
            name = {"": "independent rows", "remembers": "rows like the one before", "weekly": "a weekly season"}[
                nature
            ]
            print(f"{rows:>7,} rows, {name:<26} {told:>3} alarms   {cost * 1000:.1f} ms CPU a window", flush=True)
    print(
        "-- windows of 2,000 rows until it is told, in one of 30 columns: median, and how often the right one is first"
    )
    for change, column in {"mean": "n3", "spread": "n3", "category": "t2", "missing": "n0"}.items():
        name = {"mean": "+0.1 sd", "spread": "variance x 1.2", "category": "a level +3 points", "missing": "+2 points"}
        delays = [_delay(change, column, seed) for seed in range(100 if full else 15)]
        right = sum(first for _, first in delays) / len(delays)
        print(
            f"{change:<9} {name[change]:<18} {statistics.median(d for d, _ in delays):>4}   right: {right:.0%}",
            flush=True,
        )
    _peers(100 if full else 5, (500, 2_000) if full else (500,))
    _cost()


def _known(random: Random, rows: int, nature: str = "") -> Baseline:
    days = [window(random, rows, day, nature=nature) for day in range(DAYS)]
    return Baseline(profile(pl.concat(days), time="at"))


def _false_alarms(rows: int, count: int, nature: str) -> tuple[int, float]:
    """Alarms, each told once, over several baselines of 100 windows each, and CPU seconds per window."""
    random, told, cost = np.random.default_rng(rows), 0, 0.0
    for _ in range(max(1, count // 100)):
        known, past = _known(random, min(rows, 5_000), nature), list[Past]()
        for i in range(100):
            now = window(random, rows, DAYS + i, nature=nature).drop("at")
            before, start = time.process_time(), START + i * DAY
            past.append(Past(start=start, drift=drift(now, start, known, past, RATE)))
            cost += time.process_time() - before
            told += any(m.told == start for m in past[-1].drift.moved)
    return told, cost / max(count, 100)


def _delay(change: str, column: str, seed: int) -> tuple[int, bool]:
    random, past = np.random.default_rng(seed), list[Past]()
    known = _BASELINES.setdefault(seed % 5, _known(np.random.default_rng(1000 + seed % 5), 2_000))
    for i in range(60):
        now = window(random, 2_000, DAYS + i, change=change if i >= 5 else "").drop("at")
        past.append(Past(start=START + i * DAY, drift=drift(now, START + i * DAY, known, past, RATE)))
        if i >= 5 and past[-1].drift.moved:
            return i - 4, past[-1].drift.moved[0].column == column
    return 60, False


_BASELINES: dict[int, Baseline] = {}


def _cost() -> None:
    """A million rows of 30 columns: the profile, and a window of them held against it."""
    print("-- 1,000,000 rows x 30 columns, medians of 5: seconds, CPU seconds")
    random = np.random.default_rng(1)
    frame = window(random, 1_000_000, 0)
    frame = frame.with_columns(at=pl.datetime(2024, 1, 1) + pl.duration(seconds=5 * pl.int_range(pl.len())))
    known = Baseline(found := profile(frame, time="at"))
    size = len(msgspec.json.encode(found))
    for name, work in {
        "profile": lambda: profile(frame, time="at"),
        "drift report": lambda: drift(frame, START, Baseline(found), [], RATE),
        "polars: mean, sd, min, max, gaps": lambda: frame.describe(),
    }.items():
        times = []
        for _ in range(5):
            before = time.perf_counter(), time.process_time()
            work()
            times.append((time.perf_counter() - before[0], time.process_time() - before[1]))
        wall, cpu = (statistics.median(t) for t in zip(*times, strict=True))
        print(f"{name:<34} {wall:.2f} s  {cpu:.2f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"peak memory {peak:,.0f} MB, {frame.estimated_size('mb'):,.0f} of them the table; "
        f"the profile is {size / 1000:,.0f} kB"
    )
    assert known.usable


def _peers(count: int, sizes: Sequence[int]) -> None:
    """How often others flag some column of a window, at their defaults."""
    print(f"-- others at their defaults: share of {count} windows with some column flagged, and seconds a window")
    with tempfile.TemporaryDirectory(prefix="keepfit-bench-") as folder:
        for rows in sizes:
            random = np.random.default_rng(rows)
            pl.concat(window(random, rows, d) for d in range(20)).drop("at").write_parquet(
                f"{folder}/reference.parquet"
            )
            nows = [window(random, rows, d).drop("at") for d in range(count)]
            pl.concat(nows).write_parquet(f"{folder}/current.parquet")
            for name, (needs, script) in _SCRIPTS.items():
                python = _venv(name, needs)
                if python is None:
                    continue
                call = [str(python), "-W", "ignore", "-c", _READ + script, folder, str(rows)]
                done = subprocess.run(call, capture_output=True, text=True)
                if done.returncode:
                    print(f"{name} fails here, and is left out: {done.stderr.strip().splitlines()[-1][:120]}")
                    continue
                flagged, seconds = json.loads(done.stdout.strip().splitlines()[-1])
                print(f"{rows:>7,} rows   {name:<10} {flagged / count:>5.0%}   {seconds / count:.2f} s")


def _venv(name: str, needs: list[str]) -> Path | None:
    """The peer's Python, installed at first use; None where it cannot be."""
    python = PEERS / name / "bin" / "python"
    if not python.exists():
        try:
            venv.create(PEERS / name, with_pip=True, clear=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *needs], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as problem:
            print(f"{name} cannot be installed here, and is left out: {problem}")
            return None
    return python


_READ = """
import json, sys, time
import pandas as pd
folder, rows = sys.argv[1], int(sys.argv[2])
reference, current = (pd.read_parquet(f"{folder}/{n}.parquet") for n in ("reference", "current"))
parts = [current.iloc[i:i + rows].reset_index(drop=True) for i in range(0, len(current), rows)]
"""
_SCRIPTS = {
    "evidently": (
        ["evidently", "pandas<3", "pyarrow"],
        """
from evidently import Report
from evidently.presets import DataDriftPreset
start, flagged = time.time(), 0
for part in parts:
    found = Report([DataDriftPreset()]).run(part, reference).dict()
    flagged += found["metrics"][0]["value"]["count"] > 0
print(json.dumps([int(flagged), time.time() - start]))
""",
    ),
    "nannyml": (
        ["nannyml", "statsmodels", "plotly", "pandas<3", "pyarrow"],
        """
import nannyml
calculator = nannyml.UnivariateDriftCalculator(column_names=list(reference), chunk_size=rows).fit(reference)
start = time.time()
found = calculator.calculate(current).filter(period="analysis").to_df()
alerts = found[[c for c in found.columns if c[-1] == "alert"]]
print(json.dumps([int(alerts.any(axis=1).sum()), time.time() - start]))
""",
    ),
    "whylogs": (
        ["whylogs[viz]", "pandas<3", "numpy<2", "pyarrow"],
        """
import whylogs
from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores
before, start, flagged = whylogs.log(reference).view(), time.time(), 0
for part in parts:
    found = calculate_drift_scores(whylogs.log(part).view(), before, with_thresholds=True)
    flagged += any(s and s["drift_category"] == "DRIFT" for s in found.values())
print(json.dumps([int(flagged), time.time() - start]))
""",
    ),
}


if __name__ == "__main__":
    main()
