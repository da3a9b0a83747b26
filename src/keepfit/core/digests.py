"""Identity of bytes and values: BLAKE3, 64 hexadecimal characters."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import blake3
import msgspec

_CHUNK = 1 << 19
"""Bytes to read at a time: enough for several threads to hash, little enough to stay in the cache."""


def digest_bytes(data: bytes | memoryview) -> str:
    """Digest of bytes in memory."""
    return blake3.blake3(data).hexdigest()


def digest_file(path: Path) -> str:
    """Digest of a file's content.

    Read, not mapped: a file cut short by its owner while it is mapped would end this process.
    """
    with open(path, "rb", buffering=0) as file:
        return digest_stream(file)


def digest_stream(stream: IO[bytes], copy_to: IO[bytes] | None = None) -> str:
    """Digest of everything still to be read from a stream, which is also written to `copy_to` if given."""
    hasher = blake3.blake3(max_threads=blake3.blake3.AUTO)
    while chunk := stream.read(_CHUNK):
        hasher.update(chunk)
        if copy_to is not None:
            copy_to.write(chunk)
    return hasher.hexdigest()


def canonical(value: Any) -> bytes:
    """The one JSON text of a value: keys sorted, no spaces; equal values give equal bytes."""
    return msgspec.json.encode(value, order="deterministic")


def digest_value(value: Any) -> str:
    """Digest of any value msgspec can encode."""
    return digest_bytes(canonical(value))


def short(digest: str) -> str:
    """The first twelve characters, as shown to people."""
    return digest[:12]
