"""Data versions: which files a dataset consisted of, kept as a tree of objects and recorded as a fact."""

from __future__ import annotations

import re
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO

import msgspec

from keepfit.core.digests import digest_bytes, digest_stream
from keepfit.core.errors import DamagedObject, DataError, NotFound, did_you_mean
from keepfit.core.files import Placing, place_files
from keepfit.datasets.source import Source
from keepfit.datasets.tree import Change, File, compare, reader, tree_files
from keepfit.home import Home
from keepfit.ledger import Fact, Query
from keepfit.objects import Objects


class DataVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset, or any files of the project, as they were at one time."""

    id: str
    dataset: str
    """Its name; the path of files that belong to no dataset."""
    number: int
    time: datetime
    actor: str
    tree: str
    """Digest of the tree's root."""
    base: str
    """The folder of the project that the tree's paths start from."""
    pattern: str
    files: int
    bytes: int
    rows: int | None = None
    columns: dict[str, str] | None = None
    """Name -> type, of a table."""
    since: datetime | None = None
    until: datetime | None = None
    """First and last event, of a table with an event time."""
    changed: dict[Change, int] = {}
    """How many files differ from the version before."""
    previous: str | None = None

    def __str__(self) -> str:
        return f"{self.dataset}@{self.number}"

    @property
    def source(self) -> Source:
        """Where its files are in the project."""
        return Source(self.dataset, self.base, self.pattern)


def subject_of(name: str) -> str:
    """What facts of this dataset are about, and the name that points at its newest version."""
    return f"data/{name}"


def version_of(found: Fact) -> DataVersion:
    """The version a fact tells of."""
    told = {
        "id": found.id,
        "dataset": found.subject.removeprefix("data/"),
        "time": found.time,
        "actor": found.actor,
        "tree": found.refs["tree"],
        "previous": found.refs.get("previous"),
    }
    return msgspec.convert({**found.body, **told}, DataVersion)


def find_version(home: Home, id: str) -> DataVersion:
    """The version recorded under this id; DataError when it is unknown."""
    found = home.ledger.get(id)
    if found is None or found.kind != "data":
        raise DataError(f"`{id}` is not a data version", hint="keepfit data log")
    return version_of(found)


def newest_version(home: Home, name: str) -> DataVersion | None:
    """The version that the dataset was last seen to be; None when it was never versioned."""
    id = home.ledger.name(subject_of(name))
    return find_version(home, id) if id else None


def list_versions(home: Home, name: str) -> list[DataVersion]:
    """All versions of a dataset, the oldest first."""
    query = Query(kind="data", subject=subject_of(name), descending=False, limit=1_000_000)
    return [version_of(f) for f in home.ledger.find(query)]


def versioned(home: Home) -> list[str]:
    """Names of everything that has a version."""
    return [name.removeprefix("data/") for name in home.ledger.names("data/")]


def next_number(home: Home, name: str) -> int:
    """The number of the version that is added next."""
    found = home.ledger.find(Query(kind="data", subject=subject_of(name), limit=1))
    return int(found[0].body["number"]) + 1 if found else 1


def resolve_version(home: Home, reference: str) -> DataVersion:
    """The version that `NAME@3`, `NAME@-1` (the newest added), `NAME` or an id means; NotFound when there is none."""
    name, at, number = reference.rpartition("@")
    if not at or not re.fullmatch(r"-?\d+", number):
        if newest := newest_version(home, reference):
            return newest
        found = home.ledger.get(reference) if reference.startswith("data-") else None
        if found is None or found.kind != "data":
            raise _no_version(home, reference, reference)
        return version_of(found)
    known = list_versions(home, name)
    wanted = int(number)
    numbers = [v.number for v in known]
    if wanted < 0 and -wanted <= len(known):
        return known[wanted]
    if wanted in numbers:
        return known[numbers.index(wanted)]
    raise (
        _no_version(home, name, reference)
        if not known
        else NotFound(
            f"there is no version `{reference}`; `{name}` has versions {numbers[0]} to {numbers[-1]}",
            hint=f"keepfit data log {name}",
        )
    )


def checkout(objects: Objects, data: DataVersion, folder: Path) -> list[Path]:
    """Lay the version's files out below a folder, not to outlast a crash; gives their paths in order."""
    files = list(tree_files(objects, data.tree))
    place_files((placing(objects, f, folder) for f in files), durable=False)
    return [folder / f.path for f in files]


def placing(objects: Objects, file: File, folder: Path) -> Placing:
    """How a file of a tree is put in place below a folder; bytes that are not what they were are refused on the way."""
    return Placing(f"{folder}/{file.path}", objects.file(file.digest), partial(_write, objects, file))


def cache_of(home: Home, source: Source) -> Path:
    """Where it is kept what is known of a source's files."""
    return home.folder / "cache" / "data" / digest_bytes(source.name.encode())[:16]


def count_changes(home: Home, before: str | None, after: str) -> dict[Change, int]:
    """How many files differ between two trees, by how."""
    counts: dict[Change, int] = {"added": 0, "modified": 0, "deleted": 0}
    for found in compare(reader(home.objects), before, after):
        counts[found.change] += 1
    return counts


def _write(objects: Objects, file: File, target: IO[bytes]) -> None:
    with objects.open(file.digest) as source:
        if digest_stream(source, target) != file.digest:
            raise DamagedObject(f"the object of `{file.path}` is damaged", where=file.digest, hint="keepfit verify")


def _no_version(home: Home, name: str, reference: str) -> NotFound:
    near = did_you_mean(name, versioned(home)) or ""
    return NotFound(
        f"`{reference}` has no version", hint=near if near.startswith("did") else f"keepfit data add {name}"
    )
