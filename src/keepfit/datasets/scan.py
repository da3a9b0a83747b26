"""From files to a tree: walk, recognise what was read before, read the rest."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from keepfit.core.digests import digest_bytes
from keepfit.datasets.source import Source
from keepfit.datasets.stamps import Cache, Known, blurred, encode, known_as, load_cache, save_cache
from keepfit.datasets.tree import Entries, Entry, Reader, encode_manifest
from keepfit.datasets.walk import Listing, Stamp, walk


class Wanted(NamedTuple):
    """A file that must be read."""

    path: str
    shown: str
    """Its path from the project's folder."""
    stamp: Stamp
    before: str | None
    """The digest of the file of this path in the last version."""


Read = Callable[[Sequence[Wanted]], list[str]]
"""Reads files; gives their digests in order."""


@dataclass(slots=True)
class Branch:
    """A folder as it is now. Without `digests`, all its files are as in `known`."""

    path: str
    files: list[Stamp]
    stamps: bytes
    known: Known | None
    digests: list[str] | None
    folders: dict[str, Branch]
    manifest: str = ""
    content: bytes | None = None
    """The manifest's bytes, where they had to be made."""
    size: int = 0

    def file_digests(self) -> list[str]:
        """The digests of its files; empty where they are not known yet."""
        if self.digests is not None:
            return self.digests
        return self.known.all_digests() if self.known else []

    def entries(self) -> list[Entry]:
        """Its entries by name."""
        files = [Entry(f[0], "file", f[1], d) for f, d in zip(self.files, self.file_digests(), strict=True)]
        return sorted([*files, *self.folder_entries()], key=lambda e: e.name) if self.folders else files

    def folder_entries(self) -> list[Entry]:
        """Its folders as entries."""
        return [Entry(name, "folder", b.size, b.manifest) for name, b in self.folders.items()]

    def below(self) -> Iterator[Branch]:
        """All folders from here down, the lowest first."""
        for folder in self.folders.values():
            yield from folder.below()
        yield self


@dataclass(slots=True)
class Scanned:
    """The files of a source as a tree."""

    root: Branch
    branches: dict[str, Branch] = field(default_factory=dict)
    """By the digest of their manifest."""

    @property
    def files(self) -> int:
        return sum(len(b.files) for b in self.root.below())

    def over(self, read: Reader) -> Reader:
        """Reads the manifests of this tree from memory, others as `read` does."""
        return lambda digest: _entries(self.branches[digest]) if digest in self.branches else read(digest)


def scan(
    root: Path,
    source: Source,
    cache: Path,
    read: Read,
    *,
    kept: Reader | None = None,
    last: str | None = None,
) -> Scanned | None:
    """The source's files as a tree; None when there are none.

    `read` is given the files that look different from when they were last read. With `kept` it is
    also given those that the tree `last` (read by `kept`) does not hold, though they may be known.
    Raises what `walk` and `read` raise; nothing is then remembered.
    """
    moment, known = time.time_ns(), load_cache(cache)
    listing = walk(root, source)
    if not listing.files and not listing.folders:
        return None
    top = _branch(listing, source.base, known)
    if kept:
        for branch in top.below():
            _seal(branch)
        _forget(top, kept, last)
    wanted = [(b, i) for b in top.below() if b.digests is not None for i, d in enumerate(b.digests) if not d]
    if wanted:
        before = _last_digests(wanted, source.base, kept, last)
        files = [_wanted(root, b, i, before) for b, i in wanted]
        for (branch, i), digest in zip(wanted, read(files), strict=True):
            if branch.digests is not None:
                branch.digests[i] = digest
    for branch in top.below():
        _seal(branch)
    _remember(cache, known, top, moment, {(b.path, i) for b, i in wanted})
    return Scanned(top, {b.manifest: b for b in top.below()})


def _branch(listing: Listing, path: str, cache: Cache) -> Branch:
    stamps, known = encode(listing.files), cache.get(path)
    digests = None
    if known is None or bytes(known.stamps) != stamps:
        old = known.digest_of() if known else {}
        digests = [old.get(f, "") for f in listing.files]
    inner = {n: _branch(below, f"{path}/{n}" if path else n, cache) for n, below in listing.folders.items()}
    return Branch(path, listing.files, stamps, known, digests, inner)


def _seal(branch: Branch) -> None:
    """Find the manifest of a folder whose folders below are sealed; none while a digest is not known."""
    known = branch.known
    if any(not b.manifest for b in branch.folders.values()) or (branch.digests and not all(branch.digests)):
        branch.manifest = ""
        return
    if known and branch.digests is None and bytes(known.folders) == encode(branch.folder_entries()):
        branch.manifest, branch.size = known.manifest, known.size
        return
    entries = branch.entries()
    branch.content = encode_manifest(entries)
    branch.manifest, branch.size = digest_bytes(branch.content), sum(e.size for e in entries)


def _forget(branch: Branch, kept: Reader, last: str | None) -> None:
    """Forget the digests of files that the tree `last` does not hold, from here down."""
    if branch.manifest and branch.manifest == last:
        return
    held = kept(last) if last else {}
    digests = branch.file_digests()
    if strangers := [i for i, f in enumerate(branch.files) if not _holds(held, f[0], digests[i])]:
        branch.digests = list(digests)
        for i in strangers:
            branch.digests[i] = ""
    for name, folder in branch.folders.items():
        entry = held.get(name)
        _forget(folder, kept, entry.digest if entry and entry.kind == "folder" else None)


def _holds(held: Entries, name: str, digest: str) -> bool:
    entry = held.get(name)
    return entry is not None and entry.kind == "file" and entry.digest == digest


def _last_digests(
    wanted: Sequence[tuple[Branch, int]], base: str, kept: Reader | None, last: str | None
) -> dict[str, Entries]:
    """The entries of the last version for each folder with files to be read."""
    if kept is None or last is None:
        return {}
    found: dict[str, Entries] = {}
    for path in {b.path for b, _ in wanted}:
        entries: Entries = kept(last)
        for name in os.path.relpath(path or ".", base or ".").split("/"):
            entry = entries.get(name)
            if name != ".":
                entries = kept(entry.digest) if entry and entry.kind == "folder" else {}
        found[path] = entries
    return found


def _wanted(root: Path, branch: Branch, i: int, before: dict[str, Entries]) -> Wanted:
    stamp = branch.files[i]
    shown = f"{branch.path}/{stamp[0]}" if branch.path else stamp[0]
    old = before.get(branch.path, {}).get(stamp[0])
    return Wanted(f"{root}/{shown}", shown, stamp, old.digest if old and old.kind == "file" else None)


def _remember(path: Path, old: Cache, top: Branch, moment: int, fresh: set[tuple[str, int]]) -> None:
    new = {b.path: _known(b, moment, fresh) for b in top.below()}
    if new.keys() != old.keys() or any(new[p] is not old[p] for p in new):
        save_cache(path, new)


def _known(branch: Branch, moment: int, fresh: set[tuple[str, int]]) -> Known:
    if branch.known and branch.content is None and branch.digests is None:
        return branch.known
    stamps = branch.stamps
    if branch.digests is not None:
        files = [blurred(f, moment) if (branch.path, i) in fresh else f for i, f in enumerate(branch.files)]
        stamps = encode(files)
    return known_as(stamps, branch.file_digests(), branch.folder_entries(), branch.manifest, branch.size)


def _entries(branch: Branch) -> Entries:
    return {e.name: e for e in branch.entries()}
