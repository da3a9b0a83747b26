"""Reading rows out of request bodies: typed and fast when all is well, row by row when it is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

import msgspec

from keepfit.datasets.dataset import Column
from keepfit.serving.explain import Place, explain_names, explain_value, parse, rows_in
from keepfit.serving.problems import Problem, Rejection, rejection
from keepfit.serving.wire import Packer, Row, annotation

EXPLAINED = 20
"""Bad rows of one request that are explained one by one."""

UNEXPLAINED = Problem(code="invalid-row", message=f"this row is invalid too: the first {EXPLAINED} are explained")

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]

_tuple = msgspec.structs.astuple


@dataclass(frozen=True)
class Rows:
    """The rows of a request: one value per column, or what is wrong with the row."""

    good: list[Row]
    bad: dict[int, Problem] = field(default_factory=dict)
    """Number of the row in the request -> problem; the good rows are all others, in order."""
    ids: list[str] | None = None
    """The ids the sender gave to the good rows, if any."""


class Signature:
    """What the rows of a request must look like, compiled from the columns' contract."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self.columns = dict(columns)
        self.pack = Packer(columns).pack
        self._types = {name: annotation(column) for name, column in columns.items()}
        self._row = _struct({name: (kind,) for name, kind in self._types.items()})
        table = _struct({name: (list[kind],) for name, kind in self._types.items()})  # type: ignore[valid-type]
        unset = msgspec.UnsetType
        forms: dict[str, tuple[Any, ...]] = {
            "rows": (list[self._row] | unset, msgspec.UNSET),  # type: ignore[name-defined]
            "columns": (table | unset, msgspec.UNSET),
            "ids": (list[Id] | None, None),
        }
        self._decode = msgspec.json.Decoder(_struct(forms)).decode
        self._times = {name for name, column in columns.items() if column.type == "timestamp"}

    def decode(self, body: bytes, max_rows: int) -> Rows:
        """The rows of a body `{"rows": [{...}, ...]}` or `{"columns": {name: [...], ...}}`, with `"ids"` if it likes.

        Raises Rejection: 400 when it is not JSON, 413 when there are too many rows, 422 when it
        has another shape, or no row in it is good.
        """
        rows = self._fast(body) or self._slow(body)
        if len(rows.good) + len(rows.bad) > max_rows:
            raise rejection(413, "too-many-rows", f"a request may not have more than {max_rows:,} rows")
        if not rows.good:
            raise Rejection(422, rows.bad[0])
        return rows

    def _fast(self, body: bytes) -> Rows | None:
        """The rows when there is nothing to complain about, else None."""
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

    def _slow(self, body: bytes) -> Rows:
        rows, ids, place = rows_in(parse(body), self.columns)
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
            row = {name: _full(value) if name in self._times else value for name, value in row.items()}
        return _tuple(msgspec.convert(row, self._row))

    def _why(self, row: Any, number: int, place: Place) -> Problem:
        problem = explain_names(row, place(number, None), self.columns)
        if problem is not None:
            return problem
        for name, kind in self._types.items():
            try:
                msgspec.convert(_full(row[name]) if name in self._times else row[name], kind)
            except (msgspec.ValidationError, OverflowError):
                return explain_value(name, self.columns[name], row[name], place(number, name))
        return UNEXPLAINED


def _struct(fields: Mapping[str, tuple[Any, ...]]) -> Any:
    """A struct whose members are called by these names, whatever characters are in them."""
    plain = {f"f{i}": name for i, name in enumerate(fields)}
    members: list[Any] = [(field, *fields[name]) for field, name in plain.items()]
    return msgspec.defstruct("Read", members, rename=plain, forbid_unknown_fields=True, gc=False)


def _full(value: Any) -> Any:
    """An ISO 8601 time that RFC 3339 does not know (no seconds, or no time of day) in its full form."""
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return value
