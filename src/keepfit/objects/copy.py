"""Bringing an object from one store to another."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import BinaryIO, Protocol

from keepfit.core.digests import digest_bytes, digest_file
from keepfit.core.errors import DamagedObject, StoreError
from keepfit.objects.object import Objects

SMALL = 8 << 20
"""Bytes up to which an object is carried in memory."""


class Target(Protocol):
    """Where objects can be put."""

    def put(self, content: bytes | Path, *, like: str | None = None) -> str:
        """As `Objects.put`."""
        ...


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
