"""Values on their way: which type a column has in JSON, and how it is packed for the scorer and the log."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec

from keepfit.datasets.dataset import Column, ColumnType

Row = tuple[Any, ...]

_INT64 = 2**63
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1)
_encode = msgspec.msgpack.Encoder().encode


def nullable(column: Column) -> bool:
    """Whether a request may leave the value out by saying null."""
    return column.missing != 0 and column.role != "event time"


def annotation(column: Column) -> Any:
    """The type of a cell, with the bounds of its contract, as msgspec checks it."""
    low, high = column.at_least, column.at_most
    kind: Any
    if column.type == "number":
        kind = Annotated[float, msgspec.Meta(ge=low, le=high)]
    elif column.type == "integer":
        least = max(-_INT64, math.ceil(low)) if low is not None else -_INT64
        most = min(_INT64 - 1, math.floor(high)) if high is not None else _INT64 - 1
        kind = Annotated[int, msgspec.Meta(ge=least, le=most)]
    elif column.type in ("category", "text"):
        kind = Literal[tuple(column.levels)] if column.levels else str
    else:
        kind = {"timestamp": datetime, "date": date, "bool": bool}[column.type]
    return kind | None if nullable(column) else kind


def micros(time: datetime) -> int:
    """Microseconds since 1970; a time without a zone is taken as UTC."""
    return (time - (_EPOCH if time.tzinfo is None else _EPOCH_UTC)) // _MICROSECOND


def of_micros(time: int) -> datetime:
    """The instant, as columns hold it: UTC, without a zone."""
    return _EPOCH + time * _MICROSECOND


class Packer:
    """Turns rows into msgpack columns: times as microseconds and dates as days since 1970."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._changes = [_CHANGES.get(column.type) for column in columns.values()]

    def columns(self, rows: Sequence[Row]) -> list[Sequence[Any]]:
        """The values by column, as they are packed."""
        columns = zip(*rows, strict=True)
        return [change(c) if change else c for change, c in zip(self._changes, columns, strict=True)]

    def pack(self, rows: Sequence[Row]) -> bytes:
        """The packed columns."""
        return _encode(self.columns(rows))


def _times(values: Sequence[datetime | None]) -> list[int | None]:
    return [None if v is None else micros(v) for v in values]


def _days(values: Sequence[date | None]) -> list[int | None]:
    return [None if v is None else (v - _EPOCH_DAY).days for v in values]


_CHANGES: dict[ColumnType, Callable[[Sequence[Any]], list[int | None]]] = {"timestamp": _times, "date": _days}
