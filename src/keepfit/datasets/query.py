"""Tables that are the answer to a query: asked when a version is made, and kept as one Parquet file."""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from keepfit.core.errors import DataError
from keepfit.core.files import write_file
from keepfit.datasets.address import DATABASES, hide
from keepfit.datasets.answer import Answer, QueryFailed
from keepfit.datasets.dataset import Dataset
from keepfit.datasets.progress import Told
from keepfit.datasets.source import source_of
from keepfit.home import Home

_ASKED = ".asked"
"""Beside an answer, a file whose time says when it was last given."""
_PARQUET: dict[str, Any] = {"compression": "zstd", "compression_level": 3, "row_group_size": 1 << 18}


def pin(home: Home, dataset: Dataset, *, told: Told = lambda _: None) -> Path:
    """The file with the answer to the dataset's query, asked now; rows in the order of the answer.

    The same rows leave the same file as it is. Raises DataError with the database's own words,
    without the password that may be in the address; the old answer then stays.
    """
    place = answer_of(home, dataset)
    told(f"asking for {dataset.name}")
    answer = _ask(home.root, dataset, told)
    if not _is(answer, place):
        buffer = io.BytesIO()
        answer.write_parquet(buffer, **_PARQUET)
        write_file(place, buffer.getvalue())
    place.with_suffix(_ASKED).touch()
    return place


def answer_of(home: Home, dataset: Dataset) -> Path:
    """Where the last answer to a dataset's query is, if it was ever asked."""
    source = source_of(home.root, dataset)
    return home.root / source.base / source.pattern


def is_due(home: Home, dataset: Dataset, pause: timedelta) -> bool:
    """Whether a dataset's query was not asked, with an answer, for so long."""
    try:
        asked = answer_of(home, dataset).with_suffix(_ASKED).stat().st_mtime
    except FileNotFoundError:
        return True
    return not 0 <= time.time() - asked < pause.total_seconds()


def is_ordered(query: str) -> bool:
    """Whether the query says in which order it wants its rows."""
    return re.search(r"\border\s+by\b", query, re.IGNORECASE) is not None


def _ask(root: Path, dataset: Dataset, told: Told) -> pl.DataFrame:
    address = resolve(dataset)
    scheme = address.partition(":")[0]
    where = f"[data.{dataset.name}] in keepfit.toml"
    try:
        parts = []
        count = 0
        for part in _READERS[scheme](root, address, dataset.query or ""):
            parts.append(part)
            count += part.height
            told(f"{count:,} rows of {dataset.name}")
        return _together(parts)
    except QueryFailed as problem:
        line = f"line {problem.line} of `query` under " if problem.line else ""
        message = hide(problem.message, address)
        raise DataError(f"the query of `{dataset.name}` failed: {message}", where=line + where) from None


def resolve(dataset: Dataset) -> str:
    """The database's address; `$NAME` is what the environment says. DataError when it says nothing."""
    source = dataset.source
    if not source.startswith("$"):
        return source
    if address := os.environ.get(source[1:]):
        if address.partition(":")[0] in DATABASES:
            return address
        known = ", ".join(f"`{s}:`" for s in DATABASES)
        raise DataError(f"`{source}` is no address of a database", hint=f"it must begin with {known}")
    raise DataError(
        f"`{source}`, which `{dataset.name}` comes from, is not set in the environment",
        where=f"`from` under [data.{dataset.name}] in keepfit.toml",
        hint=f"export {source[1:]}=postgresql://user:password@host/database",
    )


def _sqlite(root: Path, address: str, query: str) -> Answer:
    from keepfit.datasets.sqlite import ask

    return ask(root / address.partition(":")[2], query)


def _duckdb(root: Path, address: str, query: str) -> Answer:
    from keepfit.datasets.duckdb import ask

    return ask(root / address.partition(":")[2], query)


def _postgres(root: Path, address: str, query: str) -> Answer:
    from keepfit.datasets.postgres import ask

    return ask(address, query)


_READERS: dict[str, Callable[[Path, str, str], Answer]] = {
    "sqlite": _sqlite,
    "duckdb": _duckdb,
    "postgresql": _postgres,
    "postgres": _postgres,
}


def _together(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    try:
        return pl.concat(parts, how="vertical_relaxed")
    except pl.exceptions.PolarsError:  # one part has numbers where another has text
        mixed = [n for n in parts[0].columns if len({p.schema[n] for p in parts} - {pl.Null()}) > 1]
        return pl.concat([p.with_columns(pl.col(mixed).cast(pl.String)) for p in parts], how="vertical_relaxed")


def _is(answer: pl.DataFrame, place: Path) -> bool:
    """Whether the file holds these rows already: other versions of polars write other bytes for them."""
    if not place.is_file():
        return False
    try:
        before = pl.read_parquet(place, glob=False)
    except (pl.exceptions.PolarsError, OSError):
        return False
    return before.schema == answer.schema and before.equals(answer)
