"""Other processes for the suites to race with and to kill: `python -m keepfit.testing.workers VERB ARGUMENT...`."""

from __future__ import annotations

import importlib
import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from keepfit.core.errors import NameMoved
from keepfit.engines import Engine, Step
from keepfit.ledger import Ledger, Move, Point, fact, open_ledger
from keepfit.objects import open_objects

NOON = datetime(2013, 5, 2, 12, tzinfo=UTC)


def start(verb: Callable[..., None], *arguments: object) -> subprocess.Popen[str]:
    """A new process that does one of the verbs below; what it prints can be read as it comes."""
    command = [sys.executable, "-m", __name__, verb.__name__, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill_at_random(worker: subprocess.Popen[str]) -> list[str]:
    """Kill a worker some time after its first line; gives the whole lines it printed."""
    assert worker.stdout is not None
    with worker.stdout as output:
        printed = output.readline()
        time.sleep(random.uniform(0, 0.1))
        worker.kill()
        printed += output.read()
    worker.wait()
    return [line.strip() for line in printed.splitlines(keepends=True) if line.endswith("\n")]


def append(url: str, root: str) -> None:
    """Append facts, each with a name and a point, for ever; print the id of each that is acknowledged."""
    ledger = open_ledger(url, Path(root))
    for number in itertools.count():
        _append_one(ledger, number)


def count(url: str, root: str, times: str) -> None:
    """Add one to the fact that the name `counter` points at, so many times."""
    ledger = open_ledger(url, Path(root))
    for _ in range(int(times)):
        increment(ledger)


def increment(ledger: Ledger) -> int:
    """Add one to the fact that the name `counter` points at, trying until it succeeds; gives the sum."""
    while True:
        old = ledger.name("counter")
        before = ledger.get(old) if old else None
        value = before.body["value"] + 1 if before else 1
        new = fact("count", "counter", time=NOON, key=[os.getpid(), os.urandom(8).hex()], body={"value": value})
        try:
            ledger.append([new], [Move("counter", old, new.id)])
            return int(value)
        except NameMoved:
            continue


def put(url: str, root: str) -> None:
    """Put ever new objects, in turn from memory, from a file and many at once; print those that are acknowledged."""
    objects, source = open_objects(url, Path(root)), Path(root) / f"source-{os.getpid()}"
    for number in itertools.count():
        content = os.urandom(1000) + bytes(200_000)
        source.write_bytes(content)
        if number % 3 == 2:
            digests = objects.put_all([source, *(os.urandom(1000) + bytes(40_000 * n) for n in range(30))])
        else:
            digests = [objects.put(source if number % 3 else content)]
        print(*digests, flush=True)


def submit(engine: str, module: str, folder: str) -> None:
    """Submit a step that never ends, and wait for it."""
    module_path = str(Path(folder))
    here = make_engine(engine)
    ticket = here.submit(Step(module=module, folder=Path(folder), environment={"PYTHONPATH": module_path}))
    for line in here.watch(ticket):
        print(line, flush=True)


def make_engine(path: str) -> Engine:
    """The engine made by `module:callable`."""
    module, _, name = path.partition(":")
    engine: Engine = getattr(importlib.import_module(module), name)()
    return engine


def _append_one(ledger: Ledger, number: int) -> None:
    made = fact("event", "crash", time=NOON, key=[os.getpid(), number], attributes={"number": number, "writer": "w"})
    ledger.record(f"series/{made.id}", [Point(number, number, NOON)])
    ledger.append([made], [Move(f"event/{made.id}", None, made.id)])
    print(made.id, flush=True)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
