"""A push as it stands in a remote's log: which facts it brought and which names it moved, signed.

The log only grows: a push adds one file, and none is ever changed. Where the storage can refuse
to write a file twice, the file is named by its number, so that of two machines that push at once
one is told to pull first. Where it cannot, the digest is in the name too, so that both pushes
stand beside each other: no fact is lost, and a name that both moved is told to be contested.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from keepfit.core.digests import digest_bytes
from keepfit.core.errors import DamagedObject, PackageError
from keepfit.ledger import Fact, Move
from keepfit.packages.sign import opened, sign

KIND = "application/vnd.keepfit.push+json"
_SEGMENT = 4 << 20
"""Bytes of facts in one segment, about, before they are compressed."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What one push brought."""

    number: int
    key: str
    """Id of the key it is signed with."""
    actor: str
    time: datetime
    facts: int
    segments: list[str]
    """Digests of the objects that hold the facts, in order."""
    moves: list[Move]
    before: str
    """Digest of the names of all pushes that the pusher had seen."""
    curves: list[str] = []
    """Digests of the objects that hold the curves of the runs among the facts."""


class Fold(NamedTuple):
    """Names after a row of pushes."""

    names: dict[str, str]
    contested: dict[str, set[str]]
    """Where a push wanted a name to be that another push, made at the same time, had moved already."""
    past: dict[str, set[str]]
    """Where each name ever was."""


def fold(entries: Mapping[str, Entry]) -> Fold:
    """What pushes, by the names of their files, make of the names: the same on every machine."""
    names: dict[str, str] = {}
    contested: dict[str, set[str]] = {}
    past: dict[str, set[str]] = {}
    for _, entry in sorted(entries.items()):
        for move in entry.moves:
            if names.get(move.name) == move.old:
                names[move.name] = move.new
                contested.get(move.name, set()).discard(move.new)
                past.setdefault(move.name, set()).add(move.new)
            elif names.get(move.name) != move.new:
                contested.setdefault(move.name, set()).add(move.new)
    return Fold(names, contested, past)


def sealed(entry: Entry, key: Path) -> bytes:
    """The file of a push, signed with the key in a file."""
    return sign(msgspec.json.encode(entry), key, KIND)


def unsealed(file: bytes, key: Path) -> Entry:
    """The push that a file tells of; PackageError when its signature is missing, wrong, or not trusted."""
    try:
        return msgspec.json.decode(opened(file, key, KIND), type=Entry)
    except msgspec.MsgspecError as problem:
        raise PackageError(f"the push was made by another version of keepfit: {problem}") from problem


def file_name(number: int, file: bytes, *, exclusive: bool) -> str:
    """What a push is called in the log."""
    return f"{number:010d}" if exclusive else f"{number:010d}-{digest_bytes(file)[:16]}"


def number_of(name: str) -> int:
    """The number in the name of a push; 0 when it has none."""
    digits = name.partition("-")[0]
    return int(digits) if digits.isdigit() else 0


def segments(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Facts or curves, one a line, as objects of moderate size."""
    held: list[bytes] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= _SEGMENT:
            yield zlib.compress(b"\n".join(held), 3)
            held, size = [], 0
    if held:
        yield zlib.compress(b"\n".join(held), 3)


def lines_of(segment: bytes) -> list[bytes]:
    """The lines of a segment; DamagedObject when it is none."""
    try:
        return zlib.decompress(segment).split(b"\n")
    except zlib.error as problem:
        raise DamagedObject("a segment of facts cannot be read") from problem


def line_of(fact: Fact) -> bytes:
    """A fact as one line; the order within it stays as it is, since that of columns can matter."""
    return msgspec.json.encode(fact)


def fact_in(line: bytes) -> Fact:
    """The fact of a line; DamagedObject when it is none."""
    try:
        return msgspec.json.decode(line, type=Fact)
    except msgspec.MsgspecError as problem:
        raise DamagedObject(f"a fact cannot be read: {problem}") from problem
