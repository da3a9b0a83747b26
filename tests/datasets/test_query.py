"""Tables from databases: pinned by content, read-only, and no secret gets out."""

from __future__ import annotations

import datetime
import decimal
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import psycopg
import pytest

from keepfit.core.errors import DataError, NotFound, UsageError
from keepfit.datasets.add import add, version
from keepfit.datasets.address import hidden, hide
from keepfit.datasets.answer import QueryFailed, batches
from keepfit.datasets.dataset import Column, Dataset
from keepfit.datasets.query import pin
from keepfit.datasets.read import find_files, read_files
from keepfit.datasets.source import source_of
from keepfit.datasets.tree import tree_digests
from keepfit.home import Home
from keepfit.ledger import Query
from keepfit.objects import read
from keepfit.testing.postgres import server

QUERY = "SELECT id, name, price FROM item ORDER BY id DESC"


def dataset(source: str, query: str = QUERY) -> Dataset:
    columns = {"id": Column(type="integer", role="key"), "name": Column(type="text"), "price": Column(type="number")}
    return Dataset(name="items", source=source, query=query, columns=columns)


def fill(connection: Any) -> None:
    connection.execute("CREATE TABLE item (id INTEGER, name TEXT, price NUMERIC(8, 2))")
    connection.execute("INSERT INTO item VALUES (1, 'pen', 1.50), (2, NULL, 20), (3, 'ink', NULL)")
    connection.commit()


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with server() as url:
        with psycopg.connect(url) as connection:
            fill(connection)
        yield url


@pytest.fixture(params=["sqlite", "duckdb", "postgres"])
def source(request: pytest.FixtureRequest, home: Home, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a database with three items, as a project writes it."""
    if request.param == "postgres":
        monkeypatch.setenv("SHOP", request.getfixturevalue("postgres"))
        return "$SHOP"
    connect = sqlite3.connect if request.param == "sqlite" else duckdb.connect
    connection = connect(str(home.root / "shop.db"))
    fill(connection)
    connection.close()
    return f"{request.param}:shop.db"


def test_the_answer_is_pinned_in_its_order(home: Home, source: str) -> None:
    items = dataset(source)
    with pytest.raises(NotFound, match="the query of `items` was never asked"):
        find_files(home.root, items)
    found = version(home, items)
    assert (found.rows, found.files, found.base) == (3, 1, ".keepfit/tables")
    rows = read_files(find_files(home.root, items), items).collect()
    assert rows.rows() == [(3, "ink", None), (2, None, 20.0), (1, "pen", 1.5)]
    again = add(home, source_of(home.root, items), items)
    assert (again.changed, again.version, again.note) == (False, found, None)


def test_equal_rows_are_equal_bytes(home: Home, source: str) -> None:
    path = pin(home, dataset(source))
    first = path.read_bytes()
    path.unlink()
    assert pin(home, dataset(source)).read_bytes() == first


def test_the_old_answer_outlives_a_change_of_the_database(home: Home) -> None:
    connection = sqlite3.connect(home.root / "shop.db")
    fill(connection)
    items = dataset("sqlite:shop.db")
    first = version(home, items)
    connection.execute("DELETE FROM item WHERE id = 1")
    connection.commit()
    connection.close()
    second = version(home, items)
    assert (first.rows, second.rows, second.changed["modified"]) == (3, 2, 1)
    *_, digest = tree_digests(home.objects, first.tree)
    assert pl.read_parquet(read(home.objects, digest)).height == 3


@pytest.mark.parametrize("query", ["DELETE FROM item", "CREATE TABLE other (a INTEGER)", "SELECT", "SELEC 1"])
def test_nothing_is_written_and_the_databases_words_are_told(home: Home, source: str, query: str) -> None:
    with pytest.raises(DataError, match="the query of `items` failed: ") as caught:
        version(home, dataset(source, query))
    assert caught.value.where and "[data.items]" in caught.value.where
    assert not home.ledger.find(Query())
    assert not (home.root / ".keepfit/tables").exists()
    assert version(home, dataset(source)).rows == 3


def test_a_failing_query_leaves_the_answer_before(home: Home, source: str) -> None:
    before = pin(home, dataset(source)).read_bytes()
    with pytest.raises(DataError):
        pin(home, dataset(source, "SELECT nothing FROM item"))
    assert find_files(home.root, dataset(source))[0].read_bytes() == before


def test_the_line_of_the_query_is_told(home: Home, postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", postgres)
    with pytest.raises(DataError) as caught:
        version(home, dataset("$SHOP", "SELECT id,\n  name,\n  prize\nFROM item"))
    assert caught.value.message == 'the query of `items` failed: column "prize" does not exist'
    assert caught.value.where == "line 3 of `query` under [data.items] in keepfit.toml"


def test_a_password_gets_nowhere(home: Home, postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", postgres)
    version(home, dataset("$SHOP"))
    for wrong in (postgres.replace("s3cret", "hunter22"), postgres.replace("127.0.0.1", "hunter22@nowhere.invalid")):
        monkeypatch.setenv("SHOP", wrong)
        with pytest.raises(DataError) as caught:
            version(home, dataset("$SHOP"))
        assert "hunter22" not in str(caught.value)
        assert caught.value.__suppress_context__
    everything = b"".join(p.read_bytes() for p in home.folder.rglob("*") if p.is_file())
    assert b"s3cret" not in everything
    assert b"hunter22" not in everything


def test_an_address_that_is_not_set(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP", raising=False)
    with pytest.raises(DataError, match="is not set in the environment"):
        version(home, dataset("$SHOP"))
    monkeypatch.setenv("SHOP", "s3cret")
    with pytest.raises(DataError, match="is no address of a database") as caught:
        version(home, dataset("$SHOP"))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["sqlite", "duckdb"])
def test_no_database_is_made(home: Home, scheme: str) -> None:
    with pytest.raises(DataError, match="there is no database"):
        version(home, dataset(f"{scheme}:shop.db"))
    assert not (home.root / "shop.db").exists()
    (home.root / "shop.db").write_text("something else, long enough to be looked at as a database" * 100)
    with pytest.raises(DataError, match="the query of `items` failed"):
        version(home, dataset(f"{scheme}:shop.db"))


def test_an_order_that_is_not_said_is_told(home: Home) -> None:
    connection = sqlite3.connect(home.root / "shop.db")
    fill(connection)
    connection.close()
    items = dataset("sqlite:shop.db", "SELECT id, name, price FROM item")
    assert "no ORDER BY" in (add(home, source_of(home.root, items), items).note or "")


@pytest.mark.parametrize("product", ["duckdb", "psycopg"])
def test_a_product_that_is_missing_is_named(home: Home, product: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, product, None)
    address, extra = ("duckdb:shop.db", "duckdb") if product == "duckdb" else ("postgresql://h/d", "postgres")
    with pytest.raises(UsageError) as caught:
        version(home, dataset(address))
    assert caught.value.hint == f"pip install 'keepfit[{extra}]'"


def one(*values: Any) -> pl.Series:
    rows = iter([[(v,) for v in values], []])
    return pl.concat(list(batches(["x"], lambda: next(rows))), how="vertical_relaxed")["x"]


def test_what_databases_give_has_one_form() -> None:
    assert one(1, None, 2).to_list() == [1, None, 2]
    assert one(1, 2.5).to_list() == [1.0, 2.5]
    assert one("a", 1, b"\x01").to_list() == ["a", "1", "01"]
    assert one({"b": 1, "a": [1, 2]}).to_list() == ['{"a":[1,2],"b":1}']
    assert one(uuid.UUID(int=1)).to_list() == ["00000000-0000-0000-0000-000000000001"]
    assert one(decimal.Decimal("1.50")).to_list() == [decimal.Decimal("1.50")]
    assert one(datetime.date(2024, 1, 1)).to_list() == [datetime.date(2024, 1, 1)]
    assert one(None).dtype == pl.Null()
    with pytest.raises(QueryFailed, match="two columns of the answer are called `x`"):
        list(batches(["x", "x"], list))


def test_numbers_in_one_batch_and_text_in_the_next(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keepfit.datasets.sqlite.ROWS", 1)
    connection = sqlite3.connect(home.root / "shop.db")
    connection.execute("CREATE TABLE item (id, name, price)")
    connection.execute("INSERT INTO item VALUES (1, 'pen', 1), (2, 5, 2.5), (3, NULL, NULL)")
    connection.commit()
    connection.close()
    items = dataset("sqlite:shop.db", "SELECT * FROM item ORDER BY id")
    rows = pl.read_parquet(pin(home, items))
    assert rows.rows() == [(1, "pen", 1.0), (2, "5", 2.5), (3, None, None)]


def test_secrets_are_hidden() -> None:
    address = "postgresql://ann:p%40ss@db.example/shop?sslpassword=zz9"
    assert hidden(address) == "postgresql://ann@db.example/shop?sslpassword=***"
    assert hide(f'bad "{address}": p@ss, p%40ss, zz9', address) == f'bad "{hidden(address)}": ***, ***, ***'


def test_no_file_of_a_query_is_lost_when_the_folder_is_cleared(home: Home) -> None:
    connection = sqlite3.connect(home.root / "shop.db")
    fill(connection)
    connection.close()
    items = dataset("sqlite:shop.db")
    found = version(home, items)
    shutil.rmtree(home.root / ".keepfit/tables")
    assert version(home, items) == found
    assert Path(find_files(home.root, items)[0]).is_file()
