"""Packed columns back to tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from keepfit.datasets.dataset import ColumnType
from keepfit.datasets.read import DTYPES

_PACKED: dict[ColumnType, pl.DataType] = {"timestamp": pl.Int64(), "date": pl.Int32()}


def table(types: Mapping[str, ColumnType], columns: Sequence[Sequence[Any]]) -> pl.DataFrame:
    """The table of packed columns, each in the type that training tables have."""
    return pl.DataFrame([_series(*pair, column) for pair, column in zip(types.items(), columns, strict=True)])


def _series(name: str, type: ColumnType, values: Sequence[Any]) -> pl.Series:
    if isinstance(values, bytes):
        dense = pl.Series(name, np.frombuffer(values, np.float64 if type == "number" else np.int64))
        return dense.cast(DTYPES[type]) if type in _PACKED else dense
    packed = _PACKED.get(type)
    if packed is None:
        return pl.Series(name, values, dtype=DTYPES[type])
    return pl.Series(name, values, dtype=packed).cast(DTYPES[type])
