"""Hearing what a step says of itself, while it runs and when it has ended."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from keepfit.core.clocks import Clock
from keepfit.ledger import Point
from keepfit.runs.log import FILE, FURTHEST, LONGEST

_PERIOD = 0.05
"""Seconds between looks at the file."""


class Said(msgspec.Struct, frozen=True):
    """One value of a metric, as it was logged."""

    name: str
    step: int
    value: float


Heard = Callable[[Said], bool | None]
"""Told of every value, in order; True ends the step: it need not go on."""


class Hearing:
    """All that one step has said: curves, final values, parameters.

    After `heard` has given True nothing more counts, so that what is kept does not depend on
    how far the step came before it was ended.
    """

    def __init__(self, folder: Path, clock: Clock, heard: Heard | None = None) -> None:
        self.curves: dict[str, list[Point]] = {}
        self.metrics: dict[str, float] = {}
        self.parameters: dict[str, Any] = {}
        self.stopped = False
        self._clock = clock
        self._heard = heard
        self._last: dict[str, float] = {}
        self._path = folder / FILE
        self._read = 0
        self._rest = b""

    @contextmanager
    def live(self, end: Callable[[], object]) -> Iterator[None]:
        """Listen while the block waits for the step; `end` is called when it need not go on."""
        if self._heard is None:
            yield
            return
        over, problems = threading.Event(), list[BaseException]()

        def listen() -> None:
            try:
                while not over.wait(_PERIOD):
                    self.catch_up()
                    if self.stopped:
                        end()
                        return
            except BaseException as problem:
                problems.append(problem)
                end()

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
        if problems:
            raise problems[0]

    def finish(self) -> None:
        """Take in the rest, and settle the final values."""
        self.catch_up()
        self.metrics = self._last | self.metrics

    def catch_up(self) -> None:
        """Take in what has been said since the last time."""
        if not self._path.is_file():
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            fresh = file.read()
        self._read += len(fresh)
        *lines, self._rest = (self._rest + fresh).split(b"\n")
        for line in lines:
            if not self.stopped:
                self._take(line)

    def _take(self, line: bytes) -> None:
        match _decoded(line):
            case ["value", str() as name, int() as step, int() | float() as value] if abs(step) <= FURTHEST:
                self.curves.setdefault(name, []).append(Point(step, float(value), self._clock.now()))
                self._last[name] = float(value)
                if self._heard and self._heard(Said(name, step, float(value))):
                    self.stopped = True
            case ["final", str() as name, None, int() | float() as value]:
                self.metrics[name] = float(value)
            case ["parameter", str() as name, None, (bool() | int() | float() | str()) as value]:
                self.parameters[name] = value


def _decoded(line: bytes) -> Any:
    """What a line says; None where it is none of ours, for the step's code may write what it likes."""
    try:
        row = json.loads(line)
        name = row[1]
        return row if isinstance(name, str) and 0 < len(name) <= LONGEST and name.isprintable() else None
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
