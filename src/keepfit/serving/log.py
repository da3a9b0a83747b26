"""The prediction log: every answer with its inputs. Bounded in what it costs, and never in the way of an answer."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import polars as pl

from keepfit.core.clocks import utc
from keepfit.core.errors import StoreError
from keepfit.core.files import sweep
from keepfit.datasets.read import first_line, naive
from keepfit.serving.ids import made_at
from keepfit.serving.journal import NONE, Journal, Record, Source, journals, read_journal
from keepfit.serving.segments import (
    likeliest,
    merge_small,
    newest,
    remove_replaced,
    segments,
    together,
    write_segment,
)
from keepfit.serving.tables import table
from keepfit.serving.wire import join

OWN: dict[str, pl.DataType] = {
    "id": pl.String(),
    "time": pl.Datetime("us"),
    "event_time": pl.Datetime("us"),
    "model": pl.String(),
    "version": pl.Int64(),
    "release": pl.String(),
    "route": pl.String(),
}
"""The log's own columns; after them come the inputs, what was joined from side datasets, `prediction`, and for
multiclass models `probabilities`.

`route` tells how the model came to answer; it is null in predictions from before it was logged.
"""

_NONE = pl.DataFrame(schema={**OWN, "prediction": pl.Float64()})

ROWS = 10_000
SECONDS = 30.0
"""A journal becomes a segment after so many rows, or so long."""

STALLED = 0.1
"""Seconds after which a write that has not ended is no longer waited for."""
BUFFERED = 50_000
"""Rows that are kept for a disk that stalls."""
DRAINING = 10.0
"""Seconds that a flush, and the end, wait for a disk that stalls."""

_ODD = timedelta(days=366)
"""How far after its answer an event may be, and not before 1970: else its time is taken for a mistake."""

_LATEST = datetime.max
_EARLIEST = datetime.min
_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_logger = logging.getLogger("keepfit.serving")


class _Entry(NamedTuple):
    """A batch to be written."""

    source: msgspec.Raw
    ids: Sequence[str]
    columns: bytes
    values: Sequence[Any]
    sides: bytes
    route: str | list[str] | None


class _Writer:
    """Has a thread write, and waits for it, so that what is answered is written; but not for a disk that stalls."""

    def __init__(self, write: Callable[[_Entry], None]) -> None:
        self._write = write
        self._queue: queue.SimpleQueue[tuple[_Entry | None, threading.Event]] = queue.SimpleQueue()
        self._put = self._written = 0
        self._stalled = False
        threading.Thread(target=self._work, name="prediction journal", daemon=True).start()

    def put(self, entry: _Entry) -> bool:
        """Write it, or keep it until the disk goes on; False when too much is kept already. From one thread only."""
        if self._stalled and self._put - self._written > BUFFERED:
            return False
        self._put += len(entry.ids)
        done = threading.Event()
        self._queue.put((entry, done))
        if not self._stalled and not done.wait(STALLED):
            self._stalled = True
            _logger.warning("the disk of the prediction log stalls: answers no longer wait for it")
        return True

    def drain(self, seconds: float) -> bool:
        """Whether all that was put has been written, after waiting for so long at most."""
        if self._put == self._written:
            return True
        done = threading.Event()
        self._queue.put((None, done))
        return done.wait(seconds)

    def _work(self) -> None:
        while True:
            entry, done = self._queue.get()
            if entry is not None:
                self._write(entry)
                self._written += len(entry.ids)
                self._stalled = self._stalled and not self._queue.empty()
            done.set()


class Log:
    """Takes predictions, and turns journals into segments in a thread of its own."""

    def __init__(self, folder: Path, instance: str, dropped: Callable[[int], None]) -> None:
        self._folder = folder
        self._journal = Journal(folder, instance)
        self._dropped = dropped
        self._writer = _Writer(self._append)
        self._working = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="prediction log", daemon=True)

    def start(self) -> None:
        """Take up what an earlier process left, and start. A disk that refuses costs the log, not the start."""
        try:
            self._journal.follow(newest(self._folder))
            sweep(self._folder)
            remove_replaced(self._folder)
            self._journal.turn()
        except OSError as problem:
            _logger.warning("the prediction log cannot be written: %s", problem)
        self._thread.start()

    def append(
        self,
        source: msgspec.Raw,
        ids: Sequence[str],
        columns: bytes,
        values: Sequence[Any],
        *,
        sides: bytes = NONE,
        route: str | list[str] | None = None,
    ) -> None:
        """Keep the predictions of a batch; when the disk refuses, or stalls for long, they are counted as dropped."""
        if not self._writer.put(_Entry(source, ids, columns, values, sides, route)):
            self._dropped(len(ids))

    def _append(self, entry: _Entry) -> None:
        source, ids, columns, values, sides, route = entry
        if not self._journal.append(source, ids, columns, values, sides=sides, route=route):
            self._dropped(len(ids))
        elif self._journal.rows >= ROWS:
            self._wake.set()

    def flush(self) -> None:
        """Turn all that has been appended into segments, in the caller's thread; raises StoreError."""
        with self._working:
            self._writer.drain(DRAINING)
            try:
                self._journal.turn()
            except OSError as problem:
                raise StoreError(f"the prediction log cannot be written: {problem.strerror}") from problem
            problems = [p for path in self._journal.finished() if (p := _to_segment(self._folder, path))]
            if problems:
                raise StoreError(f"the prediction log is behind: {first_line(problems[0])}") from problems[0]
            merge_small(self._folder)

    def close(self) -> None:
        """Flush and stop; a disk that stalls is not waited for."""
        self._stopping = True
        self._wake.set()
        self._thread.join(2 * DRAINING)
        if self._writer.drain(DRAINING):
            self._journal.close()

    def _work(self) -> None:
        while True:
            stopping = self._stopping
            try:
                self.flush()
            except Exception as problem:  # whatever it is, answers must go on; what is left is tried again
                _logger.warning("the prediction log is behind: %s", problem)
            if stopping:
                return
            self._wake.wait(SECONDS)
            self._wake.clear()


def read_log(
    folder: Path,
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    where: pl.Expr | bool = True,
    most: int | None = None,
) -> pl.DataFrame:
    """The logged predictions with `since <= event_time < until`, by time of answer; an id that came twice counts once.

    `where` speaks of the log's own columns; with `most`, only so many rows, the oldest, are read.

    Columns are those of OWN, the inputs, `prediction`, and for multiclass models `probabilities`
    (in the order of the levels). Only files whose names fit the times are opened. What a running
    endpoint has not yet written to a segment is missing: POST /control/sync makes it write.
    """
    low = naive(since) if since else _EARLIEST
    high = naive(until) if until else _LATEST
    for _ in range(10):
        try:
            picked = [s.path for s in segments(folder) if s.since <= high and s.until >= low]
            time = pl.col("event_time")
            inside = (time >= low) & (time < high if until else True) & where
            tables, read = [], 0
            for path in picked:
                if most is not None and read >= most:
                    break
                tables.append(pl.scan_parquet(path, glob=False).filter(inside).collect())
                read += tables[-1].height
        except FileNotFoundError:
            continue  # merged into another segment meanwhile
        rows = together([_routed(t) for t in tables]) if tables else _NONE
        return rows.sort("time", maintain_order=True).unique("id", keep="last", maintain_order=True)
    raise StoreError("the prediction log changes faster than it can be read", where=str(folder))


def count_log(folder: Path, where: pl.Expr) -> int:
    """How many logged predictions there are for which a condition on the log's own columns holds."""
    for _ in range(10):
        try:
            found = [pl.scan_parquet(s.path, glob=False).filter(where).select(pl.len()) for s in segments(folder)]
            return sum(counted.collect().item() for counted in found)
        except FileNotFoundError:
            continue  # merged into another segment meanwhile
    raise StoreError("the prediction log changes faster than it can be read", where=str(folder))


def windows_of(folder: Path, since: datetime, width: timedelta) -> list[datetime]:
    """Starts of the windows that hold logged predictions and end after `since`; counted from 1970 in steps of `width`.

    Of files whose predictions are all in one window, only the names are read.
    """
    step, low = width // _MICROSECOND, naive(since)
    for _ in range(10):
        found: set[int] = set()
        try:
            for segment in segments(folder):
                ends = [(time - _EPOCH) // width for time in (segment.since, segment.until)]
                if segment.until >= low and ends[0] != ends[1]:
                    numbers = pl.scan_parquet(segment.path, glob=False).select(
                        pl.col("event_time").cast(pl.Int64).floordiv(step).unique()
                    )
                    found.update(numbers.collect()["event_time"].to_list())
                else:
                    found.add(ends[0])
        except FileNotFoundError:
            continue  # merged into another segment meanwhile
        return [utc(_EPOCH + n * width) for n in sorted(found) if _EPOCH + (n + 1) * width > low]
    raise StoreError("the prediction log changes faster than it can be read", where=str(folder))


def find_prediction(folder: Path, id: str) -> dict[str, Any] | None:
    """One logged prediction by its id, column -> value; None when it is not in the log."""
    for _ in range(2):  # between the two looks a journal may have become a segment
        for path in [*reversed(journals(folder)), *likeliest(segments(folder), made_at(id))]:
            try:
                found = _find(path, id)
            except FileNotFoundError:
                continue
            if found.height:
                return found.row(-1, named=True)
    return None


def rows_of(records: Iterable[Record]) -> pl.DataFrame:
    """The rows of journal records that got an answer, as they stand in segments."""
    by_source: dict[bytes, list[Record]] = {}
    for record in records:
        alike = msgspec.msgpack.encode([record.source, len(record.sides)])
        by_source.setdefault(alike, []).append(record)
    tables = [_table(group) for group in by_source.values()]
    return together(tables) if tables else _NONE


def _find(path: Path, id: str) -> pl.DataFrame:
    if path.suffix == ".parquet":
        return _routed(pl.scan_parquet(path, glob=False).filter(pl.col("id") == id).collect())
    return rows_of(r for r in read_journal(path) if id in r.ids).filter(pl.col("id") == id)


def _routed(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of a segment, also of one from before routes were logged."""
    return rows if "route" in rows.columns else rows.insert_column(len(OWN) - 1, pl.lit(None, pl.String).alias("route"))


def input_column(name: str) -> str:
    """What an input is called in the log: its own name, unless the log has a column of that name."""
    return f"{name} (input)" if name in OWN or name in ("prediction", "probabilities") else name


def side_column(name: str) -> str:
    """Where in the log the rows of a side dataset are that were joined to the inputs; null: it was not kept."""
    return f"keepfit joined {name}"


def _sides(source: Source, records: Sequence[Record]) -> list[pl.Series]:
    """What was joined, a column of structs for each side dataset; nothing when the records tell nothing of it."""
    if len(records[0].sides) != len(source.sides):
        return []
    found = []
    for (name, types), *parts in zip(source.sides.items(), *(r.sides for r in records), strict=True):
        columns = [join(type, some) for type, *some in zip(types.values(), *parts, strict=True)]
        found.append(table(types, columns).to_struct(side_column(name)))
    return found


def plausible(event: str) -> pl.Expr:
    """The column of event times as it counts: where it is a mistake, the time of the answer."""
    within = pl.col(event).is_between(_EPOCH, pl.col("time") + _ODD)
    return pl.when(within).then(pl.col(event)).otherwise(pl.col("time"))


def _table(records: Sequence[Record]) -> pl.DataFrame:
    source = records[0].source
    parts = zip(source.inputs.values(), *(r.columns for r in records), strict=True)
    columns = [join(type, some) for type, *some in parts]
    inputs = table(source.inputs, columns)
    times = np.repeat([r.time for r in records], [len(r.ids) for r in records])
    time = pl.Series("time", times, dtype=pl.Int64).cast(OWN["time"])
    event = (inputs[source.event_time] if source.event_time else time).alias("event_time")
    own = pl.DataFrame([pl.Series("id", [id for r in records for id in r.ids]), time, event])
    routes = [way for r in records for way in (r.route if isinstance(r.route, list) else [r.route] * len(r.ids))]
    labelled = own.with_columns(
        event_time=plausible("event_time"),
        model=pl.lit(source.model),
        version=pl.lit(source.version, pl.Int64),
        release=pl.lit(source.release),
        route=pl.Series(routes, dtype=pl.String),
    )
    named = inputs.rename({name: input_column(name) for name in inputs.columns})
    answers = _answers([v for r in records for v in r.values], source.levels)
    joined = pl.DataFrame(_sides(source, records))
    return pl.concat([labelled, named, joined, answers], how="horizontal").filter(pl.col("prediction").is_not_null())


def _answers(values: list[Any], levels: list[str] | None) -> pl.DataFrame:
    if levels is None:
        return pl.DataFrame({"prediction": values}, schema={"prediction": pl.Float64})
    best = [None if v is None else levels[int(np.argmax(v))] for v in values]
    schema = {"prediction": pl.String(), "probabilities": pl.List(pl.Float64)}
    return pl.DataFrame({"prediction": best, "probabilities": values}, schema=schema)


def _to_segment(folder: Path, journal: Path) -> Exception | None:
    """A journal becomes a segment, and only then is removed; what was in the way, if anything."""
    try:
        rows = rows_of(read_journal(journal))
        if rows.height:
            write_segment(folder, rows, journal.stem, journal.stem)
        journal.unlink(missing_ok=True)
    except Exception as problem:  # one journal that cannot be read must not hold up the others
        return problem
    return None
