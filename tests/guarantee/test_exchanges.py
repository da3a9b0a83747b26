"""Models exchanged, scorers and gateways killed, keepfit started anew: under load, without a failed request."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from guarantee_kit import FULL, another, kept, ready, spotless, volley
from serving_kit import ask, open_home, package, release, until

SWAPS, KILLS, GATEWAYS = (1000, 100, 10) if FULL else (30, 8, 2)


@pytest.mark.slow
def test_models_are_exchanged(tmp_path: Path) -> None:
    """Every tenth time for one that is not loaded yet."""
    home = open_home(tmp_path)
    packages = {version: package(home, version) for version in (1, 2, 3)}
    release(home, 1, packages[1])
    with kept(tmp_path) as running, volley(f"{SWAPS:,} swaps", running.url, running.token, [1, 2, 3]) as found:
        live, before = 1, 2
        for swap in range(SWAPS):
            live, before = (6 - live - before if swap % 10 == 0 else before), live
            release(home, live, packages[live])
            assert ask(running, "POST", "/control/sync")["version"] == live
    spotless(found)
    assert set(found.figures.versions) == {"1", "2", "3"}


@pytest.mark.slow
def test_scorers_are_killed(tmp_path: Path) -> None:
    """What they worked on is asked again; while they are away, the previous champion answers."""
    home = open_home(tmp_path)
    for version in (1, 2):
        release(home, version, package(home, version))
    with kept(tmp_path) as running, volley(f"{KILLS} scorers killed", running.url, running.token, [1, 2]) as found:
        for _ in range(KILLS):
            pid = ready(running)["pid"]
            os.kill(pid, signal.SIGKILL)
            until(lambda pid=pid: ready(running)["pid"] != pid, 60)
            time.sleep(0.5)
    spotless(found)


@pytest.mark.slow
def test_gateways_end_and_others_take_their_place(tmp_path: Path) -> None:
    """They answer what has been asked; what comes then waits in the socket.

    A request that is sent in the moment in which its idle connection is closed cannot be answered in HTTP/1.1
    (RFC 9112, 9.3.1: its client may send it again): on a busy machine there may be some for each gateway.
    """
    home = open_home(tmp_path)
    release(home, 1, package(home, 1))
    with kept(tmp_path) as running, volley(f"{GATEWAYS} gateways ended", running.url, running.token, [1]) as found:
        for _ in range(GATEWAYS):
            another(running, signal.SIGTERM)
    figures = found.figures
    assert set(figures.statuses) <= {"200", "broken off"}
    assert figures.wrong == 0 and figures.failed == figures.statuses.get("broken off", 0) <= 8 * GATEWAYS


@pytest.mark.slow
def test_gateways_are_killed(tmp_path: Path) -> None:
    """What was under way on a connection breaks with it, and nothing else does."""
    home = open_home(tmp_path)
    release(home, 1, package(home, 1))
    with kept(tmp_path) as running, volley(f"{GATEWAYS} gateways killed", running.url, running.token, [1]) as found:
        for _ in range(GATEWAYS):
            another(running, signal.SIGKILL)
    figures = found.figures
    assert set(figures.statuses) <= {"200", "broken off"}
    assert (figures.wrong, figures.failed) == (0, figures.statuses.get("broken off", 0)), figures.examples
    print(f"  {figures.failed / GATEWAYS:.1f} requests were under way when a gateway was killed")
