"""What a database gives to a query: tables, or its own words."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import polars as pl

ROWS = 50_000
"""Rows taken from a database at a time."""
Answer = Iterator[pl.DataFrame]
_NESTED = {dict, list, tuple, set}


class QueryFailed(Exception):
    """What a database said; `line` of the query, where it told."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message, self.line = message, line


def batches(names: Sequence[str], fetch: Callable[[], Sequence[Sequence[Any]]]) -> Answer:
    """The rows that `fetch` gives until it gives none, as tables; one without rows when there are none at all."""
    if not names:
        raise QueryFailed("it gives no columns")
    if twice := next((n for i, n in enumerate(names) if n in names[:i]), None):
        raise QueryFailed(f"two columns of the answer are called `{twice}`")
    rows = fetch()
    while True:
        columns = zip(*rows, strict=True) if rows else [()] * len(names)
        yield pl.DataFrame([_series(n, values) for n, values in zip(names, columns, strict=True)])
        if not rows or not (rows := fetch()):
            return


def _series(name: str, values: Sequence[Any]) -> pl.Series:
    """A column of whatever a database gives; what polars has no type for as text, so that it is always the same."""
    kinds = {type(v) for v in values} - {type(None)}
    if (kinds <= {int, float} or len(kinds) <= 1) and not kinds & _NESTED:
        with contextlib.suppress(TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
            found = pl.Series(name, values, strict=kinds != {int, float})
            if found.dtype != pl.Object():
                return found
    return pl.Series(name, [None if v is None else _text(v) for v in values], dtype=pl.String)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    return msgspec.json.encode(value, order="sorted").decode() if isinstance(value, dict | list) else str(value)
