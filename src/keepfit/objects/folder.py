"""Objects as read-only files in a folder, each named after its digest."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, BinaryIO

from keepfit.core.digests import digest_bytes, digest_file, digest_stream
from keepfit.core.errors import NotFound, StoreError
from keepfit.core.files import sweep, sync_folder, write_file

_DIGEST = re.compile(r"[0-9a-f]{64}")
_READ_ONLY = 0o444
_SETTLED = 60.0
"""Seconds after which a file's name is on the disk, whoever put it there."""


class Folder:
    """The store in the folder at `path`, as files `ab/cdef...`; see `Objects` for what it promises.

    Any number of threads and processes may share it. Nothing is made before the first `put`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()

    def put(self, content: bytes | Path, *, like: str | None = None) -> str:
        if isinstance(content, Path):
            return self._put_file(content)
        digest = digest_bytes(content)
        if not self._settled(digest):
            write_file(self._place(digest), content, mode=_READ_ONLY)
        return digest

    def put_all(self, contents: Iterable[bytes | Path]) -> list[str]:
        return [self.put(content) for content in contents]

    def file(self, digest: str) -> Path | None:
        return self._place(digest) if self.has(digest) else None

    def open(self, digest: str) -> BinaryIO:
        if not self.has(digest):
            raise NotFound(f"there is no object `{digest}`", where=str(self._path), hint="keepfit verify")
        try:
            return open(self._place(digest), "rb")
        except OSError as problem:
            raise StoreError(f"cannot read object `{digest}`: {problem.strerror}", where=str(self._path)) from problem

    def has(self, digest: str) -> bool:
        return _DIGEST.fullmatch(digest) is not None and self._place(digest).is_file()

    def list(self) -> Iterator[str]:
        """Digests of all objects; what killed writers left behind is cleared on the way."""
        for folder in filter(Path.is_dir, sorted(self._path.glob("??"))):
            sweep(folder)
            for name in os.listdir(folder):
                if _DIGEST.fullmatch(digest := folder.name + name):
                    yield digest

    def delete(self, digest: str) -> None:
        if not self.has(digest):
            return
        try:
            self._place(digest).unlink(missing_ok=True)
        except OSError as problem:
            raise StoreError(f"cannot delete object `{digest}`: {problem.strerror}", where=str(self._path)) from problem

    def _place(self, digest: str) -> Path:
        return self._path / digest[:2] / digest[2:]

    def _settled(self, digest: str) -> bool:
        """Whether the object is there to stay; its writer may have ended before the folder was synced."""
        place = self._place(digest)
        try:
            if time.time() - place.stat().st_ctime < _SETTLED:
                sync_folder(place.parent)
        except OSError:
            return False
        return True

    def _put_file(self, path: Path) -> str:
        try:
            digest = digest_file(path)
        except OSError as problem:
            raise StoreError(f"cannot read `{path.name}`: {problem.strerror}", where=str(path.parent)) from problem
        if not self._settled(digest):
            write_file(self._place(digest), lambda target: _copy(path, digest, target), mode=_READ_ONLY)
        return digest


def _copy(path: Path, digest: str, target: IO[bytes]) -> None:
    with open(path, "rb", buffering=0) as source:
        if digest_stream(source, target) != digest:
            raise StoreError(f"`{path.name}` changed while it was read", where=str(path.parent), hint="put it again")
