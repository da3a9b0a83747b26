"""What it costs to find that nothing is to be done, beside the bare libraries, the disk, and DVC."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from benchmarks.timing import compare
from keepfit.home import Home
from keepfit.ledger import Point, fact, open_ledger
from keepfit.objects import open_objects
from keepfit.runs.execute import execute
from keepfit.runs.log import Log
from keepfit.runs.run import Plan
from keepfit.runs.search import search

PEER = Path(tempfile.gettempdir()) / "keepfit-bench-dvc"
"""Where DVC is installed, in an environment of its own; $KEEPFIT_BENCH_DVC names another."""
STEPS = 10
ROWS = 2_000

TOML = """
model = "plain"
[data.rows]
from = "rows.csv"
x    = { type = "number" }
y    = { type = "bool", role = "label" }
[train]
fit = "plain:fit"
"""
CODE = """
from sklearn.linear_model import LogisticRegression
def fit(X, y):
    return LogisticRegression().fit(X, y)
"""
STAGES = "stages:\n" + "".join(
    f"  s{n}:\n    cmd: cp rows.csv out{n}.csv\n    deps: [rows.csv, plain.py]\n    outs: [out{n}.csv]\n"
    for n in range(STEPS)
)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pl.DataFrame({"x": range(ROWS), "y": [n % 3 == 0 for n in range(ROWS)]}).write_csv(folder / "rows.csv")
        (folder / "keepfit.toml").write_text(TOML)
        (folder / "plain.py").write_text(CODE)
        _commands(folder)
        _in_process(folder)
        _logging(folder)


def _commands(folder: Path) -> None:
    train = [sys.executable, "-m", "keepfit", "train"]
    subprocess.run(train, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    compare("keepfit train, unchanged / bare interpreter", train, [sys.executable, "-c", "pass"], cwd=str(folder))
    compare("keepfit train, unchanged / import polars", train, [sys.executable, "-c", "import polars"], cwd=str(folder))
    if dvc := _dvc():
        subprocess.run([dvc, "init", "--no-scm", "-q"], cwd=folder, check=True)
        (folder / "dvc.yaml").write_text(STAGES)
        subprocess.run([dvc, "repro", "-q"], cwd=folder, check=True)
        compare("keepfit train, unchanged / dvc repro s0", train, [dvc, "repro", "-q", "s0"], cwd=str(folder))
        compare(f"keepfit train, unchanged / dvc repro, {STEPS} steps", train, [dvc, "repro", "-q"], cwd=str(folder))
    else:
        print("DVC could not be installed: left out")


def _in_process(folder: Path) -> None:
    home = Home(
        root=folder,
        ledger=open_ledger("sqlite:.keepfit/steps.db", folder),
        objects=open_objects("folder:.keepfit/steps", folder),
        engine=_Nothing(),  # type: ignore[arg-type]
    )
    environment, rounds = home.objects.put(b"environment"), iter(range(1_000_000))

    def plans(number: int) -> list[Plan]:
        spec = {"parameters": {"round": number}}
        return [
            Plan(subject="model/m", module=f"s{n}", spec=spec, code={}, data={}, environment=environment)
            for n in range(STEPS)
        ]

    known = plans(-1)
    for plan in known:
        execute(home, plan)

    def facts() -> None:
        number = next(rounds)
        for n in range(STEPS):
            home.ledger.append([fact("run", "model/m", time=home.clock.now(), key=["bench", number, n])])

    def synced() -> None:
        for n in range(STEPS):
            with open(folder / f"synced{n}", "wb") as file:
                file.write(b"x" * 300)
                file.flush()
                os.fsync(file.fileno())

    disk = _seconds(synced)
    _print(f"{STEPS} known steps", _seconds(lambda: [execute(home, plan) for plan in known]), disk)
    _print(f"{STEPS} durable facts", _seconds(facts), disk)
    fresh = _seconds(lambda: [execute(home, plan) for plan in plans(next(rounds))])
    _print(f"{STEPS} new steps that do nothing, without a process", fresh, disk)
    body = {"key": "", "spec": {}, "code": {}, "data": {}, "seconds": 1.0, "outputs": {}}
    home.ledger.append(
        [
            fact(
                "run",
                "model/many",
                time=home.clock.now(),
                key=number,
                body=body,
                refs={"environment": environment},
                attributes={"metric.auc": number % 997 / 997, "param.rate": number % 13},
            )
            for number in range(10_000)
        ]
    )
    found = _seconds(lambda: search(home, "model/many", where="auc > 0.5 and rate < 7", sort="auc", limit=20))
    print(f"{'search of 10,000 runs by two conditions, sorted':<52} {found * 1000:8.2f} ms")
    many = [Point(n, n / 7, home.clock.now()) for n in range(100_000)]
    spent = _seconds(lambda: home.ledger.record("bench", many), rounds=3)
    print(f"{'values of a curve recorded durably':<52} {len(many) / spent:8,.0f} /s")


def _logging(folder: Path) -> None:
    calls = 1_000_000
    log = Log(folder)
    started = time.process_time()
    for step in range(calls):
        log("loss", 0.5, step)
    spent = time.process_time() - started
    print(f"{'a call of log, over a million of them':<52} {spent / calls * 1e6:8.2f} us CPU")


class _Nothing:
    """An engine whose steps are over at once and leave an empty file: what is left is the recording."""

    def submit(self, step: object) -> str:
        (step.folder / "out" / "made").write_bytes(b"")  # type: ignore[attr-defined]
        return ""

    def result(self, ticket: str) -> object:
        from keepfit.engines import Outcome

        return Outcome(0, "")

    def cancel(self, ticket: str) -> None:
        pass


def _seconds(do: Callable[[], object], rounds: int = 15) -> float:
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        do()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _print(title: str, ours: float, disk: float) -> None:
    print(f"{title:<52} {ours * 1000:8.2f} ms   {ours / disk:6.2f} x {STEPS} synced files ({disk * 1000:.2f} ms)")


def _dvc() -> str | None:
    """The dvc command, installed when it is not there yet; None when it cannot be."""
    if named := os.environ.get("KEEPFIT_BENCH_DVC"):
        return named
    dvc = PEER / "bin" / "dvc"
    if not dvc.exists():
        try:
            subprocess.run([sys.executable, "-m", "venv", str(PEER)], check=True)
            subprocess.run([PEER / "bin" / "pip", "install", "-q", "dvc"], check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
    return str(dvc)
