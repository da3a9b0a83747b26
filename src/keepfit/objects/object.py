"""What a store of objects promises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from keepfit.core.digests import digest_stream


class Objects(Protocol):
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
