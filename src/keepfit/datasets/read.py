"""Files to tables: the declared columns, in their declared types, as they were known at a given time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import polars as pl

from keepfit.core.clocks import duration, utc
from keepfit.core.errors import DataError, did_you_mean
from keepfit.datasets.dataset import ColumnType, Dataset
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


def find_files(root: Path, dataset: Dataset) -> list[Path]:
    """The dataset's files, sorted; NotFound when there are none."""
    source = source_of(root, dataset)
    files = [root / source.base / path for path in walk(root, source).paths()]
    if not files:
        raise no_files(source, dataset)
    return files


def read_files(files: Sequence[Path], dataset: Dataset) -> pl.LazyFrame:
    """The declared columns of all files, in order, each in its declared type.

    Raises DataError for a file that cannot be read, a declared column that is missing, or
    values that are not what the column is declared to be (with file, row and value).
    """
    return pl.concat([_read_file(file, dataset) for file in files])


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
            raw = pl.scan_csv(file, infer_schema=False, glob=False)
        else:
            raise DataError(f"`{file.name}` is neither Parquet nor CSV", where=str(file.parent))
        schema = raw.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as problem:
        raise DataError(f"`{file.name}` cannot be read: {first_line(problem)}", where=str(file)) from problem
    for name in dataset.columns:
        if name not in schema:
            raise DataError(
                f"`{file.name}` has no column `{name}` of dataset `{dataset.name}`",
                where=str(file),
                hint=did_you_mean(name, schema.names()),
            )
    casts = {name: _cast(name, schema[name], DTYPES[c.type]) for name, c in dataset.columns.items()}
    _refuse_wrong_types(raw, casts, file, dataset)
    return raw.select(cast.alias(name) for name, cast in casts.items())


def _cast(name: str, have: pl.DataType, want: pl.DataType) -> pl.Expr:
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
    return text.cast(want, strict=False)


def _refuse_wrong_types(raw: pl.LazyFrame, casts: dict[str, pl.Expr], file: Path, dataset: Dataset) -> None:
    """A value lost in a cast is a wrong value, not a missing one: say which."""
    schema = raw.collect_schema()
    doubtful = {n: c for n, c in casts.items() if schema[n] != DTYPES[dataset.columns[n].type]}
    if not doubtful:
        return
    lost = {n: c.is_null() & pl.col(n).is_not_null() & _not_missing(n, schema[n]) for n, c in doubtful.items()}
    try:
        counts = raw.select(e.sum().alias(n) for n, e in lost.items()).collect().row(0, named=True)
    except pl.exceptions.PolarsError as problem:
        raise DataError(f"`{file.name}` cannot be read: {first_line(problem)}", where=str(file)) from problem
    for name, count in counts.items():
        if count:
            found = raw.select(name).with_row_index("row").filter(lost[name]).head(1).collect().row(0, named=True)
            raise DataError(
                f"column `{name}` of `{file.name}` is declared {dataset.columns[name].type}, "
                f"but row {found['row'] + 1} holds `{found[name]}` (and {count - 1:,} more rows are wrong)",
                where=f"{file}, row {found['row'] + 1}, column {name}",
                hint=f"mend the file, or declare `{name}` otherwise under [data.{dataset.name}] in keepfit.toml",
            )


def _not_missing(name: str, have: pl.DataType) -> pl.Expr:
    return ~pl.col(name).is_in(MISSING) if have == pl.String() else pl.lit(True)


def first_line(problem: Exception) -> str:
    """The part of a library's message that says what happened."""
    return next(iter(str(problem).splitlines()), type(problem).__name__)
