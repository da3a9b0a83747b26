"""CSV files: names and lines as RFC 4180 has them, and what is told of a file that is not so."""

from __future__ import annotations

import csv
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepfit.core.errors import ContractBroken, DataError
from keepfit.datasets.contract import keep_contracts
from keepfit.datasets.dataset import Column, Dataset
from keepfit.datasets.delimited import lines_of
from keepfit.datasets.read import places, read_files

DATASET = Dataset(name="d", source="", columns={"a": Column(type="text"), "b": Column(type="integer", at_most=5)})


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("delimited") / "d.csv"


def test_doubled_quotes_in_a_name_are_one(file: Path) -> None:
    file.write_text('"a ""quoted"" name",b\nx,1\n')
    asked = Dataset(name="d", source="", columns={'a "quoted" name': Column(type="text")})
    assert read_files([file], asked).collect().rows() == [("x",)]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a,b\nx,1\ny,2,3\n", "line 3 of `d.csv` has 3 fields, but the header names 2"),
        (b"a,b\nx,1\ny\nz,2\n", "line 3 of `d.csv` has 1 field, but the header names 2"),
        (b"a,b\nx,1\ny", "line 3 of `d.csv` has 1 field, but the header names 2"),
        (b'a,b\n"x\n,",\ny', "line 4 of `d.csv` has 1 field, but the header names 2"),
        (b'a,b\nx,1\n"y,2\nz,3\n', "line 3 of `d.csv` opens a quote that is never closed"),
        (b"a,b\nx,1\n\xff,2\n", "line 3 of `d.csv` is not UTF-8"),
        (b'a,b\n"x\ny",1\nz,no\n', "line 4 holds `no`"),
    ],
)
def test_what_is_wrong_is_told_with_the_line_that_an_editor_shows(file: Path, content: bytes, told: str) -> None:
    file.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_files([file], DATASET)
    assert told in caught.value.message


def test_gaps_at_the_end_of_lines_and_empty_lines_are_no_mistake(file: Path) -> None:
    file.write_bytes(b'a,b\nx,\n"y\n,",\n\n')
    assert read_files([file], DATASET).collect().rows() == [("x", None), ("y\n,", None), (None, None)]


def test_a_broken_contract_names_file_and_line(file: Path) -> None:
    other = file.with_name("e.csv")
    file.write_bytes(b"a,b\nx,1\n")
    other.write_bytes(b'a,b\n"y\nz",1\nx,9\n')
    files = [file, other]
    placed = read_files(files, DATASET, placed=True)
    with pytest.raises(ContractBroken, match=r"d\.b: <= 5, but 1 rows \(33\.3%\); e\.csv, line 4: 9"):
        keep_contracts([(DATASET, read_files(files, DATASET).collect())], lambda _, rows: places(placed, files, rows))


@given(st.lists(st.tuples(st.text('a",\n\r é', max_size=4), st.integers(0, 9)), min_size=1, max_size=8))
def test_lines_are_counted_as_the_rows_are(file: Path, rows: list[tuple[str, int]]) -> None:
    with file.open("w", newline="") as target:
        csv.writer(target, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    table = pl.read_csv(file, infer_schema=False)
    assert table.height == len(rows)
    starts = [
        2 + "".join(t.replace("\r\n", "\n").replace("\r", "\n") for t, _ in rows[:i]).count("\n") + i
        for i in range(len(rows))
    ]
    assert list(lines_of(file, range(len(rows))).values()) == starts
