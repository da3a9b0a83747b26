"""What clients bring after the fact, in one SQLite file: labels, and the newest rows of side datasets."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from keepfit.core.errors import StoreError
from keepfit.core.files import is_read_only

T = TypeVar("T")

NEWEST = 200
"""Rows kept per key of a side dataset."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS labels (
    id TEXT PRIMARY KEY, label BLOB NOT NULL, received INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS keyed (
    key_column TEXT NOT NULL, key TEXT NOT NULL, label BLOB NOT NULL, received INTEGER NOT NULL,
    PRIMARY KEY (key_column, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS online (
    dataset TEXT NOT NULL, key BLOB NOT NULL, time INTEGER NOT NULL, row BLOB NOT NULL,
    PRIMARY KEY (dataset, key, time)
) STRICT, WITHOUT ROWID;
"""


class OnlineRow(msgspec.Struct, frozen=True):
    """A row of a side dataset, found by its key and the time it happened."""

    key: bytes
    time: int
    """Microseconds since 1970; 0 where the dataset has no event time."""
    row: bytes
    """Column -> value, as msgpack."""


class Records:
    """Labels and online rows. Safe to share between threads and processes. The file is opened at the first use.

    What has been stored survives a crash of the process and of the machine. Every method raises
    StoreError when the disk refuses; nothing is then half done.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._version = 0
        self._db: sqlite3.Connection | None = None

    def store_labels(self, labels: Mapping[tuple[str, str], Any], received: int) -> None:
        """Keep labels, received at this time (microseconds), in one transaction; the newest delivery wins.

        They go by (input column, its value), or by ("", prediction id).
        """
        rows = [(*by, msgspec.json.encode(label), received) for by, label in labels.items()]
        newest = "DO UPDATE SET label = excluded.label, received = excluded.received WHERE excluded.received >= "
        self._write(
            f"INSERT INTO labels VALUES (?, ?, ?) ON CONFLICT (id) {newest} labels.received",
            [row[1:] for row in rows if not row[0]],
            f"INSERT INTO keyed VALUES (?, ?, ?, ?) ON CONFLICT (key_column, key) {newest} keyed.received",
            [row for row in rows if row[0]],
        )

    def key_columns(self) -> list[str]:
        """The input columns by which labels have come in."""
        return [column for (column,) in self._read("SELECT DISTINCT key_column FROM keyed")]

    def labels_by(self, column: str, keys: Sequence[str]) -> dict[str, Any]:
        """The labels that have arrived for these values of an input column."""
        asked = msgspec.json.encode(keys).decode()
        statement = "SELECT key, label FROM keyed WHERE key_column = ? AND key IN (SELECT value FROM json_each(?))"
        return {key: msgspec.json.decode(label) for key, label in self._read(statement, column, asked)}

    def labels_of(self, ids: Sequence[str]) -> dict[str, Any]:
        """The labels that have arrived for these predictions."""
        asked = msgspec.json.encode(ids).decode()
        found = self._read("SELECT id, label FROM labels WHERE id IN (SELECT value FROM json_each(?))", asked)
        return {id: msgspec.json.decode(label) for id, label in found}

    def count_labels(self) -> int:
        """How many labels have arrived."""
        return int(self._read("SELECT (SELECT count(*) FROM labels) + (SELECT count(*) FROM keyed)")[0][0])

    def store_rows(self, dataset: str, rows: Iterable[OnlineRow]) -> None:
        """Keep rows of a side dataset in one transaction; of each key, the NEWEST newest stay."""
        values = [(dataset, r.key, r.time, r.row) for r in rows]
        keys = {(dataset, key, dataset, key, NEWEST - 1) for _, key, _, _ in values}
        self._write(
            "INSERT INTO online VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET row = excluded.row",
            values,
            "DELETE FROM online WHERE dataset = ? AND key = ? AND time < "
            "(SELECT time FROM online WHERE dataset = ? AND key = ? ORDER BY time DESC LIMIT 1 OFFSET ?)",
            list(keys),
        )

    def rows_of(self, dataset: str) -> list[dict[str, Any]]:
        """All online rows of a dataset, of each key in order of time."""
        found = self._read("SELECT row FROM online WHERE dataset = ? ORDER BY key, time", dataset)
        return [msgspec.msgpack.decode(row) for (row,) in found]

    def changed_elsewhere(self) -> bool:
        """Whether another connection has written since this was last asked (or, the first time, at all)."""
        version = int(self._read("PRAGMA data_version")[0][0])
        before, self._version = self._version, version
        return version != before

    def __enter__(self) -> Records:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._db is not None:
                self._db.close()
            self._db = None

    def _open(self) -> sqlite3.Connection:
        if self._db is not None:
            return self._db
        self._path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self._path, timeout=30, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.executescript(_SCHEMA)
        self._db = db
        return db

    def _open_to_read(self) -> sqlite3.Connection:
        """On a read-only disk the file as it is, or nothing at all when there is none."""
        if not is_read_only(self._path):
            return self._open()
        if self._db is None:
            place = f"file:{quote(str(self._path))}?mode=ro&immutable=1" if self._path.exists() else ":memory:"
            self._db = sqlite3.connect(place, uri=True, isolation_level=None, check_same_thread=False)
            if not self._path.exists():
                self._db.executescript(f"{_SCHEMA} PRAGMA query_only = 1;")
        return self._db

    def _read(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        def read() -> list[tuple[Any, ...]]:
            with self._lock:
                return self._open_to_read().execute(statement, values).fetchall()

        return self._guard(read)

    def _write(self, *pairs: Any) -> None:
        """Run (statement, rows) pairs in one transaction."""

        def write() -> None:
            with self._lock:
                db = self._open()
                db.execute("BEGIN IMMEDIATE")
                try:
                    for statement, rows in zip(pairs[::2], pairs[1::2], strict=True):
                        db.executemany(statement, rows)
                    db.execute("COMMIT")
                except BaseException:
                    db.rollback()
                    raise

        self._guard(write)

    def _guard(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except (sqlite3.Error, OSError) as problem:
            raise StoreError(
                f"cannot use `{self._path.name}`: {problem}", where=str(self._path), hint=f"df -h {self._path.parent}"
            ) from problem
