"""What changed in the working files since a version."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from keepfit.core.digests import digest_file, digest_stream
from keepfit.datasets.progress import LARGE, Steps, Told
from keepfit.datasets.scan import Read, Scanned, Wanted, scan
from keepfit.datasets.source import Source
from keepfit.datasets.tree import Change, Changed, Reader, compare, reader
from keepfit.datasets.version import DataVersion, cache_of, newest_version
from keepfit.datasets.walk import unreadable
from keepfit.home import Home

SHOWN = 10


class DataStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the files of a source differ from its newest version."""

    name: str
    version: DataVersion | None
    """None when it was never versioned."""
    counts: dict[Change, int]
    first: dict[Change, list[str]]
    """The first files of each kind."""

    @property
    def changed(self) -> bool:
        """Whether anything differs."""
        return self.version is None or any(self.counts.values())


class Now(NamedTuple):
    """The working files of a source as a tree."""

    tree: str | None
    """Digest of its root; None when there are no files."""
    read: Reader
    """Reads its manifests, and those of versions."""
    scanned: Scanned | None


def status(home: Home, source: Source, *, told: Told = lambda _: None) -> DataStatus:
    """What changed since the newest version: a walk, and the files that look different are read.

    Nothing is stored. Raises what walking and reading raise.
    """
    newest = newest_version(home, source.name)
    now = working(home, source, told=told)
    counts: dict[Change, int] = {"added": 0, "modified": 0, "deleted": 0}
    first: dict[Change, list[str]] = {"added": [], "modified": [], "deleted": []}
    for found in changes(now, newest):
        counts[found.change] += 1
        if len(first[found.change]) < SHOWN:
            first[found.change].append(found.path)
    return DataStatus(name=source.name, version=newest, counts=counts, first=first)


def working(home: Home, source: Source, *, told: Told = lambda _: None) -> Now:
    """The source's files as they are now."""
    return working_at(home, home.root, source, told=told)


def working_at(home: Home, root: Path, source: Source, *, told: Told = lambda _: None) -> Now:
    """The same below another folder."""
    found = scan(root, source, cache_of(home, source), hashing(told))
    read = reader(home.objects)
    return Now(found.root.manifest, found.over(read), found) if found else Now(None, read, None)


def changes(now: Now, version: DataVersion | None) -> Sequence[Changed]:
    """The files that differ from a version."""
    return list(compare(now.read, version.tree if version else None, now.tree))


def hashing(told: Told) -> Read:
    """Reads files for their digests only."""
    return lambda wanted: _digests(wanted, Steps([(w.shown, w.stamp[1]) for w in wanted], told))


def _digests(wanted: Sequence[Wanted], steps: Steps) -> list[str]:
    found = []
    for i, one in enumerate(wanted):
        steps.take(i)
        try:
            found.append(digest_file(Path(one.path)) if one.stamp[1] < LARGE else _digest_large(one.path, steps, i))
        except OSError as problem:
            raise unreadable(one.shown, problem) from problem
    return found


def _digest_large(path: str, steps: Steps, i: int) -> str:
    with open(path, "rb", buffering=0) as file:
        return digest_stream(file, _Meter(steps, i))  # type: ignore[arg-type]


class _Meter:
    """A file to be copied to that only counts."""

    def __init__(self, steps: Steps, i: int) -> None:
        self._steps, self._i, self._done = steps, i, 0

    def write(self, chunk: bytes) -> None:
        self._done += len(chunk)
        self._steps.within(self._i, self._done)
