"""Where the files of a store are."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from keepfit.core.errors import StoreError
from keepfit.objects.piece import Piece, missing

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Layout:
    """The folder at `path`: objects that are files as `ab/cdef...`, and packs, whose ranges objects are made of.

    An object that is a file is a source of ranges like any pack. When it is deleted while others
    need its bytes, its file becomes a pack of the same name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.packs = path / "packs"

    def object(self, digest: str) -> Path:
        """The file of an object, if it is one."""
        return self.path / digest[:2] / digest[2:]

    def pack(self, source: str) -> Path:
        """The file of a pack."""
        return self.packs / source

    def new_pack(self, kind: str) -> str:
        """A name that no pack ever had; it begins with its kind."""
        return kind + os.urandom(16).hex()

    def find(self, source: str) -> Path | None:
        """The file of a source, if it is there."""
        return next(filter(Path.is_file, self._where(source)), None)

    def open(self, source: str) -> BinaryIO:
        """The bytes of a source; DamagedObject when it is not there."""
        for place in self._where(source):
            try:
                return open(place, "rb", buffering=0)
            except FileNotFoundError:
                continue
            except OSError as problem:
                raise StoreError(f"cannot read `{source}`: {problem.strerror}", where=str(self.path)) from problem
        raise missing(source)

    def read(self, piece: Piece) -> bytes:
        """The bytes of a piece; DamagedObject when they are not there."""
        with self.open(piece.source) as file:
            content = os.pread(file.fileno(), piece.length, piece.start)
        if len(content) < piece.length:
            raise missing(piece.source)
        return content

    def _where(self, source: str) -> Sequence[Path]:
        """Where to look for a source, in this order: an object may become a pack, or be put again, meanwhile."""
        pack = self.pack(source)
        return [self.object(source), pack, self.object(source)] if is_digest(source) else [pack]


def is_digest(text: str) -> bool:
    """Whether this can be the digest of an object."""
    return _DIGEST.fullmatch(text) is not None
