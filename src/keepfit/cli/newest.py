"""The newest values that a run has logged, on the changing line."""

from __future__ import annotations

import time

from keepfit.cli.report import Progress
from keepfit.pages.spark import figure
from keepfit.runs.hear import Said

_PERIOD = 0.1
"""Seconds between changes of the line, as fast as eyes follow."""


class Newest:
    """Shows what it hears: the step, and the newest value of each name."""

    def __init__(self, progress: Progress, what: str) -> None:
        self._progress = progress
        self._what = what
        self._values: dict[str, float] = {}
        self._due = 0.0

    def __call__(self, said: Said) -> None:
        self._values[said.name] = said.value
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + _PERIOD
            values = "  ".join(f"{name} {figure(value)}" for name, value in self._values.items())
            self._progress.show(f"{self._what}: step {said.step}  {values}")
