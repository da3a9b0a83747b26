"""Rows of a file: which of them the endpoint would take, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from keepfit.core.errors import DataError, did_you_mean
from keepfit.datasets.dataset import Column
from keepfit.datasets.read import DTYPES, cast, not_missing
from keepfit.serving.explain import explain_value
from keepfit.serving.problems import Problem, Rejection
from keepfit.serving.signature import Signature
from keepfit.serving.tabular import Tabular

_PARTS = 8
_ROW = "keepfit row"


class Sieve:
    """Holds rows to the contract of these columns."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._columns = dict(columns)
        self._tabular = Tabular(columns)
        self._signature = Signature(columns)

    def need(self, have: pl.Schema, file: str) -> None:
        """DataError when a column that the model needs is not there."""
        for name in self._columns:
            if name not in have:
                hint = did_you_mean(name, have.names())
                raise DataError(f"`{file}` has no column `{name}`, which the model needs", where=file, hint=hint)

    def typed(self, raw: pl.DataFrame) -> pl.DataFrame:
        """The inputs in the types that the model takes; what is of another type, or NaN, is missing."""
        casts = (cast(n, raw.schema[n], DTYPES[column.type]).alias(n) for n, column in self._columns.items())
        return raw.select(casts).with_columns(pl.col(pl.Float64).fill_nan(None))

    def refused(self, raw: pl.DataFrame, typed: pl.DataFrame) -> dict[int, Problem]:
        """What is wrong with rows that the endpoint would not take, by their number in the table."""
        bad: dict[int, Problem] = {}
        for name, column in self._columns.items():
            have = raw.schema[name]
            if have != DTYPES[column.type]:
                known = pl.col(name).is_not_nan() if have.is_float() else not_missing(name, have)
                lost = raw.select(pl.col(name).is_not_null() & known).to_series() & typed[name].is_null()
                for row in lost.arg_true():
                    bad.setdefault(row, explain_value(name, column, raw[row, name], f"row {row}"))
        good = typed.with_row_index(_ROW).filter(~pl.col(_ROW).is_in(list(bad))) if bad else typed.with_row_index(_ROW)
        return bad | self._refused(good)

    def _refused(self, rows: pl.DataFrame) -> dict[int, Problem]:
        """Whole tables at once where all is well, in ever smaller parts where it is not."""
        inputs = rows.drop(_ROW)
        if not rows.height or self._tabular.pack(inputs) is not None:
            return {}
        if rows.height == 1:
            row = rows[0, _ROW]
            try:
                self._signature.frame(inputs, lambda _, __: f"row {row}", 1)
            except Rejection as refused:
                return {row: refused.problem}
            return {}
        step = -(-rows.height // _PARTS)
        parts = [self._refused(rows.slice(at, step)) for at in range(0, rows.height, step)]
        return {row: problem for part in parts for row, problem in part.items()}
