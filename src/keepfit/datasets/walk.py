"""Finding files: one walk with scandir, by pattern, which refuses what cannot be versioned by its name."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from keepfit.core.errors import DataError
from keepfit.core.files import is_part
from keepfit.datasets.source import Source
from keepfit.home import FOLDER

Stamp = tuple[str, int, int, int, int]
"""A file as the file system tells of it: name, size, mtime and ctime in ns, inode."""
SKIPPED = frozenset([FOLDER, ".git"])
"""Folders that are never data."""
_AWAY = "take it out of the folder, or name the files by a glob that does not match it"


class Listing(NamedTuple):
    """A folder: its files by name, and the folders below that hold files."""

    files: list[Stamp]
    folders: dict[str, Listing]

    def paths(self, above: str = "") -> Iterator[str]:
        """The paths of all files from here, in order."""
        files = [stamp[0] for stamp in self.files]
        for name in sorted([*files, *self.folders]):
            if name in self.folders:
                yield from self.folders[name].paths(f"{above}{name}/")
            else:
                yield above + name


def walk(root: Path, source: Source) -> Listing:
    """The files of a source with their stamps; without any when there is none.

    A link inside the project is taken for what it points to. Raises DataError, naming the file, for
    a link that leads out of the project or nowhere, for what is neither file nor folder, for a name
    that is not UTF-8, and for what cannot be read.
    """
    walker = _Walker(os.path.realpath(root), source.pattern.split("/"))
    base = os.path.join(root, source.base) if source.base else str(root)
    if not walker.contains(real := os.path.realpath(base)):
        raise _refused(source.base, "leads out of the project", hint="copy the data into the project's folder")
    if not os.path.isdir(base):
        return Listing([], {})
    return walker.folder(base, source.base, walker.closure({0}), (real,)) or Listing([], {})


def shown(path: str) -> str:
    """A path as it can be printed: what is not plain text is escaped."""
    return "".join(c if c.isprintable() else _escaped(c) for c in path)


def unreadable(path: str, problem: OSError) -> DataError:
    """The error for a file that the file system does not give."""
    if isinstance(problem, FileNotFoundError):
        return _refused(path, "vanished while it was being read", hint="run the command again")
    hint = f"chmod -R u+rX '{shown(path)}'" if isinstance(problem, PermissionError) else None
    return _refused(path, f"cannot be read: {problem.strerror or problem}", hint=hint)


class _Walker:
    def __init__(self, root: str, parts: list[str]) -> None:
        self._root = root
        self._parts = parts
        self._last = len(parts) - 1
        self._match = [re.compile(fnmatch.translate(part)).match for part in parts]

    def contains(self, path: str) -> bool:
        return path == self._root or path.startswith(self._root.rstrip("/") + "/")

    def closure(self, states: set[int]) -> frozenset[int]:
        """Where in the pattern one may be, when `**` may also stand for nothing."""
        found = set(states)
        for state in sorted(states):
            while self._parts[state] == "**" and state < self._last:
                state += 1
                found.add(state)
        return frozenset(found)

    def folder(self, path: str, shown_path: str, states: frozenset[int], above: tuple[str, ...]) -> Listing | None:
        files: list[Stamp] = []
        below: list[tuple[str, bool]] = []
        takes_all = any(s == self._last and self._parts[s] in ("*", "**") for s in states)
        try:
            with os.scandir(path) as found:
                for entry in found:
                    if entry.is_file(follow_symlinks=False):
                        if takes_all or self._takes(entry.name, states):
                            stat = entry.stat(follow_symlinks=False)
                            stamp = (entry.name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
                            files.append(stamp)
                    elif entry.is_dir(follow_symlinks=False):
                        below.append((entry.name, False))
                    elif entry.is_symlink():
                        self._link(entry, _joined(shown_path, entry.name), states, above, files, below)
                    elif self._takes(entry.name, states):
                        place = _joined(shown_path, entry.name)
                        raise _refused(place, "is neither a file nor a folder", hint=_AWAY)
        except OSError as problem:
            raise unreadable(os.path.relpath(problem.filename or path, self._root), problem) from problem
        files = [f for f in files if not is_part(f[0])] if takes_all else files
        files.sort()
        folders = dict(self._below(path, shown_path, below, states, above))
        _refuse_strange([f[0] for f in files], folders, shown_path)
        return Listing(files, folders) if files or folders else None

    def _below(
        self, path: str, shown_path: str, below: list[tuple[str, bool]], states: frozenset[int], above: tuple[str, ...]
    ) -> Iterator[tuple[str, Listing]]:
        for name, linked in sorted(below):
            after = self._after(name, states)
            if not after or name in SKIPPED:
                continue
            inner = os.path.join(path, name)
            chain = (*above, os.path.realpath(inner)) if linked else above
            if listing := self.folder(inner, _joined(shown_path, name), after, chain):
                yield name, listing

    def _link(
        self,
        entry: os.DirEntry[str],
        place: str,
        states: frozenset[int],
        above: tuple[str, ...],
        files: list[Stamp],
        below: list[tuple[str, bool]],
    ) -> None:
        """Take a link for what it points to, if the pattern wants it."""
        takes, after = self._takes(entry.name, states), self._after(entry.name, states)
        if not takes and not after:
            return
        target = os.path.realpath(entry.path)
        if not self.contains(target):
            if takes or os.path.isdir(target):
                raise _refused(
                    place, "is a link that leads out of the project", hint="put a copy in its place, or take it away"
                )
        elif os.path.isdir(target):
            here = os.path.realpath(os.path.dirname(entry.path))
            if after and (target in above or here == target or here.startswith(target + "/")):
                raise _refused(place, "is a link that leads back to a folder it is in", hint=_AWAY)
            below.append((entry.name, True))
        elif takes:
            if not os.path.exists(target):
                raise _refused(place, "is a link that leads nowhere", hint=_AWAY)
            if not os.path.isfile(target):
                raise _refused(place, "is a link to what is no file", hint=_AWAY)
            stat = os.stat(target)
            files.append((entry.name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino))

    def _takes(self, name: str, states: frozenset[int]) -> bool:
        return not is_part(name) and any(
            s == self._last and (self._parts[s] == "**" or self._match[s](name)) for s in states
        )

    def _after(self, name: str, states: frozenset[int]) -> frozenset[int]:
        """Where in the pattern one is in the folder of this name."""
        after = {s for s in states if self._parts[s] == "**"}
        after |= {s + 1 for s in states if s < self._last and self._parts[s] != "**" and self._match[s](name)}
        return self.closure(after)


def _refuse_strange(files: list[str], folders: dict[str, Listing], place: str) -> None:
    """A manifest is text: names that are not cannot be in it."""
    try:
        "".join([*files, *folders]).encode()
    except UnicodeEncodeError:
        name = next(n for n in (*files, *folders) if n != n.encode("utf-8", "ignore").decode())
        where = _joined(place, name)
        raise _refused(where, "has a name that is not UTF-8", hint="rename it, with `mv` or `convmv`") from None


def _refused(path: str, reason: str, *, hint: str | None) -> DataError:
    return DataError(f"`{shown(path)}` {reason}", hint=hint)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else character.encode("unicode_escape").decode()


def _joined(above: str, name: str) -> str:
    return f"{above}/{name}" if above else name
