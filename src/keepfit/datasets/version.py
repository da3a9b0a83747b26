"""Data versions: which bytes a dataset consisted of, kept as objects and named by digest."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from keepfit.core.digests import digest_value
from keepfit.core.errors import DataError
from keepfit.core.files import write_file
from keepfit.datasets.dataset import Dataset
from keepfit.datasets.read import find_files
from keepfit.home import Home
from keepfit.ledger import Move, fact
from keepfit.objects import Objects


class DataFile(msgspec.Struct, frozen=True):
    """One file of a version."""

    path: str
    size: int
    digest: str


class DataVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset as it was at one time: a manifest of files."""

    id: str
    dataset: str
    files: list[DataFile]

    @property
    def size(self) -> int:
        """Bytes in all files."""
        return sum(f.size for f in self.files)


def version(home: Home, dataset: Dataset) -> DataVersion:
    """Version the dataset as it is now: its bytes become objects, and a change becomes a fact.

    Unchanged files are recognised by size, times and inode, and not read again. The name
    `data/<dataset>` points at the newest version. Raises NotFound when there is no file.
    """
    files = _stored(home, find_files(home.root, dataset))
    subject = f"data/{dataset.name}"
    newest = home.ledger.name(subject)
    body = {"files": msgspec.to_builtins(files)}
    found = fact(
        "data",
        subject,
        time=home.clock.now(),
        key=[subject, digest_value(files)],
        actor=home.actor,
        body=body,
        refs={"previous": newest} if newest else {},
        attributes={"files": len(files), "bytes": sum(f.size for f in files)},
    )
    if found.id != newest:
        home.ledger.append([found], [Move(subject, newest, found.id)])
    return DataVersion(id=found.id, dataset=dataset.name, files=files)


def find_version(home: Home, id: str) -> DataVersion:
    """The version recorded under this id; DataError when it is unknown."""
    found = home.ledger.get(id)
    if found is None or found.kind != "data":
        raise DataError(f"`{id}` is not a data version", hint="keepfit status")
    return DataVersion(
        id=found.id,
        dataset=found.subject.removeprefix("data/"),
        files=msgspec.convert(found.body["files"], list[DataFile]),
    )


def checkout(objects: Objects, data: DataVersion, folder: Path) -> list[Path]:
    """Lay the version's files out below `folder`; gives their paths in order."""
    paths = []
    for file in data.files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with objects.open(file.digest) as source, path.open("wb") as target:
            while block := source.read(1 << 20):
                target.write(block)
        paths.append(path)
    return paths


class _Seen(msgspec.Struct, frozen=True, array_like=True):
    """What the file system said of a file when it was last read."""

    size: int
    modified: int
    changed: int
    inode: int
    digest: str


def _stored(home: Home, paths: Iterable[Path]) -> list[DataFile]:
    cache = home.folder / "cache" / "files.json"
    try:
        seen = msgspec.json.decode(cache.read_bytes(), type=dict[str, _Seen])
    except (OSError, msgspec.DecodeError):
        seen = {}
    now, files = dict(seen), []
    for path in paths:
        name = os.path.relpath(path, home.root)
        if name.startswith(".."):
            raise DataError(f"`{path}` is outside the project", where=str(home.root), hint="copy it below the project")
        stat = path.stat()
        marks = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
        before = seen.get(name)
        if before and marks == (before.size, before.modified, before.changed, before.inode):
            digest = before.digest
        else:
            digest = home.objects.put(path)
            now[name] = _Seen(*marks, digest)
        files.append(DataFile(name, stat.st_size, digest))
    if now != seen:
        write_file(cache, msgspec.json.encode(now))
    return files
