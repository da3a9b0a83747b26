"""What a store of objects promises."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from keepfit.core.digests import digest_bytes, digest_file, digest_stream
from keepfit.core.errors import DamagedObject, StoreError

SMALL = 8 << 20
"""Bytes up to which an object is carried in memory."""


class Target(Protocol):
    """Where objects can be put."""

    def put(self, content: bytes | Path, *, like: str | None = None) -> str:
        """As `Objects.put`."""
        ...


class Objects(Target, Protocol):
    """Bytes by digest (BLAKE3). An object, once put, never changes."""

    def put(self, content: bytes | Path, *, like: str | None = None) -> str:
        """Store bytes, or a file's content, durably; gives its digest. Storing again is free.

        `like` names an object that is probably similar, such as the file's last version, so that
        only the difference need be stored. Raises StoreError when the storage refuses, or when
        the file changed while it was read.
        """
        ...

    def put_all(self, contents: Iterable[bytes | Path]) -> list[str]:
        """Store many at once, made durable together; gives their digests in order. Raises as `put` does."""
        ...

    def file(self, digest: str) -> Path | None:
        """A read-only file that holds just this object, to be linked to or cloned; None where there is no such file."""
        ...

    def open(self, digest: str) -> BinaryIO:
        """A readable stream of the object; NotFound when there is none."""
        ...

    def has(self, digest: str) -> bool:
        """Whether the object is there."""
        ...

    def list(self) -> Iterator[str]:
        """Digests of all objects, in no order."""
        ...

    def delete(self, digest: str) -> None:
        """Forget an object; no error when it is already gone."""
        ...


def read(objects: Objects, digest: str) -> bytes:
    """The whole object in memory."""
    with objects.open(digest) as stream:
        return stream.read()


def is_whole(objects: Objects, digest: str) -> bool:
    """Whether the object's bytes still are those that were put; NotFound when there is none."""
    with objects.open(digest) as stream:
        return digest_stream(stream) == digest


def copy(source: Objects, target: Target, digest: str, scratch: Path) -> int | None:
    """Put an object of one store into another; gives its size, or None when its bytes are damaged: none is then put.

    A large one that is in no file of its own is written to `scratch` on the way. Raises
    NotFound when the source has none, and StoreError.
    """
    try:
        if path := source.file(digest):
            return path.stat().st_size if _is(path, digest) and target.put(path) == digest else None
        with source.open(digest) as stream:
            beginning = stream.read(SMALL + 1)
            if len(beginning) > SMALL:
                return _copy_large(beginning, stream, target, digest, scratch)
    except DamagedObject:
        return None
    whole = digest_bytes(beginning) == digest and target.put(beginning) == digest
    return len(beginning) if whole else None


def _copy_large(beginning: bytes, rest: BinaryIO, target: Target, digest: str, scratch: Path) -> int | None:
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=scratch) as kept:
            kept.write(beginning)
            while block := rest.read(1 << 20):
                kept.write(block)
            kept.flush()
            path = Path(kept.name)
            return kept.tell() if _is(path, digest) and target.put(path) == digest else None
    except OSError as problem:
        raise StoreError(f"cannot fetch object `{digest}`: {problem.strerror}", where=str(scratch)) from problem


def _is(path: Path, digest: str) -> bool:
    try:
        return digest_file(path) == digest
    except OSError as problem:
        raise StoreError(f"cannot read `{path.name}`: {problem.strerror}", where=str(path.parent)) from problem
