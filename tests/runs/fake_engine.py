"""An engine that does not start a process: what a step says and leaves is computed on the spot."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from keepfit.engines import Outcome, Step
from keepfit.home import Home
from keepfit.ledger import open_ledger
from keepfit.objects import open_objects
from keepfit.runs.log import Log
from keepfit.runs.machine import LEFT
from keepfit.runs.run import Plan

Fit = Callable[[dict[str, Any], Log], object]


class FakeEngine:
    """Runs `fit(parameters, log)`; what it raises ends the step with exit code 1."""

    def __init__(self, fit: Fit) -> None:
        self.fit = fit
        self.ran: list[dict[str, Any]] = []
        self._steps: dict[str, Step] = {}
        self._cancelled: set[str] = set()
        self._lock = threading.Lock()

    def submit(self, step: Step) -> str:
        with self._lock:
            ticket = str(len(self._steps))
            self._steps[ticket] = step
            return ticket

    def watch(self, ticket: str) -> Iterator[str]:
        return iter(())

    def result(self, ticket: str) -> Outcome:
        folder = self._steps[ticket].folder
        parameters = msgspec.json.decode((folder / "spec.json").read_bytes())["parameters"]
        with self._lock:
            self.ran.append(parameters)
        try:
            with Log(folder) as log:
                self.fit(parameters, log)
        except Exception as problem:
            return Outcome(1, f"before\n{problem}")
        (folder / "out" / "made.txt").write_text(repr(parameters))
        (folder / LEFT).touch()
        return Outcome(-9 if ticket in self._cancelled else 0, "")

    def cancel(self, ticket: str) -> None:
        self._cancelled.add(ticket)


def home_with(folder: Path, fit: Fit) -> tuple[Home, FakeEngine]:
    engine = FakeEngine(fit)
    ledger = open_ledger("sqlite:.keepfit/ledger.db", folder)
    objects = open_objects("folder:.keepfit/objects", folder)
    return Home(root=folder, ledger=ledger, objects=objects, engine=engine, actor="ana"), engine


def plan(home: Home, **parameters: Any) -> Plan:
    return Plan(
        subject="model/m",
        module="fake",
        spec={"parameters": parameters},
        code={},
        data={},
        environment=home.objects.put(b"environment"),
        seed=7,
    )
