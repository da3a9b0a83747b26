"""The inside of a run's process: do the step, and tell the parent on what it ran, or what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from keepfit.core.errors import KeepfitError
from keepfit.runs.machine import LEFT, machine


def run_step(step: Callable[[Path], None]) -> None:
    """Run `step` on the folder named on the command line; an error of ours goes to `error.json`, exit code 1."""
    folder = Path(sys.argv[1]).resolve()
    try:
        step(folder)
        (folder / LEFT).write_bytes(msgspec.json.encode(machine()))
    except KeepfitError as problem:
        told = {"code": problem.code, "message": problem.message, "where": problem.where, "hint": problem.hint}
        (folder / "error.json").write_bytes(msgspec.json.encode(told))
        sys.exit(1)
