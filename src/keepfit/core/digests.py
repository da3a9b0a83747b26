"""Identity of bytes and values: BLAKE3, 64 hexadecimal characters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import blake3
import msgspec


def digest_bytes(data: bytes | memoryview) -> str:
    """Digest of bytes in memory."""
    return blake3.blake3(data).hexdigest()


def digest_file(path: Path) -> str:
    """Digest of a file's content, read through a memory map by as many threads as pay off."""
    return blake3.blake3(max_threads=blake3.blake3.AUTO).update_mmap(path).hexdigest()


def canonical(value: Any) -> bytes:
    """The one JSON text of a value: keys sorted, no spaces; equal values give equal bytes."""
    return msgspec.json.encode(value, order="deterministic")


def digest_value(value: Any) -> str:
    """Digest of any value msgspec can encode."""
    return digest_bytes(canonical(value))


def short(digest: str) -> str:
    """The first twelve characters, as shown to people."""
    return digest[:12]
