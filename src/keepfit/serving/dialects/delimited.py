"""CSV: a header with the names of the features, a line for each row; an empty cell is a missing value."""

from __future__ import annotations

import io
from typing import Any

import polars as pl

from keepfit.datasets.dataset import Column
from keepfit.datasets.delimited import header
from keepfit.datasets.read import whole
from keepfit.serving.answering import Answered
from keepfit.serving.dialects.arrow import of_frame, table
from keepfit.serving.explain import explain_names, step
from keepfit.serving.http import Reply
from keepfit.serving.problems import Rejection, rejection
from keepfit.serving.signature import Rows, Signature

TYPE = "text/csv"
_TRUTHS = {"true": True, "false": False, "1": True, "0": False}


def read(signature: Signature, body: bytes, max_rows: int) -> Rows:
    """The rows of a CSV body; Rejection 400 when it is none."""
    try:
        text = pl.read_csv(body, infer_schema=False)
        text.columns = header(io.StringIO(body.decode("utf-8-sig"), newline=""), text.columns)
    except Exception:
        raise rejection(400, "csv", "the body is not CSV in UTF-8 with a header and lines of one length") from None
    columns = signature.columns
    if problem := explain_names(dict.fromkeys(text.columns), "$", columns):
        raise Rejection(422, problem)
    typed = text.select(_cast(pl.col(n), columns[n]) for n in text.columns)
    if typed.null_count().row(0) == text.null_count().row(0):
        return of_frame(signature, typed, max_rows)
    rows = [{name: _cell(cell, columns[name]) for name, cell in row.items()} for row in text.iter_rows(named=True)]
    return signature.rows(rows, lambda row, name: f"$[{row}]{step(name) if name else ''}", max_rows)


def write(answered: Answered) -> Reply:
    """The answers as CSV."""
    return Reply(200, table(answered).write_csv().encode(), ((b"content-type", b"text/csv; charset=utf-8"),))


def _cast(text: pl.Expr, column: Column) -> pl.Expr:
    """The column in its type, null where a cell is not of it. Times are read one by one: they have many forms."""
    if column.type in ("category", "text", "timestamp", "date"):
        return text
    if column.type == "bool":
        return text.str.to_lowercase().replace_strict(_TRUTHS, default=None, return_dtype=pl.Boolean)
    return text.cast(pl.Float64, strict=False) if column.type == "number" else whole(text).cast(pl.Int64, strict=False)


def _cell(text: str | None, column: Column) -> Any:
    """What one cell says; the text itself where it is not of the column's type."""
    if text is None or column.type in ("category", "text", "timestamp", "date"):
        return text
    if column.type == "bool":
        return _TRUTHS.get(text.lower(), text)
    try:
        return int(text) if column.type == "integer" and "." not in text else float(text)
    except ValueError:
        return text
