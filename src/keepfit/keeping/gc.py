"""Freeing what nobody needs: objects that no fact names, folders of work that was killed, old pins.

Nothing that a fact names is ever freed. Why a writer who is at work is safe too is told in
objects/leases.py. Killed anywhere, it has freed some of what it would have freed.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from keepfit.core.digests import short
from keepfit.core.errors import DamagedObject, NotFound
from keepfit.core.files import locked, sweep
from keepfit.home import Home
from keepfit.keeping.needs import Needs, facts, named
from keepfit.objects import Objects, freeing

_DIGEST = re.compile(rb"[0-9a-f]{64}")
_AT_ONCE = 200
"""Objects freed at a time, while whoever puts waits."""
_OLD = 86400.0
"""Seconds after which a pin or a part of a transfer is not in use any more."""


class Freed(msgspec.Struct, kw_only=True):
    """What is, or would be, freed."""

    objects: int = 0
    bytes: int = 0
    oldest: datetime | None = None
    """When the oldest of the objects was put, where the store can tell."""
    folders: list[str] = []
    """Left by work that was killed, or unpacked to serve what is not served any more."""
    folder_bytes: int = 0
    kept: int = 0
    """Objects that are needed."""
    applied: bool = False


Tell = Callable[[Freed], None]


def gc(home: Home, objects: Objects, *, apply: bool = False, tell: Tell = lambda freed: None) -> Freed:
    """Find what nobody needs and, with `apply`, free it; `objects` is the project's store itself.

    DamagedObject, and nothing is freed, when a tree that facts need cannot be read: what it
    lists is then not known.
    """
    needs, last = Needs(objects), _Last()
    _read_on(home, needs, last)
    kept = _noted(home)
    unneeded = [digest for digest in objects.list() if digest not in needs.by and digest not in kept]
    folders = list(_folders(home))
    found = Freed(folders=sorted(str(path.relative_to(home.root)) for path in folders), applied=apply)
    found.folder_bytes = sum(map(_size_of_folder, folders))
    found.kept = sum(1 for _ in objects.list()) - len(unneeded)
    rest = iter(unneeded)
    while batch := list(itertools.islice(rest, _AT_ONCE)):
        if not apply:
            for digest in batch:
                _count(objects, digest, found)
        else:
            with freeing(home.folder / "leases") as leased:
                _read_on(home, needs, last)  # after the leases: see objects/leases.py
                for digest in batch:
                    if digest not in leased and digest not in needs.by:
                        _count(objects, digest, found)
                        objects.delete(digest)
        tell(found)
    for path in folders if apply else ():
        _remove(path)
    return found


class _Last:
    number = 0


def _read_on(home: Home, needs: Needs, last: _Last) -> None:
    for number, fact in facts(home.ledger, last.number):
        needs.add([fact], named)
        last.number = number
    if needs.unlisted:
        tree = sorted(needs.unlisted)[0]
        message = f"what is needed cannot be told: the tree `{short(tree)}` of {needs.by[tree][0]} cannot be read"
        raise DamagedObject(message, hint="keepfit verify --repair, or keepfit pull")


def _noted(home: Home) -> set[str]:
    """Digests that are written down for later: the remotes' facts, what caches say is kept."""
    notes = [*home.folder.glob("remotes/*/seen.json"), *home.folder.glob("cache/*")]
    return {found.decode() for path in notes if path.is_file() for found in _DIGEST.findall(path.read_bytes())}


def _count(objects: Objects, digest: str, found: Freed) -> None:
    found.objects += 1
    if path := objects.file(digest):
        stat = path.stat()
        found.bytes += stat.st_size
        put = datetime.fromtimestamp(stat.st_mtime, UTC)
        found.oldest = min(found.oldest or put, put)
        return
    with contextlib.suppress(DamagedObject, NotFound), objects.open(digest) as stream:
        while block := stream.read(1 << 20):
            found.bytes += len(block)


def _folders(home: Home) -> Iterator[Path]:
    """Folders that are in nobody's use."""
    for lock in home.folder.glob("work/*.lock"):
        with locked(lock, wait=False) as free:
            if free and lock.with_suffix("").is_dir():
                yield lock.with_suffix("")
    served = _served(home)
    for pin in home.folder.glob("pins/*"):
        if pin.name not in served and _is_old(pin):
            yield pin
    yield from filter(_is_old, home.folder.glob("incoming/*"))


def _served(home: Home) -> set[str]:
    """The packages that are live, were before, or are being rolled out: those are never unpinned."""
    named = {**home.ledger.names("release/"), **home.ledger.names("rollout/")}
    live = [home.ledger.get(id) for id in named.values()]
    before = [home.ledger.get(fact.refs["previous"]) for fact in live if fact and "previous" in fact.refs]
    return {fact.refs["package"][:16] for fact in (*live, *before) if fact and "package" in fact.refs}


def _is_old(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > _OLD


def _size_of_folder(path: Path) -> int:
    return sum(p.lstat().st_size for p in path.rglob("*") if p.is_file()) if path.is_dir() else path.stat().st_size


def _remove(path: Path) -> None:
    if path.parent.name == "work":
        with locked(path.with_suffix(".lock"), wait=False) as free:
            if free:
                shutil.rmtree(path, ignore_errors=True)
    elif path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    sweep(path.parent)
