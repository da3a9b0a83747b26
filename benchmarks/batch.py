"""A file predicted in parts, beside the bare model on the same rows: CPU seconds, and the most memory each has.

HistGradientBoosting, 100 trees, 30 features, one thread. Bare: one process reads all rows, predicts, and writes all
rows with the predictions; nothing is checked, logged or kept. Here: all of that, in the command as people give it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.serving import FEATURES, one_thread, write_project

ROWS = int(os.environ.get("KEEPFIT_BENCH_ROWS", "1000000"))
ROUNDS = 3
BARE = """
import pickle, sys
import polars as pl
model = pickle.load(open(sys.argv[1], "rb"))
rows = pl.read_parquet(sys.argv[2])
rows.with_columns(prediction=model.predict_proba(rows.to_numpy())[:, 1]).write_parquet(sys.argv[3])
"""
MADE = """
import sys
import numpy as np, polars as pl
file, seed, rows, width = sys.argv[1], *map(int, sys.argv[2:])
values = np.random.default_rng(seed).normal(size=(rows, width))
pl.DataFrame(values, [f"f{i}" for i in range(width)]).write_parquet(file, row_group_size=250_000)
"""


def main() -> None:
    names = [f"f{i}" for i in range(FEATURES)]
    with tempfile.TemporaryDirectory() as place:
        root, file, out = Path(place), Path(place) / "many.parquet", Path(place) / "out.parquet"
        write_project(root, names, np.random.default_rng(0).normal(size=(20_000, FEATURES)).round(4))
        _cost([sys.executable, "-m", "keepfit", "retrain", "--json"], root)
        print(f"{ROWS:,} rows x {FEATURES}: {ROWS * FEATURES * 8 / 1e6:,.0f} MB in memory")
        pairs = []
        for number in range(ROUNDS):
            # other rows each time, for known rows cost nothing; made elsewhere, for memory counts from the parent's
            subprocess.run([sys.executable, "-c", MADE, str(file), str(number), str(ROWS), str(FEATURES)], check=True)
            bare = _cost([sys.executable, "-c", BARE, "model.pickle", str(file), str(out)], root)
            ours = _cost([sys.executable, "-m", "keepfit", "predict", "--batch", str(file), str(out)], root)
            assert pl.scan_parquet(out).select(pl.len()).collect().item() == ROWS
            pairs.append((ours, bare))
        for at, name in enumerate(("CPU seconds", "memory, MB")):
            mine, other = (statistics.median(side[at] for side in sides) for sides in zip(*pairs, strict=True))
            ratio = statistics.median(ours[at] / bare[at] for ours, bare in pairs)
            print(f"{name:<14} {mine:9.1f}   {ratio:5.2f} x bare ({other:.1f})")


def _cost(command: Sequence[str], root: Path) -> tuple[float, float]:
    """CPU seconds of a command, and the most memory it had, in MB."""
    process = subprocess.Popen(command, cwd=root, env=one_thread(), stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = status
    assert status == 0, command
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3
