"""Registry, disk, log and clock are taken away from under a model: it answers, also after a cold start."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from guarantee_kit import another, kept, ready, spotless, volley
from serving_kit import ask, log_folder, open_home, package, release, until

from keepfit.home import Home
from keepfit.serving.gateway import Running
from keepfit.serving.log import read_log
from keepfit.testing.disks import disk, fill, read_only, small_disk

FAKETIME = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")


def released(root: Path) -> Home:
    """A project with a champion and a previous champion."""
    home = open_home(root)
    for version in (1, 2):
        release(home, version, package(home, version))
    return home


def settled(running: Running) -> None:
    """Both champions are loaded and pinned."""
    until(lambda: ready(running)["previous"], 120)


@pytest.mark.slow
def test_the_registry_is_down_also_at_a_cold_start(tmp_path: Path) -> None:
    home, away = released(tmp_path), tmp_path / "away"
    with kept(tmp_path) as running:
        settled(running)
        home.ledger.close()
        away.mkdir()
        for path in [*home.folder.glob("ledger*"), home.folder / "objects"]:
            shutil.move(path, away / path.name)
        (home.folder / "ledger.db").write_bytes(b"damaged" * 1000)
        with volley("registry down", running.url, running.token, [1, 2]) as found:
            time.sleep(3)
            another(running)
    spotless(found)


@pytest.mark.slow
def test_the_disk_is_full_also_at_a_cold_start(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kilobytes=20_000) as root:
        released(root)
        with kept(root) as running:
            settled(running)
            with volley("disk full", running.url, running.token, [1, 2]) as found:
                filler = fill(root)
                time.sleep(3)
                another(running)
            filler.unlink()
    spotless(found)


@pytest.mark.slow
def test_the_disk_is_read_only_also_at_a_cold_start(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    released(root)
    with kept(root) as running:
        settled(running)
        with read_only(root), volley("read-only disk", running.url, running.token, [1, 2]) as found:
            time.sleep(3)
            another(running)
    spotless(found)


@pytest.mark.slow
def test_the_disk_of_the_log_stalls(tmp_path: Path) -> None:
    """Frozen, as for a snapshot: every write to it waits. What was answered meanwhile is logged afterwards."""
    freeze = shutil.which("fsfreeze") or pytest.skip("fsfreeze is not installed")
    released(tmp_path)
    with disk(log_folder(tmp_path), "ext4", megabytes=256) as place, kept(tmp_path) as running:
        settled(running)
        with volley("log stalled", running.url, running.token, [1, 2]) as found:
            time.sleep(2)
            with frozen(freeze, place.folder):
                time.sleep(8)
        spotless(found)
        running.stop()
        logged = read_log(log_folder(tmp_path))
        assert logged["id"].n_unique() == found.figures.sent


@contextlib.contextmanager
def frozen(freeze: str, folder: Path) -> Iterator[None]:
    subprocess.run([freeze, "--freeze", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run([freeze, "--unfreeze", str(folder)], check=True)


@pytest.mark.slow
def test_the_clock_jumps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hours and years, forth and back; also while a gateway starts."""
    library = next(FAKETIME, None) or pytest.skip("libfaketime is not installed")
    told = tmp_path / "clock"
    told.write_text("+0\n")
    home = released(tmp_path)
    for name, value in {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(told),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }.items():
        monkeypatch.setenv(name, value)
    with kept(tmp_path) as running:
        for name in ("LD_PRELOAD", "FAKETIME_TIMESTAMP_FILE"):
            monkeypatch.delenv(name)
        settled(running)
        with volley("clock jumps", running.url, running.token, [1, 2]) as found:
            for jump in ("+1h", "-1h", "+400d", "-3y", "+0"):
                told.write_text(f"{jump}\n")
                time.sleep(1.5)
            os.environ |= {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(told)}
            told.write_text("-30d\n")
            another(running)
            release(home, 1, package(home, 1))
            assert ask(running, "POST", "/control/sync")["version"] == 1
    spotless(found)
