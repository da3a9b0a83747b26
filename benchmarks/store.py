"""What the store of objects costs beside the bare work and DVC: many small files, a large one, its next version.

DVC is installed for this, once, into an environment of its own outside the repository; without it, it is left out.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from keepfit.core.digests import digest_bytes, digest_file, digest_stream
from keepfit.objects import is_whole
from keepfit.objects.folder import Folder

SMALL_FILES = 20_000
LARGE = 1 << 30
_MEGABYTE = 1 << 20


class Cost(NamedTuple):
    """Seconds that something took."""

    wall: float
    cpu: float


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="keepfit-store-") as folder:
        root, dvc = Path(folder), _dvc()
        print(f"{'':<44} {'wall s':>8} {'CPU s':>8}   {'wall':>5} {'CPU':>5}")
        _small(root, dvc)
        _large(root, dvc)


def _small(root: Path, dvc: Path | None) -> None:
    files = _make_small(root / "work" / "small")
    bare = _took(lambda: _copy_small(files, root / "copy"))
    _print(f"{SMALL_FILES} files of 1-20 KB: read, hash, copy, sync", bare, bare)
    objects = Folder(root / "objects")
    digests: list[str] = []
    _print("  keepfit add", _took(lambda: digests.extend(objects.put_all(files))), bare)
    if dvc:
        _print("  dvc add", _add(dvc, root / "work", "small"), bare)
    _print("  keepfit add again", _took(lambda: objects.put_all(files)), bare)
    _print("  keepfit read back and check", _took(lambda: _check(objects, digests)), bare)
    shutil.rmtree(root / "work")
    shutil.rmtree(root / "objects")


def _large(root: Path, dvc: Path | None) -> None:
    file = root / "work" / "large.bin"
    _make_large(file)
    hashed = _took(lambda: digest_file(file))
    bare = _took(lambda: _copy(file, root / "copy"))
    print()
    _print("a file of 1 GiB: read, hash, copy, sync", bare, bare)
    _print("  read, hash", hashed, bare)
    objects = Folder(root / "objects")
    digests: list[str] = []
    _print("  keepfit add", _took(lambda: digests.append(objects.put(file))), bare)
    if dvc:
        _print("  dvc add", _add(dvc, root / "work", file.name), bare)
    before = [_room(root / "objects"), _room(root / "work")]
    new = _edit(file)
    cost = _took(lambda: digests.append(objects.put(file, like=digests[0])))
    _print(f"  keepfit, next version ({new / LARGE:.2%} new)", cost, bare, stored=_room(root / "objects") - before[0])
    if dvc:
        cost = _add(dvc, root / "work", file.name)
        _print("  dvc, next version", cost, bare, stored=_room(root / "work") - before[1] - new)
    _print("  keepfit read back and check both", _took(lambda: _check(objects, digests)), bare)


def _took(work: Callable[[], object]) -> Cost:
    os.sync()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def _print(title: str, cost: Cost, bare: Cost, *, stored: int | None = None) -> None:
    ratio = f"{cost.wall / bare.wall:5.2f} {cost.cpu / bare.cpu:5.2f} x"
    room = "" if stored is None else f"   {stored / _MEGABYTE:.1f} MiB = {stored / LARGE:.2%} stored"
    print(f"{title:<44} {cost.wall:8.2f} {cost.cpu:8.2f}   {ratio}{room}", flush=True)


def _make_small(folder: Path) -> list[Path]:
    chance, files = random.Random(1), []
    for number in range(SMALL_FILES):
        path = folder / f"{number // 1000:03}" / f"{number:06}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(chance.randint(1000, 20_000)))
        files.append(path)
    return files


def _make_large(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        for _ in range(LARGE // _MEGABYTE):
            file.write(os.urandom(_MEGABYTE))


def _edit(path: Path) -> int:
    """Append 1 %, change 0.1 % in the middle at five places; gives the bytes that are new."""
    edited, appended = LARGE // 1000 // 5, LARGE // 100
    with path.open("r+b") as file:
        for place in range(1, 6):
            file.seek(LARGE // 6 * place)
            file.write(os.urandom(edited))
        file.seek(0, os.SEEK_END)
        file.write(os.urandom(appended))
    return 5 * edited + appended


def _copy_small(files: Sequence[Path], target: Path) -> None:
    with target.open("wb") as copy:
        for path in files:
            digest_bytes(content := path.read_bytes())
            copy.write(content)
        copy.flush()
        os.fsync(copy.fileno())


def _copy(path: Path, target: Path) -> None:
    with path.open("rb", buffering=0) as file, target.open("wb") as copy:
        digest_stream(file, copy)
        copy.flush()
        os.fsync(copy.fileno())


def _check(objects: Folder, digests: Sequence[str]) -> None:
    assert all(is_whole(objects, digest) for digest in digests)


def _room(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def _dvc() -> Path | None:
    """The command of DVC, in an environment of its own; None when it cannot be installed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    command = cache / "keepfit-benchmarks" / "dvc" / "bin" / "dvc"
    try:
        if not command.exists():
            print("installing DVC, once ...", flush=True)
            venv.create(command.parent.parent, with_pip=True)
            subprocess.run([command.with_name("python"), "-m", "pip", "install", "-qqq", "dvc"], check=True)
        version = subprocess.run([command, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as problem:
        print(f"DVC cannot be had, and is left out: {problem}", file=sys.stderr)
        return None
    print(f"DVC {version}")
    return command


def _add(dvc: Path, folder: Path, name: str) -> Cost:
    if not (folder / ".dvc").exists():
        subprocess.run([dvc, "init", "--quiet", "--no-scm"], cwd=folder, check=True)
    os.sync()
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([dvc, "add", "--quiet", name], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
