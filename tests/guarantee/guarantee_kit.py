"""A load that is sent while something goes wrong, and what came of it on one line."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from serving_kit import MODEL, ask, row, until
from shooter import Job

from keepfit.core.errors import ServingError
from keepfit.loadtest.load import Figures, Load
from keepfit.serving.gateway import Running, start
from keepfit.serving.settings import ServeSettings

FULL = os.environ.get("KEEPFIT_GUARANTEE") == "full"
RATE = float(os.environ.get("KEEPFIT_GUARANTEE_RATE", "500" if FULL else "200"))
"""Requests a second: as many as the machine sustains beside everything else it does."""
REQUESTS = int(os.environ.get("KEEPFIT_GUARANTEE_REQUESTS", "100000" if FULL else "3000"))
ROWS = 100
SHOOTER = Path(__file__).with_name("shooter.py")


class Volley:
    """What is being asked; `figures` once it is over."""

    figures: Figures

    def __init__(self) -> None:
        self.begun = time.monotonic()

    def enough(self) -> bool:
        """Whether so many requests have been sent as a proof takes."""
        return (time.monotonic() - self.begun) * RATE >= REQUESTS

    def rest(self) -> None:
        """Wait until they have."""
        while not self.enough():
            time.sleep(0.2)


@contextlib.contextmanager
def volley(fault: str, url: str, token: str, versions: Sequence[int]) -> Iterator[Volley]:
    """Ask single rows of the toy model at a fixed rate during the block, from a process of its own.

    Each of these versions may answer, and must answer what it promises.
    """
    bodies = [msgspec.json.encode({"rows": [row(x)]}).decode() for x in range(ROWS)]
    promised = {version: [[1000.0 * version + x] for x in range(ROWS)] for version in versions}
    with volley_of(fault, Job(url, token, load(), bodies, promised)) as found:
        yield found


@contextlib.contextmanager
def kept(root: Path, **settings: Any) -> Iterator[Running]:
    """A gateway that is started again whenever it ends."""
    running = start(root, MODEL, ServeSettings(port=0, **settings))
    running.keep(print)
    try:
        yield running
    finally:
        running.stop()


def ready(running: Running) -> dict[str, Any]:
    """What is live, once a model answers."""

    def live() -> dict[str, Any] | None:
        with contextlib.suppress(ServingError):
            found: dict[str, Any] = ask(running, "GET", "/model")
            return found if found.get("ready") else None
        return None

    found: dict[str, Any] = until(live, 120)
    return found


def another(running: Running, number: int = signal.SIGTERM) -> None:
    """End the gateway by a signal, and wait for the next."""
    ready(running)
    pid = running.process.pid
    os.kill(pid, number)
    until(lambda: running.process.pid != pid, 120)
    ready(running)
    time.sleep(1)


def load() -> Load:
    return Load(rate=RATE, connections=900, seconds=36_000, poisson=True, patience=60.0)


@contextlib.contextmanager
def volley_of(fault: str, job: Job) -> Iterator[Volley]:
    """The same with a job of one's own."""
    process = subprocess.Popen([sys.executable, str(SHOOTER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin and process.stdout
    process.stdin.write(msgspec.json.encode(job) + b"\n")
    process.stdin.flush()
    process.stdout.readline()
    found = Volley()
    try:
        yield found
        found.rest()
    finally:
        said, _ = process.communicate(timeout=120)
    found.figures = msgspec.json.decode(said, type=Figures)
    print("\n" + told(fault, found.figures), flush=True)


def told(fault: str, figures: Figures) -> str:
    """The line of a proof."""
    versions = ", ".join(f"{name}: {count:,}" for name, count in figures.versions.items())
    return (
        f"{fault}: {figures.sent:,} requests, {figures.failed:,} failed, {figures.wrong:,} wrong values, "
        f"versions {versions}, longest wait {figures.latency['max'] * 1000:,.0f} ms"
        + "".join(f"\n  {example}" for example in figures.examples)
    )


def spotless(found: Volley) -> None:
    """Not one request failed."""
    figures = found.figures
    assert figures.sent >= REQUESTS * 0.9
    assert (figures.failed, figures.wrong, set(figures.statuses)) == (0, 0, {"200"}), figures.examples
