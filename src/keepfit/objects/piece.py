"""Objects that are put together from ranges of files."""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import BinaryIO, NamedTuple

from keepfit.core.errors import DamagedObject

_BUFFER = 1 << 18


class Piece(NamedTuple):
    """A range of a source: of a pack, or of an object that is a file."""

    source: str
    start: int
    length: int


def join(pieces: Sequence[Piece]) -> list[Piece]:
    """The same ranges, those that continue one another made one."""
    joined: list[Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if last and last.source == piece.source and last.start + last.length == piece.start:
            joined[-1] = last._replace(length=last.length + piece.length)
        else:
            joined.append(piece)
    return joined


def open_pieces(pieces: Sequence[Piece], open_source: Callable[[str], BinaryIO]) -> BinaryIO:
    """A seekable stream of the pieces, one after the other; it reads what was there when it was opened."""
    return io.BufferedReader(_Pieces(pieces, open_source), _BUFFER)


def missing(source: str) -> DamagedObject:
    """The error to raise when bytes of a source are not there."""
    return DamagedObject(f"bytes of the object are missing: those in `{source}`", hint="keepfit verify")


class _Pieces(io.RawIOBase):
    def __init__(self, pieces: Sequence[Piece], open_source: Callable[[str], BinaryIO]) -> None:
        self._pieces = pieces
        self._ends = list(accumulate(piece.length for piece in pieces))
        self._at = 0
        self._files: dict[str, BinaryIO] = {}
        try:
            for piece in pieces:
                if piece.source not in self._files:
                    self._files[piece.source] = open_source(piece.source)
        except BaseException:
            self.close()
            raise

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        size = self._ends[-1] if self._ends else 0
        at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: size}[whence]
        if at < 0:
            raise ValueError(f"cannot seek to {at}")
        self._at = at
        return at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        number = bisect_right(self._ends, self._at)
        if number == len(self._pieces):
            return 0
        piece, left = self._pieces[number], self._ends[number] - self._at
        start = piece.start + piece.length - left
        with memoryview(buffer)[:left] as target:
            read = os.preadv(self._files[piece.source].fileno(), [target], start) if len(target) else 0
        if not read and len(buffer):
            raise missing(piece.source)
        self._at += read
        return read

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        super().close()
