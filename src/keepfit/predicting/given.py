"""Rows as Python programs have them, read by the same rules as those that come over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from keepfit.core.errors import ContractBroken, DataError, UsageError
from keepfit.serving.problems import Problem, Rejection
from keepfit.serving.signature import Signature
from keepfit.serving.wire import Block

SHOWN = 5
"""Bad rows that an error tells of."""


def read_given(rows: Any, signature: Signature) -> Block:
    """The rows of a polars, pandas or Arrow table, a dict of columns or a list of dicts; all of them good.

    Raises ContractBroken that says what is wrong with which row and feature, DataError when there are no
    rows, UsageError for what holds none.
    """
    given = _table(rows)
    if not len(given):
        raise DataError("there are no rows to predict")
    read = signature.frame if isinstance(given, pl.DataFrame) else signature.rows
    try:
        found = read(given, _place, len(given))  # type: ignore[arg-type]
    except Rejection as refused:  # not one is good
        raise _broken([refused.problem], len(given), len(given)) from None
    if found.bad:
        raise _broken(list(found.bad.values()), len(found.bad), len(given))
    return found.good


def _table(rows: Any) -> pl.DataFrame | list[Any]:
    """A table, or where the values of a column are of several kinds, rows that are read one by one."""
    if isinstance(rows, pl.LazyFrame):
        return rows.collect()
    if isinstance(rows, pl.DataFrame):
        return rows
    if type(rows).__module__.startswith("pandas"):
        return _of_pandas(rows)
    if hasattr(rows, "__arrow_c_stream__") or hasattr(rows, "__arrow_c_array__"):
        return pl.DataFrame(rows)
    if isinstance(rows, Mapping):
        return _of_columns(rows)
    if isinstance(rows, Sequence) and not isinstance(rows, str | bytes):
        return [_plain_row(row) for row in rows]
    raise UsageError(
        f"a {type(rows).__name__} holds no rows",
        hint="give a polars, pandas or Arrow table, a list of dicts, or a dict of columns",
    )


def _of_pandas(frame: Any) -> pl.DataFrame | list[Any]:
    try:
        return pl.from_pandas(frame)
    except ImportError as problem:
        raise UsageError("pandas tables need pyarrow", hint="pip install 'keepfit[pandas]'") from problem
    except (TypeError, ValueError, pl.exceptions.PolarsError):
        return [_plain_row(row) for row in frame.to_dict("records")]


def _of_columns(columns: Mapping[str, Any]) -> pl.DataFrame | list[Any]:
    sizes = {name: len(values) for name, values in columns.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"`{name}` {size}" for name, size in sizes.items())
        raise DataError(f"the columns are not of one length: {told}")
    try:
        return pl.DataFrame([pl.Series(name, values) for name, values in columns.items()])
    except (TypeError, ValueError, pl.exceptions.PolarsError):
        return [_plain_row(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]


def _plain_row(row: Any) -> Any:
    return {name: _plain(value) for name, value in row.items()} if isinstance(row, Mapping) else row


def _plain(value: Any) -> Any:
    """The value as JSON would have brought it, or as Python's own; NaN, NaT and NA are missing."""
    if isinstance(value, float) and value != value:
        return None
    if type(value) in (float, int, str, bool, datetime, type(None)):
        return value
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind and hasattr(value, "item"):  # a scalar of numpy
        return str(value) if kind == "M" else _plain(value.item())
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    return datetime.fromisoformat(value.isoformat()) if isinstance(value, datetime) else value


def _place(row: int, name: str | None) -> str:
    return f"row {row}"


def _broken(problems: Sequence[Problem], bad: int, rows: int) -> ContractBroken:
    told = "".join(f"\n  {problem.sentence}" for problem in problems[:SHOWN])
    more = f"\n  and {bad - SHOWN:,} more" if len(problems) > SHOWN else ""
    first = problems[0]
    where = (first.path or "").partition(".")[0].partition("[")[0]
    where += f", column {first.feature}" if first.feature else ""
    return ContractBroken(f"{bad:,} of {rows:,} rows (counted from 0) cannot be predicted:{told}{more}", where=where)
