"""What a running step says of itself, written to a file as it comes; the user's function is given it as `log`.

    def fit(X, y, rate: float = 0.1, log=print):
        for step in range(100):
            ...
            log("loss", loss, step)

The function stays a plain one: whatever takes a name, a value and a step will do for `log`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = "log.jsonl"
"""In the folder of the step: a list per line, of what kind, name, step and value."""
NAMES = 300
"""Different names that are taken."""
WHOLE = 10_000
"""Values of a name that are all kept; of further ones every second, then every fourth ... and always the last."""
LONGEST = 200
"""Characters of a name, or of a parameter's text."""
FURTHEST = 2**53
"""The greatest step."""


class Log:
    """Takes `log(name, value, step)` or `log({name: value, ...}, step=...)`; without a step, the next one.

    It never raises and changes nothing in the caller: what is no number is left out, and told
    once on stderr. Threads and forked processes may share it; one that is pickled falls silent.
    """

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._series: dict[str, _Series] = {}
        self._lock = threading.Lock()
        self._told: set[str] = set()

    def __call__(self, name: object, value: object = None, step: object = None, **_: object) -> None:
        values = name.items() if isinstance(name, Mapping) else [(name, value)]
        for key, one in list(values):
            try:
                with self._lock:
                    self._value(key, number(one), step)
            except Exception as problem:
                self._complain(key, problem)

    def final(self, values: Mapping[Any, object]) -> None:
        """Say what the step came to: these stand for their names, whatever was logged before."""
        for key, value in values.items():
            try:
                self._write(["final", clean(key), None, number(value)])
            except Exception as problem:
                self._complain(key, problem)

    def parameters(self, values: Mapping[str, object]) -> None:
        """Say what the step worked with; only numbers, truth values and text."""
        for name, value in values.items():
            if isinstance(value, str):
                value = value[:LONGEST]
            if isinstance(value, bool | int | float | str):
                self._write(["parameter", clean(name), None, value])

    def close(self) -> None:
        """Write the last value of each name, where it was not among those kept.

        The file stays open: a thread of the user's that still logs must not find its number taken by another file.
        """
        with self._lock:
            for name, series in self._series.items():
                if series.waiting is not None:
                    self._write(["value", name, *series.waiting])
            self._series.clear()

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return (_unpickled, ())

    def _value(self, key: object, value: float, step: object) -> None:
        name = clean(key)
        series = self._series.get(name)
        if series is None:
            if len(self._series) >= NAMES:
                raise ValueError(f"there are {NAMES} names already")
            series = self._series[name] = _Series()
        at = series.place(step)
        if series.keeps():
            self._write(["value", name, at, value])
            series.waiting = None
        else:
            series.waiting = (at, value)

    def _write(self, row: list[object]) -> None:
        os.write(self._file, json.dumps(row).encode() + b"\n")  # one call: lines of several processes stay whole

    def _complain(self, key: object, problem: Exception) -> None:
        text = f"log: `{_text(key)}` is left out: {problem}"
        if len(self._told) < NAMES and text not in self._told:
            self._told.add(text)
            print(text[: 2 * LONGEST], file=sys.stderr)


@dataclass(slots=True)
class _Series:
    """How far the values of one name have come."""

    seen: int = 0
    stride: int = 1
    room: int = WHOLE
    next: int = 0
    waiting: tuple[int, float] | None = None

    def place(self, step: object) -> int:
        """The step as a whole number; the next one where there is none that can be counted."""
        at = self.next
        try:
            if step is not None and abs(found := int(step)) <= FURTHEST:  # type: ignore[call-overload]
                at = found
        except (TypeError, ValueError, OverflowError):
            pass
        self.next = at + 1
        return at

    def keeps(self) -> bool:
        """Whether the value that comes now is one of those kept."""
        kept = self.seen % self.stride == 0
        self.seen += 1
        if kept:
            self.room -= 1
            if self.room == 0:
                self.stride *= 2
                self.room = WHOLE // 2
        return kept


def number(value: object) -> float:
    """The value as a number, out of whatever library; an exception when it is none."""
    if isinstance(value, str | bytes):
        raise TypeError(f"{value[:20]!r} is text, not a number")
    return float(value.item() if hasattr(value, "item") else value)  # type: ignore[arg-type]


def clean(name: object) -> str:
    """The name in characters that can be shown; ValueError when nothing is left."""
    text = "".join(c if c.isprintable() else "?" for c in _text(name)).strip()
    if not text:
        raise ValueError("a name must not be empty")
    return text


def _text(name: object) -> str:
    return str(name)[:LONGEST].encode("utf-8", "replace").decode()


def _silent(*_: object, **__: object) -> None:
    """What a log becomes in another process."""


def _unpickled() -> Any:
    return _silent
