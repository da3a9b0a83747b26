"""A database is asked for fresh rows only when those that are known would be too old, and not at every look."""

from __future__ import annotations

import os
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keepfit.core.clocks import ReplayClock
from keepfit.datasets.dataset import Column, Dataset
from keepfit.datasets.query import answer_of
from keepfit.engines import Here
from keepfit.home import Home
from keepfit.ledger import open_ledger
from keepfit.monitoring import watch
from keepfit.objects import open_objects

NOON = datetime(2013, 5, 2, 12, tzinfo=UTC)
ITEMS = Dataset(
    name="items",
    source="sqlite:shop.db",
    query="SELECT at FROM item ORDER BY at",
    columns={"at": Column(type="timestamp", role="event time")},
    fresh="10h",
)


def test_a_database_is_asked_when_its_rows_are_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ReplayClock(NOON)
    home = Home(
        root=tmp_path,
        ledger=open_ledger("sqlite:.keepfit/ledger.db", tmp_path),
        objects=open_objects("folder:.keepfit/objects", tmp_path),
        engine=Here(),
        clock=clock,
    )
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("CREATE TABLE item (at TEXT)")
        connection.execute("INSERT INTO item VALUES (?)", [f"{NOON:%Y-%m-%d %H:%M:%S}"])
    asked, pin = list[Path](), watch.pin
    monkeypatch.setattr(watch, "pin", lambda *given: asked.append(pin(*given)))

    def look(hours: float) -> tuple[int, int]:
        clock.advance(NOON + timedelta(hours=hours))
        return len(watch.freshness(home, [ITEMS])), len(asked)

    assert look(0) == (0, 1)
    assert look(9) == (0, 1)
    assert look(11) == (1, 1)  # asked a moment ago, by the wall's clock
    an_hour_ago = time.time() - 3601
    os.utime(answer_of(home, ITEMS).with_suffix(".asked"), (an_hour_ago, an_hour_ago))
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("INSERT INTO item VALUES (?)", [f"{NOON + timedelta(hours=10):%Y-%m-%d %H:%M:%S}"])
    connection.close()
    assert look(11) == (0, 2)
    assert look(19) == (0, 2)
