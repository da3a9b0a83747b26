"""A unit of work and what an engine promises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import msgspec


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A Python module to run in a clean process: `python -m module folder`.

    It finds its input in `folder`, and leaves its output there.
    """

    module: str
    folder: Path
    python: str | None = None
    """The interpreter, in whose environment keepfit is installed; the submitter's own if unset."""
    environment: dict[str, str] = {}
    """Replaces the caller's environment, apart from what the engine needs to start Python."""
    timeout: float | None = None
    """Seconds until the step is ended."""


class Outcome(msgspec.Struct, frozen=True):
    """How a step ended."""

    exit_code: int
    """Negative: the signal that ended it."""
    log: str
    """The tail of what it printed."""
    timed_out: bool = False


class Engine(Protocol):
    """Runs steps somewhere. A step never outlives the process that submitted it."""

    def submit(self, step: Step) -> str:
        """Start a step; gives a ticket for the other methods."""
        ...

    def watch(self, ticket: str) -> Iterator[str]:
        """Lines the step prints, as they come, until it ends."""
        ...

    def result(self, ticket: str) -> Outcome:
        """Wait for the end."""
        ...

    def cancel(self, ticket: str) -> None:
        """End the step and everything it started; no error when it has ended."""
        ...
