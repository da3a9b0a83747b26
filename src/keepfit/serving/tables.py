"""Packed columns back to tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from keepfit.datasets.dataset import ColumnType
from keepfit.datasets.read import DTYPES

_NATIVE = type(pl.Series()._s)
"""What pl.Series asks for a column in the end; asked directly it takes a twentieth of the time for short columns."""
_PACKED: dict[ColumnType, pl.DataType] = {"timestamp": pl.Int64(), "date": pl.Int32()}


def table(types: Mapping[str, ColumnType], columns: Sequence[Sequence[Any]]) -> pl.DataFrame:
    """The table of packed columns, each in the type that training tables have."""
    return pl.DataFrame([_series(*pair, column) for pair, column in zip(types.items(), columns, strict=True)])


def _series(name: str, type: ColumnType, values: Sequence[Any]) -> pl.Series:
    if isinstance(values, bytes):
        number = type == "number"
        make = _NATIVE.new_f64 if number else _NATIVE.new_i64
        dense = pl.Series._from_pyseries(make(name, np.frombuffer(values, np.float64 if number else np.int64), False))
        return dense.cast(DTYPES[type]) if type in _PACKED else dense
    packed = _PACKED.get(type)
    if packed is None:
        return pl.Series(name, values, dtype=DTYPES[type])
    return pl.Series(name, values, dtype=packed).cast(DTYPES[type])
