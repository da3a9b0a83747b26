"""Measuring commands by the CPU seconds the kernel charges them, which a busy machine changes little."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
from collections.abc import Sequence

RUNS = 11


def compare(title: str, ours: Sequence[str], bare: Sequence[str], *, cwd: str | None = None) -> None:
    """Print the CPU cost of a command and its ratio to a bare one, taken in turns."""
    _once(ours, cwd), _once(bare, cwd)
    pairs = [(_once(ours, cwd), _once(bare, cwd)) for _ in range(RUNS)]
    mine, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"{title:<44} {mine * 1000:7.1f} ms CPU   {ratio:5.2f} x bare ({other * 1000:.1f} ms)")


def _once(command: Sequence[str], cwd: str | None) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL, env=_environment())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
