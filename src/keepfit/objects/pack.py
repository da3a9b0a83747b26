"""What a pack says of itself, so that the index of a store can be made anew from its packs.

Small objects lie one behind the other, each behind a head: a mark, its length, its digest. Of a
later version of a large object, the pack holds what is new in it and, at the end, its recipe: the
pieces that it is put together from. A digest tells whether what is found is what was put.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import blake3
import msgspec

from keepfit.objects.piece import Piece

Small = tuple[bytes, int, int]
"""Digest, start and length of a small object in a pack."""
SMALL, NEW = "pack-", "new-"
"""What the names of packs begin with; those of early versions have no beginning, and say nothing of themselves."""
_SMALL_MARK, _RECIPE_MARK = b"kfo1", b"kfp1"
_HEAD = struct.Struct("<4sI32s")
HEAD = _HEAD.size
"""Bytes in front of a small object."""


def lay_out(contents: Mapping[str, bytes]) -> Iterator[bytes]:
    """What is written to a pack for small objects."""
    for digest, content in contents.items():
        yield _HEAD.pack(_SMALL_MARK, len(content), bytes.fromhex(digest))
        yield content


def read_small(path: Path, at: int = 0) -> Iterator[Small]:
    """Each whole object in a pack from a place on; OSError when it cannot be read."""
    with open(path, "rb") as file:
        file.seek(at)
        data = file.read()
    here = 0
    while (here := data.find(_SMALL_MARK, here)) >= 0 and len(data) - here >= HEAD:
        _, length, digest = _HEAD.unpack_from(data, here)
        start = here + HEAD
        if len(data) - start >= length and blake3.blake3(data[start : start + length]).digest() == digest:
            yield digest, at + start, length
            here = start + length
        else:
            here += 1  # torn or damaged: what follows may be whole


def recipe(digest: str, pieces: Sequence[Piece]) -> bytes:
    """What is written at the end of a pack that holds what is new in an object."""
    listed = msgspec.json.encode(pieces)
    return listed + _HEAD.pack(_RECIPE_MARK, len(listed), bytes.fromhex(digest))


def read_recipe(path: Path) -> tuple[str, list[Piece]] | None:
    """The object whose recipe is in a pack, and its pieces; None when there is none. OSError when it cannot be read."""
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        if size < HEAD:
            return None
        file.seek(size - HEAD)
        mark, length, digest = _HEAD.unpack(file.read())
        if mark != _RECIPE_MARK or length > size - HEAD:
            return None
        file.seek(size - HEAD - length)
        listed = file.read(length)
    try:
        return digest.hex(), msgspec.json.decode(listed, type=list[Piece])
    except msgspec.DecodeError:
        return None
