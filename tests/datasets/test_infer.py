"""What a file says of itself: types, roles, a contract it keeps; and clear words when it says nothing."""

from __future__ import annotations

import tempfile
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keepfit.core.errors import DataError, KeepfitError, NotFound, UsageError
from keepfit.datasets.contract import check_contract
from keepfit.datasets.dataset import Dataset
from keepfit.datasets.infer import Inferred, infer
from keepfit.datasets.read import read_files

ROWS = 200


def frame(**columns: list[Any]) -> pl.DataFrame:
    base: dict[str, list[Any]] = {
        "row_id": list(range(ROWS)),
        "when": [datetime(2024, 1, 1) + timedelta(hours=7 * i) for i in range(ROWS)],
        "born": [date(1980, 1, 1) + timedelta(days=i % 90) for i in range(ROWS)],
        "city": [["Bern", "Ulm", "Graz"][i % 3] for i in range(ROWS)],
        "remark": [f"words {i * 7 % 150}" for i in range(ROWS)],
        "zip": [f"0{i % 60:04}" for i in range(ROWS)],
        "amount": [i * 0.5 for i in range(ROWS)],
        "balance": [None if i % 10 == 0 else i - 90 for i in range(ROWS)],
        "member": [i % 2 == 0 for i in range(ROWS)],
        "churned": [["yes", "no"][i % 2] for i in range(ROWS)],
    }
    return pl.DataFrame(base | columns)


def write(table: pl.DataFrame, path: Path) -> Path:
    if path.suffix == ".csv":
        table.write_csv(path)
    else:
        table.write_parquet(path)
    return path


def dataset(found: Inferred) -> Dataset:
    return Dataset(name="data", source="", columns=found.columns)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_types_roles_and_promises(tmp_path: Path, kind: str) -> None:
    path = write(frame(), tmp_path / f"data.{kind}")
    found = infer(path)
    types = {name: column.type for name, column in found.columns.items()}
    assert types == {
        "row_id": "integer",
        "when": "timestamp",
        "born": "date",
        "city": "category",
        "remark": "text",
        "zip": "text",
        "amount": "number",
        "balance": "integer",
        "member": "bool",
        "churned": "bool" if kind == "csv" else "category",
    }
    assert (found.rows, found.label, found.event_time) == (ROWS, "churned", "when")
    assert found.columns["churned"].role == "label"
    assert found.columns["when"].role == "event time"
    assert [n for n, c in found.columns.items() if c.unique] == ["row_id"]
    assert [n for n, c in found.columns.items() if c.at_least == 0] == ["row_id", "amount"]
    assert found.columns["city"].at_most == 9
    assert found.columns["balance"].missing == pytest.approx(0.17)
    assert found.columns["amount"].missing == pytest.approx(0.02)
    assert found.span == timedelta(hours=7 * (ROWS - 1))
    assert timedelta(days=11) < found.recent < timedelta(days=13)
    assert not check_contract(read_files([path], dataset(found)), dataset(found))


def test_a_folder_and_a_glob_are_read_as_one(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    for i in range(2):
        write(frame()[i * 100 : i * 100 + 100], folder / f"{i}.parquet")
    for path in (folder, folder / "*.parquet"):
        found = infer(path)
        assert (found.rows, [f.name for f in found.files]) == (ROWS, ["0.parquet", "1.parquet"])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0, 1], "bool"),
        ([0.0, 1.0, None], "bool"),
        (["true", "false"], "bool"),
        (["low", "high", "mid"], "category"),
        ([0, 1, 2], "category"),
        ([5, 90, 1000], "integer"),
        ([1.5, 2.5], "number"),
    ],
)
def test_a_label_is_what_can_be_predicted(tmp_path: Path, values: list[Any], kind: str) -> None:
    for name in ("data.csv", "data.parquet"):
        path = write(frame(churned=[values[i % len(values)] for i in range(ROWS)]), tmp_path / name)
        found = infer(path)
        if values == ["true", "false"] and path.suffix == ".parquet":
            continue  # text in Parquet is meant as text
        assert found.columns["churned"].type == kind
        assert read_files([path], dataset(found)).select("churned").collect().height == ROWS


def test_the_label_can_be_told(tmp_path: Path) -> None:
    found = infer(write(frame(), tmp_path / "data.csv"), label="amount")
    assert (found.label, found.columns["amount"].type) == ("amount", "number")
    assert found.columns["amount"].at_least is None


@pytest.mark.parametrize(
    ("columns", "label"),
    [
        (["amount", "Target", "member"], "Target"),
        (["amount", "city", "member"], "member"),
        (["amount", "member", "city"], "member"),
    ],
)
def test_the_label_is_guessed_where_it_is_plain(tmp_path: Path, columns: list[str], label: str) -> None:
    table = frame().rename({"churned": "Target"}).select(columns)
    assert infer(write(table, tmp_path / "data.csv")).label == label


@pytest.mark.parametrize(
    ("table", "candidates"),
    [
        (frame(target=[i % 3 for i in range(ROWS)]), ["churned", "target"]),
        (frame().select("member", "amount", flag=pl.col("member"), size="balance"), ["member", "flag", "size"]),
        (frame().select("city", "amount"), ["amount"]),
    ],
)
def test_an_unclear_label_is_asked_for(tmp_path: Path, table: pl.DataFrame, candidates: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        infer(write(table, tmp_path / "data.csv"))
    assert all(f"`{c}`" in caught.value.message for c in candidates)
    assert caught.value.hint == "keepfit init FILE --label COLUMN"


def test_a_type_must_hold_for_every_row(tmp_path: Path) -> None:
    odd: list[Any] = [*range(2999), "n/k"]
    table = pl.DataFrame({"x": map(str, odd), "d": ["2024-01-01"] * 2999 + ["soon"], "y": [0, 1] * 1500})
    found = infer(write(table, tmp_path / "data.csv"))
    assert {n: c.type for n, c in found.columns.items()} == {"x": "text", "d": "category", "y": "bool"}


def test_one_of_several_times_is_chosen_and_noted(tmp_path: Path) -> None:
    table = frame().with_columns(timestamp=pl.col("when") + timedelta(days=1), gap=pl.lit(None).cast(pl.Datetime))
    found = infer(write(table, tmp_path / "data.parquet"))
    assert found.event_time == "timestamp"
    assert "when" in found.notes["timestamp"]
    found = infer(write(table.drop("timestamp", "when"), tmp_path / "data.parquet"))
    assert (found.event_time, found.columns["born"].type) == ("born", "timestamp")
    found = infer(write(table.select("city", "churned"), tmp_path / "data.parquet"))
    assert (found.event_time, found.span) == (None, timedelta())


@pytest.mark.parametrize(
    "written",
    ["2024-01-01", "2024-01-01 10:30:00", "2024-01-01T10:30", "2024-01-01T10:30:00.123Z", "2024-01-01T10:30:00+02:00"],
)
def test_iso_times_in_csv_are_times(tmp_path: Path, written: str) -> None:
    path = write(frame(when=[written] * ROWS).drop("born"), tmp_path / "data.csv")
    found = infer(path)
    assert found.event_time == "when"
    assert read_files([path], dataset(found)).select("when").collect()["when"].null_count() == 0


def test_columns_without_use_are_left_out_with_a_reason(tmp_path: Path) -> None:
    table = frame(nothing=[None] * ROWS, pairs=[[1, 2]] * ROWS).with_columns(blank=pl.lit(None).cast(pl.Float64))
    found = infer(write(table, tmp_path / "data.parquet"))
    empty = "it holds no value"
    assert found.left_out == {"nothing": empty, "blank": empty, "pairs": "List(Int64) values cannot be used"}
    with_index = tmp_path / "index.csv"
    with_index.write_text(",x,nothing,y\n" + "".join(f"{i},{i * 1.5},NA,{i % 2}\n" for i in range(50)))
    found = infer(with_index)
    assert found.left_out == {"": "it has no name", "nothing": empty}
    assert list(found.columns) == ["x", "y"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"x,y\n", "no rows"),
        ("a.csv", b"x,x\n1,2\n", "two columns called `x`"),
        ("a.csv", b"x;y\n1;2\n", "not separated by commas"),
        ("a.csv", b"5.1,3.5\n4.9,3.0\n", "holds values, not names"),
        ("a.csv", b"x,y\n1,2,3\n", "line 2 of `a.csv` has 3 fields"),
        ("a.csv", b"\x89PNG\r\n\x1a\n\x00\x00\xff\xfe,,\n\n", "cannot be read"),
        ("a.csv", b"x,y\nK\xf6ln,1\n", "cannot be read"),
        ("a.parquet", b"PAR1 no", "cannot be read"),
        ("a.parquet", b"", "cannot be read"),
        ("a.json", b"{}", "neither CSV nor Parquet"),
        ("a.csv", b"from,y\n1,0\n2,1\n", "no column to predict `y` from"),
        ("a.csv", b"x,y\n1,0\n2,0\n", "nothing to learn"),
        ("a.csv", b"y\n1\n0\n", "no column to predict `y` from"),
        ("a.csv", b"x,y\ninf,0\n2,1\n", "infinity"),
        ("a.csv", b"x,y\n,NA\n,\n", "no column of `a.csv` holds a value"),
        ("a.csv", b"just some prose\nthat goes on\n", "same value|not clear|no column"),
    ],
)
def test_bad_files_are_told_in_plain_words(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(KeepfitError, match=words):
        infer(path)


@pytest.mark.parametrize(
    ("label", "words"),
    [("chruned", "did you mean `churned`"), ("nothing", "no value"), ("when", "cannot be predicted")],
)
def test_a_label_that_cannot_be_one_is_refused(tmp_path: Path, label: str, words: str) -> None:
    path = write(frame(nothing=[None] * ROWS), tmp_path / "data.csv")
    with pytest.raises(KeepfitError) as caught:
        infer(path, label=label)
    assert words in str(caught.value)


def test_a_label_with_countless_levels_is_refused(tmp_path: Path) -> None:
    path = write(pl.DataFrame({"x": range(500), "y": [f"t{i}" for i in range(500)]}), tmp_path / "data.csv")
    with pytest.raises(UsageError, match="500 levels"):
        infer(path)


def test_nan_in_parquet_is_refused_with_a_remedy(tmp_path: Path) -> None:
    path = write(frame(amount=[float("nan")] * ROWS), tmp_path / "data.parquet")
    with pytest.raises(DataError, match="NaN") as caught:
        infer(path)
    assert "fill_nan" in (caught.value.hint or "")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "no.csv", tmp_path / "*.csv", tmp_path):
        with pytest.raises(NotFound):
            infer(path)


CELLS = st.one_of(
    st.none(),
    st.sampled_from(
        ["", "NA", "0", "1", "1.0", "007", "yes", "no", "2024-01-02", "2024-01-02T03:04:05", "x", "1e3", " 5 "]
    ),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(CELLS, min_size=6, max_size=6), min_size=1, max_size=3), st.data())
def test_whatever_is_inferred_can_be_read_and_is_kept(columns: list[list[str | None]], data: st.DataObject) -> None:
    one_kind = data.draw(st.booleans())
    if one_kind:  # columns of one cell repeated reach the narrower types
        columns = [[c[0] if i % 2 else c[-1] for i in range(6)] for c in columns]
    table = pl.DataFrame(
        {f"c{i}": c for i, c in enumerate(columns)}, schema={f"c{i}": pl.String for i in range(len(columns))}
    )
    table = table.with_columns(target=pl.Series([0, 1] * 3))
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("csv", "parquet"):
            path = write(table, Path(folder) / f"data.{kind}")
            try:
                found = infer(path)
            except DataError as problem:
                assume("to predict" in problem.message)  # every other column is empty
                continue
            assert found.columns.keys() | found.left_out.keys() == set(table.columns)
            assert not check_contract(read_files([path], dataset(found)), dataset(found))


def test_a_column_with_the_name_of_a_setting_is_left_out_unless_it_is_the_label(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("from,x,y\n" + "".join(f"{i % 3},{i},{i % 2}\n" for i in range(9)))
    found = infer(path)
    assert set(found.columns) == {"x", "y"}
    assert "setting" in found.left_out["from"]
    with pytest.raises(DataError, match="label cannot be called `from`"):
        infer(path, label="from")


def test_what_gives_the_label_away_or_is_written_strangely_is_pointed_at(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [
        f"{i % 7},{'' if i % 2 else 'moved'},{i % 2 + i / 1000},{i % 12 + 1}/25/2024,$1,{i % 2}\n" for i in range(200)
    ]
    path.write_text("x,reason,score,day,price,churned\n" + "".join(rows))
    notes = infer(path).notes
    assert "x" not in notes
    assert all("almost perfectly" in notes[name] for name in ("reason", "score"))
    assert "dates as text" in notes["day"]
    assert "amounts as text" in notes["price"]
