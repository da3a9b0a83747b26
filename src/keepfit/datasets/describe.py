"""What a version's files are as a table: rows, columns, and the time they cover."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl

from keepfit.datasets.dataset import Dataset
from keepfit.datasets.delimited import scan_delimited
from keepfit.datasets.read import DTYPES, parse


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a table without looking at its values."""

    rows: int
    columns: dict[str, str]
    since: datetime | None = None
    until: datetime | None = None


def describe(files: Sequence[Path], kind: str, dataset: Dataset | None = None) -> Table | None:
    """The table that files of this kind are together; None when they cannot be read as one."""
    time = dataset.event_time if dataset else None
    try:
        frame = scan_table(files, kind, dataset)
        schema = frame.collect_schema()
        moments = [pl.col(time).min(), pl.col(time).max().alias("until")] if time and time in schema else []
        rows, *span = frame.select(pl.len().alias("keepfit rows"), *moments).collect(engine="streaming").row(0)
    except (pl.exceptions.PolarsError, OSError):
        return None
    since, until = (_utc(v) for v in (*span, None, None)[:2])
    return Table(rows=rows, columns={n: str(t) for n, t in schema.items()}, since=since, until=until)


def scan_table(files: Sequence[Path], kind: str, dataset: Dataset | None = None) -> pl.LazyFrame:
    """Files of this kind as one table, columns in the types they have; raises what polars raises.

    Of a CSV file, declared columns are read as declared, the others as what they look like.
    """
    frame = pl.concat([_scan(file, kind, dataset) for file in files], how="diagonal_relaxed")
    schema = frame.collect_schema()
    declared = dataset.columns if dataset and kind == ".csv" else {}
    return frame.with_columns(parse(pl.col(n), DTYPES[c.type]).alias(n) for n, c in declared.items() if n in schema)


def _scan(file: Path, kind: str, dataset: Dataset | None) -> pl.LazyFrame:
    if kind == ".parquet":
        return pl.scan_parquet(file, glob=False)
    return scan_delimited(file, infer_schema_length=None, schema_overrides=_texts(dataset))


def _texts(dataset: Dataset | None) -> dict[str, pl.DataType]:
    return dict.fromkeys(dataset.columns, pl.String()) if dataset else {}


def _utc(moment: object) -> datetime | None:
    if not isinstance(moment, datetime):
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
