"""Values on their way: which type a column has in JSON, and how it is packed for the scorer and the log."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from keepfit.datasets.dataset import Column, ColumnType

Row = tuple[Any, ...]

Packed = bytes | list[Any]
"""The values of a column: 8 little-endian bytes each where all are numbers (or times) and none is missing."""

_INT64 = 2**63
_FLOAT = sys.float_info.max
_WIDTH = 8
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
        least_float, most_float = low if low is not None else -_FLOAT, high if high is not None else _FLOAT
        kind = Annotated[float, msgspec.Meta(ge=least_float, le=most_float)]  # which leaves out infinity
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


class Table(NamedTuple):
    """Rows that came in as columns, packed; a slice of it is a table."""

    columns: list[Packed]
    height: int

    def part(self, start: int, stop: int) -> Table:
        """The rows from `start` to before `stop`."""
        if start == 0 and stop == self.height:
            return self
        ends = start * _WIDTH, stop * _WIDTH
        cut = [c[slice(*ends)] if isinstance(c, bytes) else c[start:stop] for c in self.columns]
        return Table(cut, stop - start)


Block = Sequence[Row] | Table
"""Rows of a request, in the form that is cheapest for it."""


def height(block: Block) -> int:
    """How many rows."""
    return block.height if isinstance(block, Table) else len(block)


def join(type: ColumnType, parts: Sequence[Packed]) -> Packed:
    """One packed column of several."""
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, bytes) for part in parts):
        return b"".join(parts)  # type: ignore[arg-type]
    code = _DENSE.get(type, "q")
    return [v for p in parts for v in (array(code, p) if isinstance(p, bytes) else p)]


class Packer:
    """Turns rows into msgpack columns: times as microseconds and dates as days since 1970."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._types = [column.type for column in columns.values()]
        self._changes = [_CHANGES.get(type) for type in self._types]
        self._dense = [_DENSE.get(type) for type in self._types]

    def columns(self, rows: Sequence[Row]) -> list[Sequence[Any]]:
        """The values by column, as they are packed."""
        columns = zip(*rows, strict=True)
        return [change(c) if change else c for change, c in zip(self._changes, columns, strict=True)]

    def pack(self, rows: Sequence[Row]) -> bytes:
        """The packed columns."""
        return _encode(self._packed(rows))

    def pack_blocks(self, blocks: Sequence[Block]) -> bytes:
        """The packed columns of all blocks, one after the other."""
        if len(blocks) == 1 and isinstance(blocks[0], Table):
            return _encode(blocks[0].columns)
        rows: list[Row] = []
        parts: list[list[Packed]] = []
        for block in blocks:
            if not isinstance(block, Table):
                rows.extend(block)
                continue
            if rows:
                parts.append(self._packed(rows))
                rows = []
            parts.append(block.columns)
        if rows:
            parts.append(self._packed(rows))
        if len(parts) == 1:
            return _encode(parts[0])
        return _encode([join(type, some) for type, *some in zip(self._types, *parts, strict=True)])

    def first(self, block: Block, column: int) -> Any:
        """The first row's value in a column, as it is packed; the same whatever form the rows came in."""
        if not isinstance(block, Table):
            change = self._changes[column]
            value = block[0][column]
            return change([value])[0] if change else value
        values, code = block.columns[column], self._dense[column]
        return array(code, values[:_WIDTH])[0] if isinstance(values, bytes) and code else values[0]

    def _packed(self, rows: Sequence[Row]) -> list[Packed]:
        return [_dense(c, code) if code else c for code, c in zip(self._dense, self.columns(rows), strict=True)]  # type: ignore[misc]


def _times(values: Sequence[datetime | None]) -> list[int | None]:
    return [None if v is None else micros(v) for v in values]


def _days(values: Sequence[date | None]) -> list[int | None]:
    return [None if v is None else (v - _EPOCH_DAY).days for v in values]


def _dense(values: Sequence[Any], code: Literal["d", "q"]) -> Packed:
    try:
        return array(code, values).tobytes()
    except TypeError:  # something is missing
        return list(values)


_DENSE: dict[ColumnType, Literal["d", "q"]] = {"number": "d", "integer": "q", "timestamp": "q", "date": "q"}
_CHANGES: dict[ColumnType, Callable[[Sequence[Any]], list[int | None]]] = {"timestamp": _times, "date": _days}
