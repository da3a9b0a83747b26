"""What a logged prediction was asked with, whatever has come in since."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from keepfit.datasets.dataset import Column, Dataset
from keepfit.models.train import SIDE
from keepfit.reproduction.answer import _asked
from keepfit.serving.log import side_column
from keepfit.serving.records import Records
from keepfit.serving.rows import online_rows

AT = datetime(2013, 5, 1)
KEY, TIME = Column(type="category", role="key"), Column(type="timestamp", role="event time")
WEATHER = Dataset(
    name="weather", source="weather.csv", columns={"seen": TIME, "place": KEY, "wind": Column(type="number")}
)
MANIFEST: Any = SimpleNamespace(inputs={"at": TIME, "place": KEY}, sides=[WEATHER], event_time="at")
ASKED = {"at": AT, "place": "JFK"}


def test_side_rows_are_those_of_the_log_and_else_those_that_are_known(tmp_path: Path) -> None:
    home: Any = SimpleNamespace(folder=tmp_path)
    (tmp_path / "serving").mkdir()
    with Records(tmp_path / "serving" / "records.db") as records:
        records.store_rows("weather", online_rows(WEATHER, [(AT, "JFK", 9.0)]))
    known, logged = ({"seen": AT, "place": "JFK", "wind": wind} for wind in (9.0, 2.5))
    nothing = dict.fromkeys(logged)
    for joined, expected in ((logged, logged), (nothing, nothing), (None, known)):
        row = _asked(home, MANIFEST, {**ASKED, side_column("weather"): joined}).row(0, named=True)
        assert row[f"{SIDE}weather"] == expected
    assert _asked(home, MANIFEST, ASKED).row(0, named=True)[f"{SIDE}weather"] == known
