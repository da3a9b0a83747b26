"""What an Arrow IPC stream says of itself, read before any of its columns: how many rows, and nothing compressed.

A few bytes can stand for any number of rows: a column of type null has no buffers, and a compressed
one may grow a thousandfold. Source: Arrow Columnar Format 1.5 (Encapsulated message format,
Message.fbs) and FlatBuffers Internals.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_CONTINUATION = b"\xff\xff\xff\xff"
_DICTIONARY, _BATCH = 2, 3


class Batch(NamedTuple):
    """The head of one record batch, or of one dictionary."""

    rows: int
    compressed: bool
    dictionary: bool


def batches(stream: bytes) -> Iterator[Batch]:
    """The batches of a stream; raises ValueError when it is none."""
    at = 0
    while at < len(stream):
        if stream[at : at + 4] != _CONTINUATION:
            raise ValueError("not a message")
        size = _integer(stream, at + 4, 4)
        at += 8
        if size == 0:
            return
        head = stream[at : at + size]
        if size < 0 or len(head) < size:
            raise ValueError("a message is cut")
        message = _integer(head, 0, 4)
        header, kind = _field(head, message, 2), _field(head, message, 1)
        body = _field(head, message, 3)
        about = _integer(head, kind, 1) if kind and header else 0
        if about in (_DICTIONARY, _BATCH):
            yield _batch(head, header + _integer(head, header, 4), about == _DICTIONARY)
        at += size + (_integer(head, body, 8) if body else 0)
    if at > len(stream):
        raise ValueError("the last message is cut")


def _batch(head: bytes, table: int, dictionary: bool) -> Batch:
    if dictionary:
        data = _field(head, table, 1)
        if not data:
            raise ValueError("a dictionary without data")
        table = data + _integer(head, data, 4)
    length = _field(head, table, 0)
    return Batch(_integer(head, length, 8) if length else 0, bool(_field(head, table, 3)), dictionary)


def _field(head: bytes, table: int, number: int) -> int:
    """Where a field of a table stands; 0 when it is left out."""
    entries = table - _integer(head, table, 4)
    at = 4 + 2 * number
    if at >= _integer(head, entries, 2):
        return 0
    offset = _integer(head, entries + at, 2)
    return table + offset if offset else 0


def _integer(head: bytes, at: int, size: int) -> int:
    if not 0 <= at <= len(head) - size:
        raise ValueError("a place outside the message")
    return int.from_bytes(head[at : at + size], "little", signed=size > 2)
