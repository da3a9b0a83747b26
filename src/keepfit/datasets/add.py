"""Versioning: files become objects, and a change becomes a fact."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from keepfit.core.errors import DataError, NameMoved, StoreError
from keepfit.datasets.dataset import Dataset
from keepfit.datasets.progress import LARGE, Steps, Told
from keepfit.datasets.scan import Branch, Scanned, Wanted, scan
from keepfit.datasets.source import Source, no_files, source_of, table_kind
from keepfit.datasets.tree import Change, Reader, encode_manifest, reader
from keepfit.datasets.version import (
    DataVersion,
    cache_of,
    count_changes,
    newest_version,
    next_number,
    subject_of,
    version_of,
)
from keepfit.datasets.walk import Stamp, unreadable
from keepfit.home import Home
from keepfit.ledger import Fact, Move, fact
from keepfit.objects import Objects

_UNORDERED = "its query has no ORDER BY: the same rows in another order would be another version"


class Added(NamedTuple):
    """What came of versioning."""

    version: DataVersion
    changed: bool
    """Whether it differs from what was the newest version."""
    counts: Mapping[Change, int] = MappingProxyType({})
    """How many files differ, by how."""
    note: str | None = None
    """What the user should know of it."""


def version(home: Home, dataset: Dataset) -> DataVersion:
    """The version that the dataset is now; see `add`."""
    return add(home, source_of(home.root, dataset), dataset).version


def add(home: Home, source: Source, dataset: Dataset | None = None, *, told: Told = lambda _: None) -> Added:
    """Version a source as it is now: its files become objects, and a change becomes a fact.

    Unchanged files are recognised by size, times and inode, and not read again. The name
    `data/<name>` points at the newest version. The same files give the same version: after a
    change back, a fact of the kind `return` tells of it. The query of a dataset is asked first.
    Raises NotFound when there is no file, DataError for files that cannot be versioned or changed
    meanwhile, StoreError when they cannot be stored; nothing is then recorded.
    """
    note = None
    if dataset and dataset.query:
        from keepfit.datasets.query import is_ordered, pin  # brings polars

        pin(home, dataset, told=told)
        note = None if is_ordered(dataset.query) else _UNORDERED
    last = newest_version(home, source.name)
    tree = _stored(home, source, last.tree if last else None, told)
    if tree is None:
        raise no_files(source, dataset)
    if last and (last.tree, last.base) == (tree.root.manifest, source.base):
        return Added(last, changed=False, note=note)
    while True:
        made = _fact(home, source, dataset, tree, last)
        facts = [made]
        if known := home.ledger.get(made.id):
            facts.append(_return(home, known, last))
        try:
            found = home.ledger.append(facts, [Move(made.subject, last.id if last else None, made.id)])[0]
        except NameMoved:
            last = newest_version(home, source.name)  # someone versioned it in between: go on from there
            if last and last.id == made.id:
                return Added(last, changed=False, note=note)
            continue
        return Added(version_of(found), changed=True, counts=facts[-1].body["changed"], note=note)


def _stored(home: Home, source: Source, last: str | None, told: Told) -> Scanned | None:
    """The source as a tree that is wholly in the store of objects; None when it has no file."""
    kept = reader(home.objects)
    if last and not home.objects.has(last):
        last = None  # another store than the one it was put into: all must be put again
    found = scan(
        home.root,
        source,
        cache_of(home, source),
        lambda wanted: _put(home.objects, wanted, told),
        kept=kept,
        last=last,
    )
    if found is not None:
        home.objects.put_all(encode_manifest(b.entries()) for b in _new_branches(found.root, kept, last))
    return found


def _new_branches(branch: Branch, kept: Reader, last: str | None) -> Iterator[Branch]:
    """The folders whose manifests the tree `last` does not hold at their place, the lowest first."""
    if branch.manifest == last:
        return
    held = kept(last) if last else {}
    for name, folder in branch.folders.items():
        entry = held.get(name)
        yield from _new_branches(folder, kept, entry.digest if entry and entry.kind == "folder" else None)
    yield branch


def _put(objects: Objects, wanted: Sequence[Wanted], told: Told) -> list[str]:
    digests = [""] * len(wanted)
    small = [i for i, w in enumerate(wanted) if w.stamp[1] < LARGE]
    steps = Steps([(w.shown, w.stamp[1]) for w in wanted], told)
    taking = (Path(wanted[steps.take(i)].path) for i in small)
    try:
        for i, digest in zip(small, objects.put_all(taking), strict=True):
            digests[i] = digest
        for i, w in enumerate(wanted):
            if w.stamp[1] >= LARGE:
                steps.take(i)
                digests[i] = objects.put(Path(w.path), like=w.before)
    except StoreError:
        _refuse_changed((w[:3] for w in wanted), failed=True)
        raise
    _refuse_changed(w[:3] for w in wanted)
    return digests


def _refuse_changed(files: Iterable[tuple[str, str, Stamp]], *, failed: bool = False) -> None:
    """Raise DataError for a file that is not as it was when it was found; when reading failed, also for its rights."""
    for path, shown, stamp in files:
        try:
            now = os.stat(path)
            if failed and not os.access(path, os.R_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as problem:
            raise unreadable(shown, problem) from problem
        if (now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino) != stamp[1:]:
            hint = "run the command again when nothing writes to it"
            raise DataError(f"`{shown}` changed while it was being added", hint=hint)


def _fact(home: Home, source: Source, dataset: Dataset | None, tree: Scanned, last: DataVersion | None) -> Fact:
    root, subject = tree.root, subject_of(source.name)
    table = _table(home, root, dataset)
    counts = {"number": next_number(home, source.name), "files": tree.files, "bytes": root.size}
    return fact(
        "data",
        subject,
        time=home.clock.now(),
        key=[subject, source.base, root.manifest],
        actor=home.actor,
        body={
            **counts,
            "base": source.base,
            "pattern": source.pattern,
            "changed": count_changes(home, last.tree if last else None, root.manifest),
            **table,
        },
        refs={"tree": root.manifest, **({"previous": last.id} if last else {})},
        attributes={**counts, **({"rows": table["rows"]} if table else {})},
    )


def _table(home: Home, root: Branch, dataset: Dataset | None) -> dict[str, Any]:
    """What the files are as a table; nothing when they are none."""
    files = [(f"{home.root}/{path}", path, stamp) for path, stamp in _files(root)]
    kind = table_kind(path for _, path, _ in files)
    if kind is None:
        return {}
    from keepfit.datasets.describe import describe  # brings polars, which other files do not need

    table = describe([Path(path) for path, *_ in files], kind, dataset)
    _refuse_changed(files)
    return msgspec.structs.asdict(table) if table else {}


def _files(branch: Branch) -> Iterator[tuple[str, Stamp]]:
    """The paths of all files from the project's folder, in order, with their stamps."""
    stamps = {f[0]: f for f in branch.files}
    for name in sorted([*stamps, *branch.folders]):
        if name in stamps:
            yield f"{branch.path}/{name}" if branch.path else name, stamps[name]
        else:
            yield from _files(branch.folders[name])


def _return(home: Home, known: Fact, last: DataVersion | None) -> Fact:
    """The fact that a dataset is again what it was in an older version."""
    before = last.tree if last else None
    return fact(
        "return",
        known.subject,
        time=home.clock.now(),
        actor=home.actor,
        body={"number": known.body["number"], "changed": count_changes(home, before, known.refs["tree"])},
        refs={"version": known.id, **({"previous": last.id} if last else {})},
    )
