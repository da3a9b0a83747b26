"""The same row is seen online as offline."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_kit import open_home

from keepfit.datasets.dataset import Column, Dataset
from keepfit.datasets.read import DTYPES
from keepfit.features.join import align
from keepfit.serving.online import OnlineRows
from keepfit.serving.records import NEWEST, Records
from keepfit.serving.rows import online_rows, refresh
from keepfit.serving.wire import Packer

START = datetime(2013, 1, 1)
NUMBER, KEY, TIME = (
    Column(type="number"),
    Column(type="category", role="key"),
    Column(type="timestamp", role="event time"),
)
DATASETS = [
    Dataset(name="keyed", source="keyed.parquet", columns={"seen": TIME, "k": KEY, "v": NUMBER}, known_after="2h"),
    Dataset(name="two keys", source="two.parquet", columns={"k": KEY, "seen": TIME, "j": KEY, "v": NUMBER}),
    Dataset(name="no time", source="static.parquet", columns={"k": KEY, "v": NUMBER}),
    Dataset(name="no key", source="global.parquet", columns={"seen": TIME, "v": NUMBER}),
]


def frame(columns: dict[str, Column], rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    schema = {name: DTYPES[column.type] for name, column in columns.items()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def cell(name: str, column: Column) -> st.SearchStrategy[Any]:
    if column.type == "timestamp":
        return st.integers(0, 12).map(lambda h: START + timedelta(hours=h))
    return st.sampled_from([None, "a", "b", "c"]) if column.role == "key" else st.integers(0, 9).map(float)


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda d: d.name)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_row_sees_online_what_it_sees_offline(dataset: Dataset, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.tuples(*[cell(*c) for c in dataset.columns.items()]), max_size=25))
    asked_columns = {"at": TIME, "k": KEY, "j": KEY}
    asked = data.draw(st.lists(st.tuples(*[cell(*c) for c in asked_columns.items()]), min_size=1, max_size=8))
    main = frame(asked_columns, asked)
    offline = align(main, "at", dataset, frame(dataset.columns, rows))

    cut = data.draw(st.integers(0, len(rows)))
    online = OnlineRows([dataset], "at")
    with Records(Path(":memory:")) as records:
        records.store_rows(dataset.name, online_rows(dataset, rows[:cut]))
        online.replace(dataset.name, records.rows_of(dataset.name))
        if rows[cut:]:
            online.add(dataset.name, msgspec.msgpack.decode(Packer(dataset.columns).pack(rows[cut:])))
        assert online.aligned(main)[dataset.name].rows() == offline.rows()
        records.store_rows(dataset.name, online_rows(dataset, rows[cut:]))
        online.replace(dataset.name, records.rows_of(dataset.name))
    assert online.aligned(main)[dataset.name].rows() == offline.rows()


def test_memory_is_bounded_per_key() -> None:
    dataset = DATASETS[0]
    online = OnlineRows([dataset], "at")
    rows = [(START + timedelta(hours=h), k, float(h)) for h in range(NEWEST + 30) for k in "ab"]
    online.add("keyed", msgspec.msgpack.decode(Packer(dataset.columns).pack(rows)))
    late, early = START + timedelta(hours=1000), START + timedelta(hours=20)
    main = frame({"at": TIME, "k": KEY}, [(late, "a"), (early, "a"), (late, "zz")])
    assert online.aligned(main)["keyed"]["v"].to_list() == [NEWEST + 29.0, None, None]


def test_files_are_brought_once_and_again_when_they_change(tmp_path: Path) -> None:
    home, sides = open_home(tmp_path), DATASETS[:1] + DATASETS[2:3]
    rows = [(START + timedelta(hours=h), k, float(h)) for h in range(NEWEST + 30) for k in "ab"]
    frame(sides[0].columns, rows).write_parquet(tmp_path / "keyed.parquet")
    frame(sides[1].columns, [("a", 1.0), ("b", 2.0), ("a", 3.0)]).write_parquet(tmp_path / "static.parquet")
    assert refresh(home, sides) == ["keyed", "no time"]
    assert refresh(home, sides) == []
    with Records(home.folder / "serving" / "records.db") as records:
        assert {row["k"]: row["v"] for row in records.rows_of("no time")} == {"a": 3.0, "b": 2.0}
        assert len(records.rows_of("keyed")) == 2 * NEWEST
        frame(sides[1].columns, [("c", 9.0)]).write_parquet(tmp_path / "static.parquet")
        assert refresh(home, sides) == ["no time"]
        assert {"k": "c", "v": 9.0} in records.rows_of("no time")
