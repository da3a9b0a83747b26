"""The newest rows of the side datasets, in memory, joined to the rows to predict by the rule of training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import polars as pl

from keepfit.datasets.dataset import Dataset
from keepfit.features.join import align
from keepfit.serving.records import NEWEST, Records
from keepfit.serving.tables import table


class OnlineRows:
    """Rows of side datasets, found by key however many there are."""

    def __init__(self, sides: Sequence[Dataset], main_time: str | None) -> None:
        self._sides = {side.name: _Side(side) for side in sides}
        self._main_time = main_time

    def replace(self, dataset: str, rows: Iterable[dict[str, Any]]) -> None:
        """Forget what is known of a dataset and take these rows (column -> packed value)."""
        side = self._sides[dataset]
        columns = list(zip(*([row.get(n) for n in side.types] for row in rows), strict=True))
        side.set(table(side.types, columns or [()] * len(side.types)))

    def take(self, records: Records) -> None:
        """Forget all that is known and take what is stored; StoreError when it cannot be read."""
        for name in self._sides:
            self.replace(name, records.rows_of(name))

    def add(self, dataset: str, columns: Sequence[Sequence[Any]]) -> None:
        """Take new rows (packed columns); a row with the key and time of an older one replaces it."""
        if side := self._sides.get(dataset):
            side.set(pl.concat([side.rows, table(side.types, columns)]))

    def aligned(self, rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
        """For every side dataset, the row that each of these rows may see; one per row, in their order."""
        return {name: align(rows, self._main_time, side.dataset, side.near(rows)) for name, side in self._sides.items()}


class _Side:
    """One dataset's rows, those of a key side by side and in order of time."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.types = {name: column.type for name, column in dataset.columns.items()}
        self._by = dataset.role("key")
        self.set(table(self.types, [()] * len(self.types)))

    def set(self, rows: pl.DataFrame) -> None:
        time = self.dataset.event_time
        order = [*self._by, *([time] if time else [])]
        if order:
            rows = rows.unique(order, keep="last", maintain_order=True).sort(order, maintain_order=True)
        else:
            rows = rows.tail(1)
        if not self._by:
            self.rows = rows.tail(NEWEST)
            return
        self.rows = rows.group_by(self._by, maintain_order=True).tail(NEWEST).select(list(self.types))
        counts = self.rows.group_by(self._by, maintain_order=True).len("keepfit rows")
        ends = np.cumsum(counts["keepfit rows"].to_numpy())
        self._ends = dict(zip(counts.select(self._by).rows(), ends.tolist(), strict=True))
        self._counts = dict(zip(self._ends, counts["keepfit rows"].to_list(), strict=True))

    def near(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The known rows with any of the keys of `rows`."""
        if not self._by:
            return self.rows
        asked = [key for key in rows.select(self._by).unique().rows() if key in self._ends]
        picked = [np.arange(self._ends[key] - self._counts[key], self._ends[key]) for key in asked]
        return self.rows[np.concatenate(picked)] if picked else self.rows.clear()
