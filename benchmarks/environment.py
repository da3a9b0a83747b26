"""What it costs to know the environment, beside reading every package's metadata and a bare walk over the names."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from keepfit.runs.environment import complete

TIMES = 21


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "installed.json"
        packages = complete(cache=cache).packages
        ours = _cpu(lambda: complete(cache=cache))
        peer = _cpu(lambda: [(d.metadata["Name"], d.version) for d in metadata.distributions()])
        limit = _cpu(_walk)
    print(
        f"{len(packages)} packages by what is installed {ours * 1000:7.2f} ms CPU   {ours / peer:5.2f} x "
        f"importlib.metadata's names and versions   {ours / limit:5.2f} x a walk that stats every record"
    )


def _walk() -> None:
    for folder in sys.path:
        if os.path.isdir(folder):
            for name in os.listdir(folder):
                if name.endswith(".dist-info"):
                    os.stat(os.path.join(folder, name, "RECORD"))


def _cpu(work: Callable[[], object]) -> float:
    """Median CPU seconds of one call."""
    seconds = []
    for _ in range(TIMES):
        before = time.process_time()
        work()
        seconds.append(time.process_time() - before)
    return statistics.median(seconds)
