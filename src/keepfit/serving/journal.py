"""The young part of the prediction log: one checksummed record per batch, in the page cache before the answer is sent.

What was appended survives kill -9 of the process; a crash of the machine may cost the last seconds.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from keepfit.datasets.dataset import ColumnType

_HEAD = 8
"""Bytes before each record: length and CRC-32 of its body, little-endian."""


class Source(msgspec.Struct, frozen=True, array_like=True):
    """Where the predictions of a batch come from, and what its columns are."""

    model: str
    version: int
    release: str
    inputs: dict[str, ColumnType]
    event_time: str | None
    levels: list[str] | None
    sides: dict[str, dict[str, ColumnType]] = {}
    """Dataset -> its columns, of what is joined to each row."""


class Record(msgspec.Struct, frozen=True, array_like=True):
    """One batch as it is written."""

    source: Source
    time: int
    """When it was answered, microseconds since 1970."""
    ids: list[str]
    columns: list[bytes | list[Any]]
    """Packed, in the order of the inputs."""
    values: list[Any]
    """What the scorer gave; None for a row it gave nothing for."""
    sides: list[list[bytes | list[Any]]] = []
    """Packed columns of the rows that were joined, for each side dataset; none in early journals."""
    route: str | list[str] | None = None
    """How all the rows, or each of them, came to be answered by this model."""


_encode = msgspec.msgpack.Encoder().encode
NONE = _encode([])
"""What is joined where there are no side datasets."""
_decode = msgspec.msgpack.Decoder(Record).decode


def packed(source: Source) -> msgspec.Raw:
    """A source as it stands in every record."""
    return msgspec.Raw(_encode(source))


class Journal:
    """The file that is appended to now. Safe to share between threads."""

    def __init__(self, folder: Path, instance: str) -> None:
        self.rows = 0
        """Appended since the last turn."""
        self._folder = folder
        self._instance = instance
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._size = 0
        self._last = 0

    def follow(self, number: int) -> None:
        """Name all coming files after this time (milliseconds since 1970), whatever the clock says."""
        self._last = max(self._last, number)

    def append(
        self,
        source: msgspec.Raw,
        ids: Sequence[str],
        columns: bytes,
        values: Sequence[Any],
        *,
        sides: bytes = NONE,
        route: str | list[str] | None = None,
    ) -> bool:
        """Write one record with one call; False when the disk would not take it whole, and nothing was written."""
        body = _encode((source, time.time_ns() // 1000, ids, msgspec.Raw(columns), values, msgspec.Raw(sides), route))
        record = b"".join((len(body).to_bytes(4, "little"), zlib.crc32(body).to_bytes(4, "little"), body))
        with self._lock:
            if self._fd is None:
                return False
            try:
                written = os.write(self._fd, record)
            except OSError:
                written = 0
            if written == len(record):
                self._size += written
                self.rows += len(ids)
                return True
            self._cut(self._fd)
            return False

    def turn(self) -> None:
        """Go on in a new file when the present one holds anything; raises OSError when there can be none."""
        if self._fd is not None and self.rows == 0:
            return
        number = max(time.time_ns() // 1_000_000, self._last + 1)
        path = self._folder / f"{number:012x}{self._instance}.journal"
        self._folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        with self._lock:
            old, self._fd = self._fd, fd
            self._size = self.rows = 0
            self._last = number
        if old is not None:
            os.close(old)

    def finished(self) -> list[Path]:
        """The journals nobody appends to any more, oldest first."""
        now = f"{self._last:012x}{self._instance}" if self._fd is not None else ""
        return [path for path in journals(self._folder) if path.stem != now]

    def close(self) -> None:
        """Stop appending."""
        with self._lock:
            if self._fd is not None:
                os.close(self._fd)
            self._fd = None

    def _cut(self, fd: int) -> None:
        """Take away the part of a record that fitted; a file that cannot be cut is not appended to any more."""
        try:
            os.ftruncate(fd, self._size)
        except OSError:
            with contextlib.suppress(OSError):
                os.close(fd)
            self._fd = None


def journals(folder: Path) -> list[Path]:
    """All journals of a log, oldest first."""
    return sorted(folder.glob("*.journal"))


def read_journal(path: Path) -> Iterator[Record]:
    """Its whole records; what a crash left half written at the end is passed over."""
    content = memoryview(path.read_bytes())
    at = 0
    while at + _HEAD <= len(content):
        length = int.from_bytes(content[at : at + 4], "little")
        body = content[at + _HEAD : at + _HEAD + length]
        if len(body) < length or zlib.crc32(body) != int.from_bytes(content[at + 4 : at + _HEAD], "little"):
            return
        yield _decode(body)
        at += _HEAD + length
