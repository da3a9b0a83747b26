"""Tables (Arrow, CSV, tensors) as rows of a request: whole columns at once, when there is nothing to complain about."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from keepfit.datasets.dataset import Column
from keepfit.serving.wire import Packed, Table, nullable


class Tabular:
    """Packs tables whose values keep the contract of these columns."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._columns = dict(columns)
        self._names = set(columns)
        self._numbers = [name for name, column in columns.items() if column.type == "number"]
        bounds = [(columns[name].at_least, columns[name].at_most) for name in self._numbers]
        self._low = np.array([-math.inf if low is None else low for low, _ in bounds])[:, None]
        self._high = np.array([math.inf if high is None else high for _, high in bounds])[:, None]

    def pack(self, frame: pl.DataFrame) -> Table | None:
        """The table packed; None when anything in it is not as it should be. NaN is a missing value."""
        if set(frame.columns) != self._names:
            return None
        numbers = self._pack_numbers(frame)
        if numbers is None:
            return None
        packed: list[Packed] = []
        for name, column in self._columns.items():
            values = numbers.get(name)
            if values is None:
                values = _pack(frame.get_column(name), column)
            if values is None:
                return None
            packed.append(values)
        return Table(packed, frame.height)

    def _pack_numbers(self, frame: pl.DataFrame) -> dict[str, Packed] | None:
        if not self._numbers:
            return {}
        some = frame[self._numbers]  # not `select`, which plans a query
        kinds = set(some.dtypes)
        if not all(kind.is_numeric() for kind in kinds):
            return None
        if kinds != {pl.Float64}:
            some = some.cast(pl.Float64)
        block = some.to_numpy(order="fortran").T
        if np.isinf(block).any() or (block < self._low).any() or (block > self._high).any():
            return None
        missing = np.isnan(block).any(axis=1).tolist()
        packed: dict[str, Packed] = {}
        for name, values, gaps in zip(self._numbers, block, missing, strict=True):
            if gaps and not nullable(self._columns[name]):
                return None
            packed[name] = some[name].fill_nan(None).to_list() if gaps else values.tobytes()
        return packed


def plain(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """The rows as JSON would have them, to be read and explained one by one."""
    floats = [name for name, dtype in frame.schema.items() if dtype.is_float()]
    return frame.with_columns(pl.col(floats).fill_nan(None)).to_dicts() if floats else frame.to_dicts()


def _pack(values: pl.Series, column: Column) -> Packed | None:
    """One column that is not of numbers, packed; None when anything is wrong with it."""
    typed = _typed(values, column)
    if typed is None or (typed.null_count() > values.null_count() and not values.dtype.is_float()):
        return None
    if typed.null_count() and not nullable(column):
        return None
    if column.levels and not typed.drop_nulls().is_in(column.levels).all():
        return None
    if typed.dtype == pl.Int64:
        return typed.to_list() if typed.null_count() else typed.to_numpy().tobytes()
    return typed.to_list()


def _typed(values: pl.Series, column: Column) -> pl.Series | None:
    """The values as they are packed; None when they are of another kind, or out of bounds."""
    dtype = values.dtype
    if column.type == "integer" and dtype.is_float():
        known = values.fill_nan(None)
        whole = known.cast(pl.Int64, strict=False)
        return _typed(whole, column) if whole.eq_missing(known).all() else None
    if column.type == "integer" and dtype.is_integer():
        typed = values.cast(pl.Int64, strict=False)
        low, high = typed.min(), typed.max()
        below = column.at_least is not None and low is not None and low < column.at_least  # type: ignore[operator]
        above = column.at_most is not None and high is not None and high > column.at_most  # type: ignore[operator]
        return None if below or above else typed
    if column.type in ("category", "text") and dtype in (pl.String, pl.Categorical, pl.Enum):
        return values.cast(pl.String)
    if column.type == "bool" and dtype == pl.Boolean:
        return values
    if column.type == "timestamp" and isinstance(dtype, pl.Datetime):
        return values.cast(pl.Datetime("us", dtype.time_zone)).to_physical()  # with a zone, it counts in UTC
    if column.type == "date" and dtype == pl.Date:
        return values.to_physical().cast(pl.Int64)
    return None
