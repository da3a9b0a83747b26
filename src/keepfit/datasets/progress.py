"""Telling how far reading has come."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

LARGE = 1 << 20
"""Bytes from which a file is stored by itself, likened to its last version, and told of by name."""
Told = Callable[[str], object]
"""Takes a line about how far it has come."""
_PAUSE = 0.1


class Steps:
    """Tells, now and then, which of these files (path and size) is being worked on."""

    def __init__(self, files: Sequence[tuple[str, int]], told: Told) -> None:
        self._files, self._told = files, told
        self._all = sum(count for _, count in files)
        self._number = self._bytes = 0
        self._next = time.monotonic() + _PAUSE

    def take(self, i: int) -> int:
        """Begin with a file; gives its number back."""
        name, count = self._files[i]
        if count >= LARGE or time.monotonic() > self._next:
            self._tell(name, 0)
        self._number += 1
        self._bytes += count
        return i

    def within(self, i: int, done: int) -> None:
        """So many bytes of the file have been read."""
        if time.monotonic() > self._next:
            self._tell(self._files[i][0], done - self._files[i][1])

    def _tell(self, name: str, more: int) -> None:
        self._next = time.monotonic() + _PAUSE
        self._told(
            f"{self._number:,} of {len(self._files):,} files, {size(self._bytes + more)} of {size(self._all)}: {name}"
        )


def size(count: float) -> str:
    """Bytes as people read them."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} bytes" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
