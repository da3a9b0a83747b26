"""Files to tables: the declared columns, in their declared types, as they were known at a given time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import polars as pl

from keepfit.core.clocks import duration, utc
from keepfit.core.errors import DataError, did_you_mean, visible
from keepfit.datasets.dataset import ColumnType, Dataset
from keepfit.datasets.delimited import broken_line, lines_of, scan_delimited, short_line
from keepfit.datasets.source import no_files, source_of
from keepfit.datasets.walk import walk

DTYPES: dict[ColumnType, pl.DataType] = {
    "timestamp": pl.Datetime("us"),
    "date": pl.Date(),
    "category": pl.String(),
    "text": pl.String(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "bool": pl.Boolean(),
}
MISSING = ("", "NA", "N/A", "nan", "NaN", "null", "None")
"""What CSV files write for a missing number, time or truth value; in text only the empty string is missing."""
_FILE, _ROW = "keepfit file", "keepfit row"


def find_files(root: Path, dataset: Dataset) -> list[Path]:
    """The dataset's files, sorted; NotFound when there are none."""
    source = source_of(root, dataset)
    files = [root / source.base / path for path in walk(root, source).paths()]
    if not files:
        raise no_files(source, dataset)
    return files


def read_files(files: Sequence[Path], dataset: Dataset, *, placed: bool = False) -> pl.LazyFrame:
    """The declared columns of all files, in order, each in its declared type; with `placed`, what `places` needs too.

    Raises DataError for a file that cannot be read, a declared column that is missing, or
    values that are not what the column is declared to be (with file, row and value).
    """
    tables = [_read_file(file, dataset) for file in files]
    if placed:
        tables = [
            table.with_columns(pl.lit(i).alias(_FILE), pl.int_range(pl.len()).alias(_ROW))
            for i, table in enumerate(tables)
        ]
    return pl.concat(tables)


def collect(frame: pl.LazyFrame, dataset: Dataset) -> pl.DataFrame:
    """The rows of files; DataError when they cannot be read after all."""
    with reading(dataset):
        return frame.collect()


@contextlib.contextmanager
def reading(dataset: Dataset) -> Iterator[None]:
    """What polars raises of the dataset's files is a DataError."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as problem:
        raise DataError(f"`{dataset.name}` cannot be read: {first_line(problem)}", where=dataset.source) from problem


def places(placed: pl.LazyFrame, files: Sequence[Path], rows: Sequence[int]) -> list[str]:
    """Where rows (counted from 0) of a table that was read as `placed` are, in a person's words."""
    found = placed.select(_FILE, _ROW).collect()[list(rows)].rows()
    told = {i: places_in(files[i], [row for file, row in found if file == i]) for i in {file for file, _ in found}}
    several = len(files) > 1
    return [f"{files[i].name}, {told[i][row]}" if several else told[i][row] for i, row in found]


def places_in(file: Path, rows: Sequence[int]) -> dict[int, str]:
    """Row (from 0) -> the line that an editor shows of a CSV file, the row counted from 1 of another."""
    if file.suffix != ".csv":
        return {row: f"row {row + 1:,}" for row in rows}
    return {row: f"line {line:,}" for row, line in lines_of(file, rows).items()}


def known_at(frame: pl.LazyFrame, dataset: Dataset, now: datetime) -> pl.LazyFrame:
    """What could be known at `now`: no row from later, no label or outcome before its time."""
    time = dataset.event_time
    if time is None:
        return frame
    moment = naive(now)
    outcomes = {n: c.known_after for n, c in dataset.columns.items() if c.known_after}
    return frame.filter(pl.col(time) + dataset.row_delay <= moment).with_columns(
        pl.when(pl.col(time) + duration(delay) <= moment).then(pl.col(name)).alias(name)
        for name, delay in outcomes.items()
    )


def naive(time: datetime) -> datetime:
    """The instant as columns hold it: UTC, without a zone."""
    return utc(time).replace(tzinfo=None)


def _read_file(file: Path, dataset: Dataset) -> pl.LazyFrame:
    try:
        if file.suffix == ".parquet":
            raw = pl.scan_parquet(file, glob=False)
        elif file.suffix == ".csv":
            raw = scan_delimited(file, infer_schema=False)
        else:
            raise DataError(f"`{file.name}` is neither Parquet nor CSV", where=str(file.parent))
        schema = raw.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as problem:
        raise _unreadable(file, problem) from problem
    for name in dataset.columns:
        if name not in schema:
            raise DataError(
                f"`{file.name}` has no column `{name}` of dataset `{dataset.name}`",
                where=str(file),
                hint=did_you_mean(name, schema.names()),
            )
    casts = {name: cast(name, schema[name], DTYPES[c.type]) for name, c in dataset.columns.items()}
    _refuse_wrong_types(raw, casts, file, dataset)
    return raw.select(cast.alias(name) for name, cast in casts.items())


def cast(name: str, have: pl.DataType, want: pl.DataType) -> pl.Expr:
    """A column of a file in the type it is declared to have; null for what is of none."""
    column = pl.col(name)
    if have == want:
        return column
    if isinstance(have, pl.Datetime) and isinstance(want, pl.Datetime):
        if have.time_zone:
            column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return column.cast(want)
    if have == pl.String():
        return parse(column, want)
    if want == pl.Boolean() and have.is_integer():
        return pl.when(column.is_in([0, 1])).then(column == 1)
    if want == pl.Int64() and have.is_float():
        return pl.when(column == column.round()).then(column).cast(want, strict=False)
    return column.cast(want, strict=False)


def parse(column: pl.Expr, want: pl.DataType) -> pl.Expr:
    """Text as the wanted type; null where it is missing, and where it is something else."""
    if want == pl.String():
        return pl.when(column != "").then(column)
    text = pl.when(~column.is_in(MISSING)).then(column.str.strip_chars())
    if isinstance(want, pl.Datetime):
        zoned = text.str.to_datetime(time_unit="us", time_zone="UTC", strict=False).dt.replace_time_zone(None)
        return pl.coalesce(zoned, text.str.to_date(strict=False).cast(want))
    if want == pl.Date():
        return text.str.to_date(strict=False)
    if want == pl.Boolean():
        word = text.str.to_lowercase()
        return (
            pl.when(word.is_in(["true", "t", "yes", "y", "1", "1.0"]))
            .then(True)
            .when(word.is_in(["false", "f", "no", "n", "0", "0.0"]))
            .then(False)
        )
    return (whole(text) if want == pl.Int64() else text).cast(want, strict=False)


def whole(text: pl.Expr) -> pl.Expr:
    """Whole numbers that were written as floats (3.0), as tables with gaps do, as the integers they are."""
    return text.str.replace(r"\.0+$", "")


def _refuse_wrong_types(raw: pl.LazyFrame, casts: dict[str, pl.Expr], file: Path, dataset: Dataset) -> None:
    """A value lost in a cast is a wrong value, not a missing one: say which."""
    schema = raw.collect_schema()
    text = file.suffix == ".csv"
    doubtful = {n: c for n, c in casts.items() if text or schema[n] != DTYPES[dataset.columns[n].type]}
    if not doubtful:
        return
    lost = {n: c.is_null() & pl.col(n).is_not_null() & not_missing(n, schema[n]) for n, c in doubtful.items()}
    last = schema.names()[-1]
    try:
        found = raw.select(*(e.sum().alias(n) for n, e in lost.items()), pl.col(last).null_count().alias(_ROW))
        counts = found.collect().row(0, named=True)
        if counts.pop(_ROW) and text and len(schema) > 1 and (short := short_line(file, len(schema))):
            raise _broken(file, *short)
    except (pl.exceptions.PolarsError, OSError) as problem:
        raise _unreadable(file, problem) from problem
    for name, count in counts.items():
        if count:
            row, value = raw.select(name).with_row_index(_ROW).filter(lost[name]).head(1).collect().row(0)
            place = places_in(file, [row])[row]
            more = f" (and {count - 1:,} more rows are wrong)" if count > 1 else ""
            raise DataError(
                f"column `{name}` of `{file.name}` is declared {dataset.columns[name].type}, "
                f"but {place} holds `{visible(str(value))}`{more}",
                where=f"{file}, {place}, column {name}",
                hint=f"mend the file, or declare `{name}` otherwise under [data.{dataset.name}] in keepfit.toml",
            )


def _unreadable(file: Path, problem: Exception) -> DataError:
    """What is wrong with a file that could not be read, with its line where that can be found."""
    told = broken(file) if isinstance(problem, pl.exceptions.PolarsError) else None
    return told or DataError(f"`{file.name}` cannot be read: {first_line(problem)}", where=str(file))


def broken(file: Path) -> DataError | None:
    """What is wrong with the first line of a CSV file that is not as its header says, if there is one."""
    with contextlib.suppress(OSError):
        if file.suffix == ".csv" and (found := broken_line(file)):
            return _broken(file, *found)
    return None


def _broken(file: Path, line: int, what: str) -> DataError:
    return DataError(f"line {line:,} of `{file.name}` {what}", where=f"{file}:{line}", hint="mend the file")


def not_missing(name: str, have: pl.DataType) -> pl.Expr:
    """Whether a value of a file is no word for a missing one."""
    return ~pl.col(name).is_in(MISSING) if have == pl.String() else pl.lit(True)


def first_line(problem: Exception) -> str:
    """The part of a library's message that says what happened."""
    return next(iter(str(problem).splitlines()), type(problem).__name__)
