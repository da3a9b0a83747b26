"""What the project says of a dataset: where it comes from, its columns, and what may be expected of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import msgspec

from keepfit.core.clocks import duration

ColumnType = Literal["timestamp", "date", "category", "text", "integer", "number", "bool"]
Role = Literal["event time", "label", "key"]
SETTINGS = ("from", "query", "fresh", "known_after")
"""The keys under [data.NAME] in keepfit.toml that are not columns."""


class Column(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One column and its contract. What is not said is not checked."""

    type: ColumnType
    role: Role | None = None
    """`event time`: when the row happened. `label`: what is predicted. `key`: joins a side dataset to the main one."""
    known_after: str | None = None
    """How long after the event the value is known; such a column is never shown to the model."""
    at_least: float | None = None
    at_most: float | None = None
    """Bounds on a number; on a category, `at_most` is the greatest number of different levels."""
    levels: list[str] | None = None
    """The only values a category may take."""
    missing: float | None = None
    """Largest share of missing values allowed, 0 to 1."""
    unique: bool = False


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """A named table of the project."""

    name: str
    source: str
    """Path or glob of Parquet or CSV files, relative to the project; with `query`, the address of a database."""
    query: str | None = None
    """What to ask the database for the rows."""
    columns: dict[str, Column]
    fresh: str | None = None
    """How old the newest row may be before an alert."""
    known_after: str | None = None
    """How long after its event time a row of this dataset can be seen by a model."""

    def role(self, role: Role) -> list[str]:
        """Names of the columns with this role, in order."""
        return [name for name, column in self.columns.items() if column.role == role]

    @property
    def event_time(self) -> str | None:
        """The column that says when a row happened, if any."""
        return next(iter(self.role("event time")), None)

    @property
    def label(self) -> str | None:
        """The column that is predicted, if this is the main dataset."""
        return next(iter(self.role("label")), None)

    @property
    def label_delay(self) -> timedelta:
        """How long after the event the label is known."""
        delay = self.columns[self.label].known_after if self.label else None
        return duration(delay) if delay else timedelta()

    @property
    def row_delay(self) -> timedelta:
        """How long after the event a row can be seen."""
        return duration(self.known_after) if self.known_after else timedelta()

    @property
    def inputs(self) -> dict[str, Column]:
        """The columns known when a prediction is asked for."""
        return {n: c for n, c in self.columns.items() if c.role != "label" and c.known_after is None}
