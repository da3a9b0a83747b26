"""Where the bytes of a damaged object may still be: a remote, the user's own files, what is pinned to serve."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from keepfit.core.digests import digest_bytes, digest_file
from keepfit.core.errors import DamagedObject, KeepfitError, NotFound, StoreError
from keepfit.datasets.tree import Entries, files_below, read_manifest
from keepfit.home import Home
from keepfit.keeping.needs import facts
from keepfit.objects import Objects, Target, copy


class Source:
    """Somewhere to look for objects; what is found is believed only if its digest fits."""

    def __init__(self, name: str, put: Callable[[Target, str], bool]) -> None:
        self.name = name
        self._put = put

    def put(self, objects: Objects, digest: str, *, replace: bool) -> bool:
        """Whether the object was found and is whole in `objects` now; with `replace`, in place of a damaged one.

        Raises StoreError when `objects` refuses it.
        """
        target = _Mended(objects, replace)
        try:
            return self._put(target, digest)
        except KeepfitError:
            if target.refused:
                raise target.refused from None
            return False


def store(name: str, objects: Objects, scratch: Path) -> Source:
    """Another store of objects."""
    return Source(name, lambda target, digest: copy(objects, target, digest, scratch) is not None)


def working_files(home: Home) -> Source:
    """The files that the project's data and code were versioned from, and those pinned to serve, where unchanged."""
    found: dict[str, list[Path]] = {}
    looked = False

    def put(target: Target, digest: str) -> bool:
        nonlocal looked
        if not looked:
            for path, of in _files(home):
                found.setdefault(of, []).append(path)
            looked = True
        for path in found.get(digest, []):
            if path.is_file() and digest_file(path) == digest and target.put(path) == digest:
                return True
        return False

    return Source("the working files", put)


def _files(home: Home) -> Iterator[tuple[Path, str]]:
    for pinned in (*home.folder.glob("pins/*/**/*"), *home.folder.glob("serving/pins/*/**/*")):
        if pinned.is_file():
            yield pinned, digest_file(pinned)
    for _, fact in facts(home.ledger):
        for path, digest in fact.body.get("code", {}).items() if fact.kind == "run" else ():
            yield home.root / path, digest
        if fact.kind == "data" and "tree" in fact.refs:
            for file in files_below(functools.partial(_entries, home.objects), fact.refs["tree"]):
                yield home.root / fact.body.get("base", "") / file.path, file.digest
        elif fact.kind == "data":
            for file in fact.body["files"]:
                yield home.root / file["path"], file["digest"]


def _entries(objects: Objects, manifest: str) -> Entries:
    """The entries of a folder; none when it cannot be read."""
    try:
        return {entry.name: entry for entry in read_manifest(objects, manifest)}
    except (NotFound, DamagedObject):
        return {}


class _Mended:
    """A store in which a damaged object is deleted just before it is put anew, since `put` leaves what is there."""

    def __init__(self, objects: Objects, replace: bool) -> None:
        self._objects = objects
        self._replace = replace
        self.refused: StoreError | None = None
        """Why the store did not take an object."""

    def put(self, content: bytes | Path, *, like: str | None = None) -> str:
        digest = digest_bytes(content) if isinstance(content, bytes) else digest_file(content)
        try:
            if self._replace:
                self._objects.delete(digest)
            return self._objects.put(content, like=like)
        except StoreError as problem:
            self.refused = problem
            raise
