"""Reading rows out of request bodies: typed and fast when all is well, row by row when it is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

import msgspec
import polars as pl

from keepfit.datasets.dataset import Column
from keepfit.serving.explain import Place, explain_names, explain_value, parse, rows_in
from keepfit.serving.problems import Problem, Rejection, rejection
from keepfit.serving.tabular import Tabular, plain
from keepfit.serving.wire import Block, Packer, Row, annotation, height

EXPLAINED = 20
"""Bad rows of one request that are explained one by one."""

UNEXPLAINED = Problem(code="invalid-row", message=f"this row is invalid too: the first {EXPLAINED} are explained")

NO_ROWS = Problem(code="invalid-body", message="the request has no rows", expected="at least one row")

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]

_tuple = msgspec.structs.astuple


@dataclass(frozen=True)
class Rows:
    """The rows of a request: one value per column, or what is wrong with the row."""

    good: Block
    bad: dict[int, Problem] = field(default_factory=dict)
    """Number of the row in the request -> problem; the good rows are all others, in order."""
    ids: list[str] | None = None
    """The ids the sender gave to the good rows, if any."""


class Signature:
    """What the rows of a request must look like, compiled from the columns' contract."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self.columns = dict(columns)
        packer = Packer(columns)
        self.pack, self.pack_blocks, self.first = packer.pack, packer.pack_blocks, packer.first
        self._tabular = Tabular(columns)
        self._types = {name: annotation(column) for name, column in columns.items()}
        self._keys = {name: key for i, name in enumerate(columns) if (key := _key(i, name)) != name}
        kinds = {self._keys.get(name, name): kind for name, kind in self._types.items()}
        self._row = _struct({name: (kind,) for name, kind in kinds.items()})
        table = self._table = _struct({name: (list[kind],) for name, kind in kinds.items()})  # type: ignore[valid-type]
        unset = msgspec.UnsetType
        forms: dict[str, tuple[Any, ...]] = {
            "rows": (list[self._row] | unset, msgspec.UNSET),  # type: ignore[name-defined]
            "columns": (table | unset, msgspec.UNSET),
            "ids": (list[Id] | None, None),
        }
        self._decode = msgspec.json.Decoder(_struct(forms)).decode
        forms_of = {"timestamp": _full, "integer": _whole}
        self._full = {name: forms_of[column.type] for name, column in columns.items() if column.type in forms_of}

    def decode(self, body: bytes, max_rows: int) -> Rows:
        """The rows of a body `{"rows": [{...}, ...]}` or `{"columns": {name: [...], ...}}`, with `"ids"` if it likes.

        Raises Rejection: 400 when it is not JSON, 413 when there are too many rows, 422 when it
        has another shape, or no row in it is good.
        """
        return _some(self._fast(body) or self._slow(body, max_rows), max_rows)

    def rows(self, rows: Sequence[Any], place: Place, max_rows: int) -> Rows:
        """The same of rows that are parsed already, each an object; `place` names a place in the body."""
        return _some(self._each(rows, [], place, max_rows), max_rows)

    def columns_of(self, table: Mapping[str, list[Any]], place: Place, max_rows: int) -> Rows:
        """The same of columns of one length."""
        try:
            found = msgspec.convert(self._named(table), self._table)
            return _some(Rows(list(zip(*_tuple(found), strict=True))), max_rows)
        except (msgspec.ValidationError, OverflowError):
            rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
            return self.rows(rows, place, max_rows)

    def frame(self, frame: pl.DataFrame, place: Place, max_rows: int) -> Rows:
        """The same of a table; NaN is a missing value in it."""
        if frame.height > max_rows:
            raise _too_many(max_rows)
        table = self._tabular.pack(frame) if frame.height else None
        return self.rows(plain(frame), place, max_rows) if table is None else Rows(table)

    def _fast(self, body: bytes) -> Rows | None:
        """The rows when there is nothing to complain about, else None."""
        if self._keys:
            return None
        try:
            rows, table, ids = _tuple(self._decode(body))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if (rows is msgspec.UNSET) == (table is msgspec.UNSET):
            return None
        if table is msgspec.UNSET:
            good = [_tuple(row) for row in rows]
        else:
            columns = _tuple(table)
            if len({len(values) for values in columns}) != 1:
                return None
            good = list(zip(*columns, strict=True))
        if not good or (ids is not None and len(ids) != len(good)):
            return None
        return Rows(good, ids=ids)

    def _slow(self, body: bytes, max_rows: int) -> Rows:
        rows, ids, place = rows_in(parse(body), self.columns)
        return self._each(rows, ids, place, max_rows)

    def _each(self, rows: Sequence[Any], ids: Sequence[str], place: Place, max_rows: int) -> Rows:
        if len(rows) > max_rows:
            raise _too_many(max_rows)
        good: list[Row] = []
        bad: dict[int, Problem] = {}
        for number, row in enumerate(rows):
            try:
                good.append(self._read(row))
            except (msgspec.ValidationError, OverflowError):
                bad[number] = self._why(row, number, place) if len(bad) < EXPLAINED else UNEXPLAINED
        return Rows(good, bad, [id for number, id in enumerate(ids) if number not in bad] if ids else None)

    def _read(self, row: Any) -> Row:
        if isinstance(row, dict):
            row = {name: self._full[name](value) if name in self._full else value for name, value in row.items()}
            row = self._named(row)
        return _tuple(msgspec.convert(row, self._row))

    def _named(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The values by the names that the structs have for the columns."""
        return {self._keys.get(name, name): value for name, value in values.items()} if self._keys else values

    def _why(self, row: Any, number: int, place: Place) -> Problem:
        problem = explain_names(row, place(number, None), self.columns)
        if problem is not None:
            return problem
        for name, kind in self._types.items():
            try:
                msgspec.convert(self._full[name](row[name]) if name in self._full else row[name], kind)
            except (msgspec.ValidationError, OverflowError):
                return explain_value(name, self.columns[name], row[name], place(number, name))
        return UNEXPLAINED


def _some(rows: Rows, max_rows: int) -> Rows:
    if height(rows.good) + len(rows.bad) > max_rows:
        raise _too_many(max_rows)
    if not rows.good:
        raise Rejection(422, rows.bad[0] if rows.bad else NO_ROWS)
    return rows


def _too_many(max_rows: int) -> Rejection:
    return rejection(413, "too-many-rows", f"a request may not have more than {max_rows:,} rows")


def _struct(fields: Mapping[str, tuple[Any, ...]]) -> Any:
    """A struct whose members are called by these names, which need not be identifiers."""
    plain = {f"f{i}": name for i, name in enumerate(fields)}
    members: list[Any] = [(field, *fields[name]) for field, name in plain.items()]
    return msgspec.defstruct("Read", members, rename=plain, forbid_unknown_fields=True, gc=False)


def _key(number: int, name: str) -> str:
    """What a struct calls a column: msgspec takes no name that JSON would have to escape."""
    return name if msgspec.json.encode(name)[1:-1] == name.encode() else f"column {number}\x7f"


def _whole(value: Any) -> Any:
    """A whole number that was written as a float, as tables with gaps do, as the integer it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _full(value: Any) -> Any:
    """An ISO 8601 time that RFC 3339 does not know (no seconds, or no time of day) in its full form."""
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return value
