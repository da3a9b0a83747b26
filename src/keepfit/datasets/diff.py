"""What differs between a dataset at two times: files, columns, rows, distributions."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import polars as pl

from keepfit.core.errors import DataError, NotFound, UsageError, did_you_mean
from keepfit.datasets.dataset import Dataset
from keepfit.datasets.describe import scan_table
from keepfit.datasets.point import Point, tables
from keepfit.datasets.read import first_line
from keepfit.datasets.rows import Rows, compare_rows
from keepfit.datasets.shift import Shift, shifts
from keepfit.datasets.source import table_kind
from keepfit.datasets.tree import Change, Entries, File, Reader, compare
from keepfit.home import Home


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """How the columns differ."""

    added: dict[str, str]
    """Name -> type."""
    removed: dict[str, str]
    retyped: dict[str, tuple[str, str]]


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """What differs. Without `columns`, one of the two is no table."""

    before: str
    after: str
    counts: dict[Change, int]
    files: list[tuple[Change, str]]
    """All files that differ."""
    columns: Columns | None = None
    rows: Rows | None = None
    shifts: list[Shift] = []

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not self.files


def diff(home: Home, before: Point, after: Point, *, key: Sequence[str] = ()) -> Diff:
    """What differs between two points.

    Rows are told apart by `key`, else by the dataset's unique columns, else by its key columns and
    event time. UsageError when a column of the key is not there, DataError when a table breaks
    off while it is read.
    """
    found = list(compare(_reader(before, after), before.tree, after.tree))
    counts: dict[Change, int] = {"added": 0, "modified": 0, "deleted": 0}
    for change in found:
        counts[change.change] += 1
    whole = Diff(before=before.label, after=after.label, counts=counts, files=[(c.change, c.path) for c in found])
    if whole.same:
        return whole
    old, new = before.files(), after.files()
    with contextlib.ExitStack() as stack:
        try:
            first, second = (
                (point, files, stack.enter_context(tables(home, point, files)))
                for point, files in ((before, old), (after, new))
            )
            return _tables(whole, first, second, key)
        except pl.exceptions.PolarsError as problem:
            raise DataError(f"a table cannot be read: {first_line(problem)}", hint="keepfit data status") from problem


End = tuple[Point, Sequence[File], Mapping[str, Path]]


def _reader(before: Point, after: Point) -> Reader:
    """Reads the manifests of both: those of now are not in the store."""

    def read(digest: str) -> Entries:
        try:
            return before.read(digest)
        except NotFound:
            return after.read(digest)

    return read


def _tables(whole: Diff, before: End, after: End, wanted: Sequence[str]) -> Diff:
    frames = [_table(*end) for end in (before, after)]
    old, new = frames
    if old is None or new is None:
        return whole
    was, now = old.collect_schema(), new.collect_schema()
    columns = Columns(
        added={n: str(t) for n, t in now.items() if n not in was},
        removed={n: str(t) for n, t in was.items() if n not in now},
        retyped={n: (str(t), str(now[n])) for n, t in was.items() if n in now and now[n] != t},
    )
    common = [n for n, t in was.items() if n in now and now[n] == t]
    dataset = after[0].dataset or before[0].dataset
    key = _key(wanted, dataset, common, [*was, *now])
    same = Counter(f.digest for f in before[1]) & Counter(f.digest for f in after[1])
    left, right = (_table(point, _without(files, same), paths) for point, files, paths in (before, after))
    rows = compare_rows(_or_empty(left, old), _or_empty(right, new), key, common)
    return msgspec.structs.replace(whole, columns=columns, rows=rows, shifts=shifts(old, new, common))


def _table(point: Point, files: Sequence[File], paths: Mapping[str, Path]) -> pl.LazyFrame | None:
    kind = table_kind(f.path for f in files)
    if kind is None:
        return None
    frame = scan_table([paths[f.path] for f in files], kind, point.dataset)
    texts = [n for n, t in frame.collect_schema().items() if isinstance(t, pl.Categorical | pl.Enum)]
    return frame.with_columns(pl.col(n).cast(pl.String) for n in texts)


def _without(files: Sequence[File], same: Mapping[str, int]) -> list[File]:
    """The files but for those that are on both sides, whose rows need not be compared."""
    left = dict(same)
    found = []
    for file in files:
        if left.get(file.digest, 0):
            left[file.digest] -= 1
        else:
            found.append(file)
    return found


def _or_empty(part: pl.LazyFrame | None, whole: pl.LazyFrame) -> pl.LazyFrame:
    return whole.head(0) if part is None else part


def _key(wanted: Sequence[str], dataset: Dataset | None, common: Sequence[str], known: Sequence[str]) -> list[str]:
    for name in wanted:
        if name not in common:
            raise UsageError(f"there is no column `{name}` of one type in both", hint=did_you_mean(name, known))
    if wanted or dataset is None:
        return list(wanted)
    unique = [n for n, c in dataset.columns.items() if c.unique][:1]
    keys = unique or [*dataset.role("key"), *dataset.role("event time")] if dataset.role("key") or unique else []
    return keys if all(n in common for n in keys) else []
