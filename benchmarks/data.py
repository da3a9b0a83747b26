"""Versions of data: add, status, a second version and checkout against DVC and the physical limit; a keyed diff.

`./dev bench data [--full]`: 20,000 small files (100,000 with --full) and a file of 1 GiB. DVC lives in a venv of its
own outside the repository, made at first use; where it cannot be had its column stays empty.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from keepfit.core.digests import digest_file

TOML = """
model = "m"
[data.d]
from = "none.csv"
x = { type = "number" }
y = { type = "number", role = "label" }
[train]
fit = "m:fit"
"""
DVC = Path(os.environ.get("KEEPFIT_BENCH_DVC") or Path.home() / ".cache" / "keepfit-benchmarks" / "dvc")
DIFF_ROWS = 10_000_000


def main() -> None:
    full = "--full" in sys.argv
    dvc = _dvc()
    with tempfile.TemporaryDirectory(prefix="keepfit-bench-") as name:
        root = Path(name)
        count = 100_000 if full else 20_000
        _measure(f"{count:,} files of 1 kB", root / "small", lambda at: _small(at, count), _change_small, dvc)
        _measure("a file of 1 GiB", root / "large", _large, _change_large, dvc)
        _keyed_diff(root)


def _measure(
    title: str, root: Path, make: Callable[[Path], None], change: Callable[[Path], None], dvc: Path | None
) -> None:
    """One shape of data through every step, on each tool in turn."""
    print(f"-- {title}: seconds, and CPU seconds")
    ours, theirs = root / "keepfit", root / "dvc"
    tools = {"keepfit": _keepfit(ours)} | ({"dvc": _dvc_commands(theirs, dvc)} if dvc else {})
    for name, folder in (("keepfit", ours), ("dvc", theirs)):
        if name in tools:
            make(folder / "data")
    time.sleep(0.1)
    limits = {
        "add": ("read, hash and copy", lambda: _copy(ours / "data", root / "copy")),
        "status": ("walk and stat", lambda: _walk(ours / "data")),
        "checkout": ("copy", lambda: _copy(ours / "data", root / "copy", hashed=False)),
    }
    for step in ("add", "status", "second version", "status again", "checkout"):
        if step == "second version":
            change(ours / "data")
            if dvc:
                change(theirs / "data")
            time.sleep(0.1)
        if step == "checkout":
            for folder in (ours, theirs):
                shutil.rmtree(folder / "data", ignore_errors=True)
                (folder / "data.file").unlink(missing_ok=True)
        times = {name: _timed(commands[step]) for name, commands in tools.items()}
        if step in limits and (ours / "data").exists():
            what, limit = limits[step]
            times[what] = _timed_call(limit)
        mine = times["keepfit"]
        told = [f"{name} {wall:.2f} s ({cpu:.2f}) = {wall / mine[0]:.1f} x" for name, (wall, cpu) in times.items()]
        print(f"{step:<16} " + "   ".join(told))


def _keepfit(folder: Path) -> dict[str, list[list[str]]]:
    folder.mkdir(parents=True)
    (folder / "keepfit.toml").write_text(TOML)
    (folder / "m.py").write_text("def fit(X, y): ...")
    data = [sys.executable, "-m", "keepfit", "data"]
    at = ["--project", str(folder)]
    path = str(folder / "data")
    return {
        "add": [[*data, "add", path, *at]],
        "status": [[*data, "status", "data", *at]],
        "second version": [[*data, "add", path, *at]],
        "status again": [[*data, "status", "data", *at]],
        "checkout": [[*data, "checkout", "data@1", *at]],
    }


def _dvc_commands(folder: Path, dvc: Path) -> dict[str, list[list[str]]]:
    folder.mkdir(parents=True)
    for command in (
        ["init", "--no-scm"],
        ["config", "core.analytics", "false"],
        ["config", "core.check_update", "false"],
    ):
        subprocess.run([dvc, *command], cwd=folder, check=True, capture_output=True)
    run = [str(dvc), "--cd", str(folder)]
    return {
        "add": [[*run, "add", "--quiet", "data"]],
        "status": [[*run, "status", "--quiet"]],
        "second version": [[*run, "add", "--quiet", "data"]],
        "status again": [[*run, "status", "--quiet"]],
        "checkout": [[*run, "checkout", "--quiet"]],
    }


def _timed(commands: Sequence[Sequence[str]]) -> tuple[float, float]:
    before, start = os.times(), time.perf_counter()
    for command in commands:
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start, cpu


def _timed_call(call: Callable[[], object]) -> tuple[float, float]:
    start, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - cpu


def _small(at: Path, count: int) -> None:
    for i in range(count):
        if i % 100 == 0:
            (at / f"{i // 100:04}").mkdir(parents=True)
        (at / f"{i // 100:04}" / f"{i % 100:02}.txt").write_text(f"{i} " * 150)


def _change_small(at: Path) -> None:
    """Change one per cent of the files, in ten per cent of the folders."""
    for folder in sorted(at.iterdir())[::10]:
        for file in sorted(folder.iterdir())[:10]:
            file.write_text(file.read_text() + "changed")


def _large(at: Path) -> None:
    at.mkdir(parents=True)
    with (at / "large.bin").open("wb") as file:
        for _ in range(1024):
            file.write(os.urandom(1 << 20))


def _change_large(at: Path) -> None:
    """One per cent at the end, and a few bytes in the middle."""
    with (at / "large.bin").open("r+b") as file:
        file.seek(500 << 20)
        file.write(os.urandom(1 << 20))
        file.seek(0, os.SEEK_END)
        file.write(os.urandom(10 << 20))


def _copy(source: Path, target: Path, *, hashed: bool = True) -> None:
    """The least that adding can do: read every file, hash it, write it, and sync once."""
    shutil.rmtree(target, ignore_errors=True)
    for folder, _, names in os.walk(source):
        place = target / os.path.relpath(folder, source)
        place.mkdir(parents=True)
        for name in names:
            if hashed:
                digest_file(Path(folder, name))
            shutil.copyfile(os.path.join(folder, name), place / name)
    os.sync()
    shutil.rmtree(target)


def _walk(folder: Path) -> int:
    return sum(1 for _ in _stats(str(folder)))


def _stats(folder: str) -> Iterator[os.stat_result]:
    with os.scandir(folder) as found:
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                yield from _stats(entry.path)
            else:
                yield entry.stat(follow_symlinks=False)


def _dvc() -> Path | None:
    """DVC's command, installed at first use; None where it cannot be."""
    command = DVC / "bin" / "dvc"
    if not command.exists():
        try:
            venv.create(DVC, with_pip=True, clear=True)
            subprocess.run([DVC / "bin" / "pip", "install", "--quiet", "dvc"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as problem:
            print(f"DVC cannot be installed here, and is left out: {problem}")
            return None
    return command


def _keyed_diff(root: Path) -> None:
    """Two versions of a table by key, and the same counts with bare polars."""
    import numpy as np
    import polars as pl

    print(f"-- keyed diff of {DIFF_ROWS:,} rows x 10 columns: seconds, and CPU seconds")
    random = np.random.default_rng(1)
    before = pl.DataFrame(
        {"id": np.arange(DIFF_ROWS)}
        | {f"f{i}": random.normal(size=DIFF_ROWS) for i in range(5)}
        | {f"i{i}": random.integers(0, 100_000, DIFF_ROWS) for i in range(3)}
        | {"text": pl.Series(random.integers(0, 1000, DIFF_ROWS)).cast(pl.String)}
    )
    changed = pl.Series(random.random(DIFF_ROWS) < 0.01)
    after = before.with_columns(f0=pl.when(changed).then(pl.col("f0") + 1).otherwise("f0")).slice(1000)
    project = root / "diff"
    commands = _keepfit(project)
    (project / "data").mkdir()
    for frame in (before, after):
        frame.write_parquet(project / "data" / "t.parquet")
        _timed(commands["add"])
    before.write_parquet(root / "before.parquet")
    data = [sys.executable, "-m", "keepfit", "data", "diff", "data@1", "data@2", "--project", str(project)]
    ours = _timed([[*data, "--key", "id"]])
    bare = _timed([[sys.executable, "-c", _BARE, str(root / "before.parquet"), str(project / "data" / "t.parquet")]])
    read = _timed([[sys.executable, "-c", _READ, str(root / "before.parquet"), str(project / "data" / "t.parquet")]])
    for name, (wall, cpu) in {
        "keepfit data diff": ours,
        "polars, rows only": bare,
        "polars, reading only": read,
    }.items():
        print(f"{name:<24} {wall:.2f} s ({cpu:.2f}) = {wall / ours[0]:.2f} x")


_BARE = """
import sys, polars as pl
a, b = (pl.scan_parquet(p) for p in sys.argv[1:])
values = [c for c in a.collect_schema().names() if c != "id"]
a, b = (s.select("id", h=pl.struct(values).hash()).collect() for s in (a, b))
j = a.join(b, on="id", how="full", suffix="_after")
added, removed = (pl.col(c).is_null().sum().alias(c) for c in ("h", "h_after"))
print(j.select(added, removed, changed=(pl.col("h") != pl.col("h_after")).sum()))
"""
_READ = """
import sys, polars as pl
for p in sys.argv[1:]:
    pl.read_parquet(p)
"""

if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
