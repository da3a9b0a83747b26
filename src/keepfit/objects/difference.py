"""What a file has that its like has not."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

import blake3

from keepfit.objects.fastcdc import Chunking, cut
from keepfit.objects.piece import Piece, join

NEW = ""
"""The source of the pieces that are nowhere yet."""
_CHUNK = struct.Struct("<16sI")
"""A chunk in a list: the beginning of its digest, and its length. What is put together is read back, not trusted."""


@dataclass
class Difference:
    """A file in pieces, some of which are NEW: ranges of the bytes of `new`, one after the other."""

    digest: str = ""
    pieces: list[Piece] = field(default_factory=list)
    new: list[Piece] = field(default_factory=list)
    """Where the new bytes are in the file."""
    chunks: bytes = b""
    """The list of chunks of the new bytes."""

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return sum(piece.length for piece in self.pieces)

    @property
    def new_size(self) -> int:
        """Bytes to be stored."""
        return sum(piece.length for piece in self.new)


def find_difference(stream: BinaryIO, known: Mapping[bytes, Piece], chunking: Chunking) -> Difference:
    """Everything still to be read from a stream, as pieces of what is known and new ones."""
    whole, seen, found = blake3.blake3(max_threads=blake3.blake3.AUTO), dict(known), Difference()
    at, stored, chunks = 0, 0, bytearray()
    for data in cut(stream, chunking):
        whole.update(data)
        mark, length = _mark(data), len(data)
        piece = seen.get(mark)
        if piece is None or piece.length != length:
            piece = seen[mark] = Piece(NEW, stored, length)
            found.new.append(Piece(NEW, at, length))
            chunks += _CHUNK.pack(mark, length)
            stored += length
        found.pieces.append(piece)
        at += length
    found.digest, found.chunks = whole.hexdigest(), bytes(chunks)
    found.pieces, found.new = join(found.pieces), join(found.new)
    return found


def list_chunks(stream: BinaryIO, chunking: Chunking) -> bytes:
    """The list of chunks of everything still to be read from a stream."""
    return b"".join(_CHUNK.pack(_mark(data), len(data)) for data in cut(stream, chunking))


def read_chunks(source: str, chunks: bytes) -> Iterator[tuple[bytes, Piece]]:
    """The chunks of a source by mark, from its list."""
    start = 0
    for mark, length in _CHUNK.iter_unpack(chunks):
        yield mark, Piece(source, start, length)
        start += length


def _mark(data: memoryview) -> bytes:
    return blake3.blake3(data).digest(16)
