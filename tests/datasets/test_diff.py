"""What differs between two versions: files, columns, rows by key, distributions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from data_kit import source
from hypothesis import given, settings
from hypothesis import strategies as st

from keepfit.core.errors import NotFound, UsageError
from keepfit.datasets.add import add, version
from keepfit.datasets.dataset import Column, Dataset
from keepfit.datasets.diff import diff
from keepfit.datasets.point import find_points
from keepfit.datasets.rows import compare_rows
from keepfit.datasets.shift import shifts
from keepfit.home import Home

ORDERS = Dataset(
    name="orders",
    source="orders/*.parquet",
    columns={"id": Column(type="integer", unique=True), "amount": Column(type="number"), "shop": Column(type="text")},
)
values = st.one_of(st.none(), st.sampled_from(["", "a", "b"]))
tables = st.dictionaries(st.one_of(st.none(), st.integers(0, 8)), st.tuples(values, st.sampled_from([None, 0.5, 1.0])))


def frame(table: dict[Any, tuple[Any, Any]]) -> pl.LazyFrame:
    rows = [(k, *v) for k, v in table.items()]
    return pl.LazyFrame(rows, schema={"k": pl.Int64, "t": pl.String, "x": pl.Float64}, orient="row")


@settings(max_examples=80, deadline=None)
@given(before=tables, after=tables)
def test_rows_differ_by_key_as_dictionaries_do(before: dict[Any, Any], after: dict[Any, Any]) -> None:
    found = compare_rows(frame(before), frame(after), ["k"], ["k", "t", "x"])
    changed = [k for k in before.keys() & after.keys() if before[k] != after[k]]
    assert (found.before, found.after) == (len(before), len(after))
    assert found.added == len(after.keys() - before.keys())
    assert found.removed == len(before.keys() - after.keys())
    assert found.changed == len(changed)
    for i, column in enumerate(("t", "x")):
        assert found.columns.get(column, 0) == sum(before[k][i] != after[k][i] for k in changed)


@settings(max_examples=60, deadline=None)
@given(before=st.lists(values), after=st.lists(values))
def test_without_a_key_rows_are_counted(before: list[str | None], after: list[str | None]) -> None:
    sides = (pl.LazyFrame({"t": side}, schema={"t": pl.String}) for side in (before, after))
    found = compare_rows(*sides, [], ["t"])
    more = {v: after.count(v) - before.count(v) for v in {*before, *after}}
    assert found.added == sum(n for n in more.values() if n > 0)
    assert found.removed == -sum(n for n in more.values() if n < 0)


def test_a_key_that_is_not_unique_is_told() -> None:
    side = pl.LazyFrame({"k": [1, 1, 2], "x": [1, 2, 3]})
    found = compare_rows(side, side.with_columns(x=pl.lit(3)), ["k"], ["k", "x"])
    assert found.note == "k is no key: 1 rows before repeat one; rows are compared whole"
    assert (found.added, found.removed, found.key) == (2, 2, [])


def test_shifts_come_largest_first() -> None:
    before = pl.LazyFrame({"x": [1.0, 2.0, 3.0, 4.0], "c": ["a", "a", "b", None], "same": [1, 2, 3, 4]})
    after = before.with_columns(x=pl.col("x") + 10, c=pl.Series(["a", "b", "b", "b"]))
    found = shifts(before, after, ["x", "c", "same"])
    assert (found[0].column, found[0].what, found[0].before, found[0].after) == ("x", "mean", 2.5, 12.5)
    assert round(found[0].size, 2) == 7.75
    by_name = {(s.column, s.what): s for s in found}
    assert by_name["c", "missing"].size == -0.25
    assert by_name["c", "share of b"].after == 0.75
    assert all(s.size == 0 for s in found if s.column == "same")


def write_orders(home: Home, name: str, **columns: list[Any]) -> None:
    path = home.root / "orders" / f"{name}.parquet"
    path.parent.mkdir(exist_ok=True)
    pl.DataFrame(columns).write_parquet(path)


@pytest.fixture
def orders(home: Home) -> Home:
    """A home with two versions of orders, of which one file is the same."""
    write_orders(home, "1", id=[1, 2], amount=[1.0, 2.0], shop=["n", "s"])
    write_orders(home, "2", id=[3, 4], amount=[3.0, 4.0], shop=["n", "s"])
    version(home, ORDERS)
    write_orders(home, "2", id=[3, 5], amount=[3.5, 5.0], shop=["n", "s"])
    version(home, ORDERS)
    return home


def compared(home: Home, *words: str, key: list[str] | None = None) -> Any:
    return diff(home, *find_points(home, [ORDERS], words), key=key or [])


@pytest.mark.parametrize("words", [("orders@1", "orders@2"), ("1", "2", "orders"), ("@-2", "@-1", "orders")])
def test_two_versions(orders: Home, words: tuple[str, ...]) -> None:
    found = compared(orders, *words)
    assert (found.before, found.after) == ("orders@1", "orders@2")
    assert found.files == [("modified", "2.parquet")]
    assert (found.rows.added, found.rows.removed, found.rows.changed) == (1, 1, 1)
    assert found.rows.key == ["id"]
    assert found.rows.first == {"added": [{"id": 5}], "removed": [{"id": 4}], "changed": [{"id": 3}]}
    assert found.rows.columns == {"amount": 1}
    assert found.shifts


def test_a_version_and_now(orders: Home) -> None:
    assert compared(orders, "orders").same
    write_orders(orders, "3", id=[9], amount=[9.0], shop=["n"])
    found = compared(orders, "orders")
    assert (found.before, found.after, found.files) == ("orders@2", "orders now", [("added", "3.parquet")])
    assert found.rows.added == 1
    assert compared(orders, "orders@1").rows.added == 2
    assert compared(orders, "orders", "orders@1").rows.removed == 2
    assert compared(orders, "now", "1", "orders").rows.removed == 2


def test_columns_that_come_go_and_change_type(orders: Home) -> None:
    write_orders(orders, "1", id=[1, 2], amount=["1", "2"], place=["n", "s"])
    write_orders(orders, "2", id=[3, 5], amount=["3", "5"], place=["n", "s"])
    columns = compared(orders, "orders").columns
    assert columns.added == {"place": "String"}
    assert columns.removed == {"shop": "String"}
    assert columns.retyped == {"amount": ("Float64", "String")}


def test_a_key_that_is_named(orders: Home) -> None:
    assert compared(orders, "orders@1", "orders@2", key=["id", "shop"]).rows.key == ["id", "shop"]
    with pytest.raises(UsageError, match="no column `ids`"):
        compared(orders, "orders@1", "orders@2", key=["ids"])


def test_files_that_are_no_table(home: Home) -> None:
    (home.root / "d").mkdir()
    (home.root / "d" / "a.txt").write_text("1")
    add(home, source(home))
    (home.root / "d" / "a.txt").write_text("2")
    found = diff(home, *find_points(home, [], ["d"]))
    assert (found.counts["modified"], found.columns, found.rows) == (1, None, None)


def test_a_table_out_of_a_store_without_files(orders: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(orders.objects), "file", lambda self, digest: None)
    assert compared(orders, "orders@1", "orders@2").rows.added == 1
    assert not list((orders.root / ".keepfit/work").glob("diff-*"))


def test_what_is_not_there_is_told(orders: Home) -> None:
    with pytest.raises(NotFound, match="there is no version `orders@7`"):
        compared(orders, "orders@1", "orders@7")
    with pytest.raises(NotFound, match="no dataset and no file `nothing`"):
        compared(orders, "nothing")
    with pytest.raises(UsageError):
        compared(orders, "1", "2", "3", "orders")


def test_csv_is_read_as_declared(home: Home) -> None:
    dataset = Dataset(name="c", source="c.csv", columns={"id": Column(type="text", unique=True)})
    path: Path = home.root / "c.csv"
    path.write_text("id,n\n01,1\n02,2\n")
    version(home, dataset)
    path.write_text("id,n\n01,1\n2,2\n")
    version(home, dataset)
    found = diff(home, *find_points(home, [dataset], ["c@1", "c@2"]))
    assert found.rows and (found.rows.added, found.rows.removed) == (1, 1)
