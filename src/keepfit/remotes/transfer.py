"""Moving objects between two stores: many at a time, each verified by its digest on arrival."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

import msgspec

from keepfit.core.errors import NotFound
from keepfit.objects import Objects, copy
from keepfit.remotes.remote import threads

_LISTED = 2000
"""From how many objects on it is cheaper to list all that are there than to ask for each."""


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
    """Move objects, and add to what has been moved. Stops at the first thing that the storage refuses."""
    moved.wanted += len(digests)
    todo = iter(digests)
    with threads() as pool:
        running: dict[Future[int | None], str] = {}
        try:
            while True:
                while len(running) < 64 and (digest := next(todo, None)):
                    running[pool.submit(copy, source, target, digest, scratch)] = digest
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    _count(moved, running.pop(future), future)
                tell(moved)
        finally:
            for future in running:
                future.cancel()


def _count(moved: Moved, digest: str, future: Future[int | None]) -> None:
    try:
        size = future.result()
    except NotFound:
        moved.absent.append(digest)
        return
    if size is None:
        moved.damaged.append(digest)
    else:
        moved.objects += 1
        moved.bytes += size
