"""The newest rows of the side datasets, in memory, joined to the rows to predict by the rule of training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from keepfit.datasets.dataset import Dataset
from keepfit.features.join import align
from keepfit.serving.records import NEWEST
from keepfit.serving.tables import table


class OnlineRows:
    """Rows of side datasets by key, as fast to find for one key as for a thousand."""

    def __init__(self, sides: Sequence[Dataset], main_time: str | None) -> None:
        self._sides = {side.name: _Side(side) for side in sides}
        self._main_time = main_time

    def replace(self, dataset: str, rows: Iterable[dict[str, Any]]) -> None:
        """Forget what is known of a dataset and take these rows (column -> packed value)."""
        side = self._sides[dataset]
        side.keys.clear()
        names = list(side.types)
        columns = [*zip(*([row.get(n) for n in names] for row in rows), strict=True)] or [()] * len(names)
        side.add(table(side.types, columns))

    def add(self, dataset: str, columns: Sequence[Sequence[Any]]) -> None:
        """Take new rows (packed columns); a row with the key and time of an older one replaces it."""
        if side := self._sides.get(dataset):
            side.add(table(side.types, columns))

    def aligned(self, rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
        """For every side dataset, the row that each of these rows may see; one per row, in their order."""
        return {
            name: align(rows, self._main_time, side.dataset, side.near(rows)) for name, side in self._sides.items()
        }


class _Side:
    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.types = {name: column.type for name, column in dataset.columns.items()}
        self.keys: dict[tuple[Any, ...], pl.DataFrame] = {}
        self._by = dataset.role("key")
        self._none = table(self.types, [()] * len(self.types))

    def add(self, new: pl.DataFrame) -> None:
        for key, rows in _parts(new, self._by).items():
            known = self.keys.get(key)
            self.keys[key] = self._newest(rows if known is None else pl.concat([known, rows]))

    def near(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The known rows with any of the keys of `rows`."""
        asked = rows.select(self._by).unique().rows() if self._by else [()]
        known = [self.keys[key] for key in asked if key in self.keys]
        return pl.concat(known) if known else self._none

    def _newest(self, rows: pl.DataFrame) -> pl.DataFrame:
        time = self.dataset.event_time
        if time is None:
            return rows.tail(1)
        return rows.unique(time, keep="last", maintain_order=True).sort(time).tail(NEWEST)


def _parts(rows: pl.DataFrame, by: list[str]) -> dict[tuple[Any, ...], pl.DataFrame]:
    return dict(rows.partition_by(by, as_dict=True)) if by else {(): rows}
