"""Trees of files as objects: a manifest per folder, so that a change rewrites only the manifests above it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from keepfit.core.errors import DamagedObject
from keepfit.objects import Objects, read

Kind = Literal["file", "folder"]
Change = Literal["added", "modified", "deleted"]


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A file, or a folder by the digest of its manifest and the bytes in all files below it."""

    name: str
    kind: Kind
    size: int
    digest: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A folder: its entries by name. Equal folders have equal bytes, wherever they are."""

    tree: Literal[1] = 1
    entries: list[Entry]


class File(NamedTuple):
    """One file of a tree."""

    path: str
    """From the root of the tree, with slashes."""
    size: int
    digest: str


class Changed(NamedTuple):
    """One file that differs between two trees."""

    path: str
    change: Change


Entries = Mapping[str, Entry]
"""A folder's entries by name."""
Reader = Callable[[str], Entries]
"""From the digest of a manifest to its entries."""


def encode_manifest(entries: Sequence[Entry]) -> bytes:
    """The canonical bytes of a folder; the entries come sorted by name."""
    return _encode(Manifest(entries=list(entries)))


def read_manifest(objects: Objects, digest: str) -> list[Entry]:
    """The entries of a folder; NotFound when the manifest is not there, DamagedObject when it is no manifest."""
    try:
        return _decode(read(objects, digest)).entries
    except msgspec.DecodeError as problem:
        raise DamagedObject(f"object `{digest}` is no manifest of a folder", hint="keepfit verify") from problem


def reader(objects: Objects) -> Reader:
    """Reads manifests by digest, each once."""
    return functools.cache(lambda digest: {e.name: e for e in read_manifest(objects, digest)})


def tree_digests(objects: Objects, root: str) -> Iterator[str]:
    """Every digest that a tree needs, once: its manifests (the root first) and its files."""
    seen, todo = {root}, [root]
    while todo:
        yield (digest := todo.pop())
        for entry in read_manifest(objects, digest):
            if entry.digest not in seen:
                seen.add(entry.digest)
                if entry.kind == "folder":
                    todo.append(entry.digest)
                else:
                    yield entry.digest


def tree_files(objects: Objects, root: str) -> Iterator[File]:
    """The files of a tree, in the order of their paths."""
    return files_below(reader(objects), root)


def files_below(read: Reader, root: str, above: str = "") -> Iterator[File]:
    """The files of a tree, in the order of their paths; `above` is put before each."""
    for entry in read(root).values():
        if entry.kind == "folder":
            yield from files_below(read, entry.digest, f"{above}{entry.name}/")
        else:
            yield File(f"{above}{entry.name}", entry.size, entry.digest)


def compare(read: Reader, before: str | None, after: str | None, above: str = "") -> Iterator[Changed]:
    """The files that differ between two trees, in the order of their paths; equal folders are not opened.

    None is a tree without files.
    """
    if before == after:
        return
    old, new = (read(root) if root else {} for root in (before, after))
    for name in sorted(old.keys() | new.keys()):
        yield from _compare_entries(read, old.get(name), new.get(name), f"{above}{name}")


def _compare_entries(read: Reader, old: Entry | None, new: Entry | None, path: str) -> Iterator[Changed]:
    if old and new and old.kind == new.kind == "file":
        if old.digest != new.digest:
            yield Changed(path, "modified")
        return
    was, now = (e.digest if e and e.kind == "folder" else None for e in (old, new))
    if old and old.kind == "file":
        yield Changed(path, "deleted")
    if new and new.kind == "file":
        yield Changed(path, "added")
    yield from compare(read, was, now, f"{path}/")


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Manifest).decode
