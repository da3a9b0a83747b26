"""Moving objects between two stores: many at a time, each verified by its digest on arrival."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

import msgspec

from keepfit.core.digests import digest_bytes
from keepfit.core.errors import NotFound
from keepfit.objects import Objects, copy
from keepfit.remotes.remote import threads

_LISTED = 2000
"""From how many objects on it is cheaper to list all that are there than to ask for each."""

_RUNNING = 64
_SMALL = 1 << 20
"""Bytes up to which an object is put together with others."""
_AT_ONCE = 1000
_HELD = 32 << 20
"""Bytes, at most, that are put together."""


class Moved(msgspec.Struct, kw_only=True):
    """What has been moved so far."""

    wanted: int = 0
    objects: int = 0
    bytes: int = 0
    absent: list[str] = []
    """Not to be had at the source."""
    damaged: list[str] = []
    """Not what their digest says, at the source; not moved."""


Tell = Callable[[Moved], None]


def missing(target: Objects, digests: Iterable[str]) -> list[str]:
    """Which of these objects are not there yet."""
    wanted = list(dict.fromkeys(digests))
    if len(wanted) > _LISTED:
        there = set(target.list())
        return [digest for digest in wanted if digest not in there]
    with threads() as pool:
        return [digest for digest, held in zip(wanted, pool.map(target.has, wanted), strict=True) if not held]


def transfer(source: Objects, target: Objects, digests: list[str], scratch: Path, *, moved: Moved, tell: Tell) -> None:
    """Move objects, and add to what has been moved. Stops at the first thing that the storage refuses.

    Small ones are put together, so that they become durable together.
    """
    moved.wanted += len(digests)
    todo, held = iter(digests), list[bytes]()
    with threads() as pool:
        running: dict[Future[int | bytes | None], str] = {}
        try:
            while True:
                while len(running) < _RUNNING and (digest := next(todo, None)):
                    running[pool.submit(_bring, source, target, digest, scratch)] = digest
                if not running:
                    break
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    _take(moved, held, running.pop(future), future)
                if len(held) >= _AT_ONCE or sum(map(len, held)) >= _HELD:
                    _put(target, held, moved)
                tell(moved)
            _put(target, held, moved)
            tell(moved)
        finally:
            for future in running:
                future.cancel()


class _Holding:
    """Keeps a small object in memory instead of putting it."""

    def __init__(self, target: Objects) -> None:
        self._target = target
        self.content: bytes | None = None

    def put(self, content: bytes | Path, *, like: str | None = None) -> str:
        if isinstance(content, Path) or len(content) > _SMALL:
            return self._target.put(content, like=like)
        self.content = content
        return digest_bytes(content)


def _bring(source: Objects, target: Objects, digest: str, scratch: Path) -> int | bytes | None:
    """A small object's content; the size of a large one, which is put; None for a damaged one."""
    holding = _Holding(target)
    size = copy(source, holding, digest, scratch)
    return size if size is None or holding.content is None else holding.content


def _take(moved: Moved, held: list[bytes], digest: str, future: Future[int | bytes | None]) -> None:
    try:
        found = future.result()
    except NotFound:
        moved.absent.append(digest)
        return
    if found is None:
        moved.damaged.append(digest)
    elif isinstance(found, bytes):
        held.append(found)
    else:
        moved.objects += 1
        moved.bytes += found


def _put(target: Objects, held: list[bytes], moved: Moved) -> None:
    target.put_all(held)
    moved.objects += len(held)
    moved.bytes += sum(map(len, held))
    held.clear()
