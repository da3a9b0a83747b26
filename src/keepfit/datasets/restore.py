"""Putting the files of a version back where they were, or elsewhere, without losing what is there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from keepfit.core.errors import NotFound, Refused, StoreError
from keepfit.core.files import locked, place_files, remove_files, sweep
from keepfit.datasets.progress import Steps, Told
from keepfit.datasets.source import EVERYTHING, Source
from keepfit.datasets.status import changes, working, working_at
from keepfit.datasets.tree import files_below, tree_digests, tree_files
from keepfit.datasets.version import DataVersion, list_versions, placing, version_of
from keepfit.datasets.walk import shown, walk
from keepfit.home import Home
from keepfit.ledger import Query

NAMED = 10
"""Files named in a refusal."""


class Restored(NamedTuple):
    """What putting a version back came to."""

    folder: Path
    written: int
    removed: int
    kept: list[str]
    """Files that are not in the version and in no other, and so were left alone."""


def restore(
    home: Home, version: DataVersion, *, to: Path | None = None, force: bool = False, told: Told = lambda _: None
) -> Restored:
    """Make the files those of the version, in their place in the project or below the folder `to`.

    A file is written whole or not at all, and files that are right already are left. A file that is
    not in the version is removed if it can be had again from another. Raises Refused, before
    anything is touched, when a file would be overwritten whose content is in no version; `force`
    overwrites it. Killed or failed in between, it can be run again.
    """
    with locked(home.folder / "work" / "checkout.lock"):
        base = to if to else home.root / version.base
        if to and not force:
            _refuse_strangers(home, version, to)
        elsewhere = Source(str(base.resolve()), "", EVERYTHING)
        now = working_at(home, base, elsewhere, told=told) if to else working(home, version.source, told=told)
        differing = changes(now, version)
        present = {f.path: f.digest for f in files_below(now.read, now.tree)} if now.tree else {}
        lost = _unversioned(home, {present[c.path] for c in differing if c.path in present})
        wanted = [c.path for c in differing if c.change != "added"]  # seen from the version: what is missing here
        surplus = [c.path for c in differing if c.change == "added"]
        removable = [p for p in surplus if present[p] not in lost]
        blocking = _blocking(surplus, wanted)
        if unsafe := [p for p in [*wanted, *blocking] if present.get(p) in lost]:
            if not force:
                raise _refusal(version, unsafe)
            removable += [p for p in blocking if present[p] in lost]
        _sweep(base, wanted)
        remove_files(base / p for p in blocking)
        _place(home, version, base, set(wanted), told)
        remove_files(base / p for p in set(removable).difference(blocking))
    return Restored(base, len(wanted), len(removable), [p for p in surplus if p not in set(removable)])


def _refuse_strangers(home: Home, version: DataVersion, to: Path) -> None:
    """Files of something else are no place to lay a version over."""
    present = list(walk(to, Source("", "", EVERYTHING)).paths())
    if not present:
        return
    known = {f.path for v in list_versions(home, version.dataset) for f in tree_files(home.objects, v.tree)}
    if strangers := [p for p in present if p not in known]:
        raise Refused(
            f"`{to}` holds files that no version of `{version.dataset}` has: {_named(strangers)}",
            hint="name a new folder, or add --force, which leaves them where they are",
        )


def _unversioned(home: Home, digests: set[str]) -> set[str]:
    """Those of these digests that no version of anything holds."""
    missing, offset = set(digests), 0
    while missing:
        page = home.ledger.find(Query(kind="data", limit=100, offset=offset))
        for found in page:
            with contextlib.suppress(StoreError, NotFound):  # what cannot be read cannot be had again
                missing.difference_update(tree_digests(home.objects, version_of(found).tree))
        if len(page) < 100:
            break
        offset += 100
    return missing


def _blocking(surplus: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Files where a folder must be, and files in a folder where a file must be."""
    files, folders = set(wanted), {str(p) for w in wanted for p in PurePosixPath(w).parents}
    return [p for p in surplus if p in folders or files.intersection(map(str, PurePosixPath(p).parents))]


def _place(home: Home, version: DataVersion, base: Path, wanted: set[str], told: Told) -> None:
    files = [f for f in tree_files(home.objects, version.tree) if f.path in wanted] if wanted else []
    steps = Steps([(f.path, f.size) for f in files], told)
    place_files(placing(home.objects, files[steps.take(i)], base) for i in range(len(files)))


def _sweep(base: Path, wanted: Iterable[str]) -> None:
    """Remove what an earlier, killed checkout left half written."""
    for folder in {p.rpartition("/")[0] for p in wanted}:
        sweep(base / folder)


def _refusal(version: DataVersion, paths: Sequence[str]) -> Refused:
    return Refused(
        f"{len(paths):,} files would be overwritten whose content is in no version: {_named(paths)}",
        hint=f"keepfit data add {version.dataset} first, or --force to overwrite them",
    )


def _named(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - NAMED:,} more" if len(paths) > NAMED else ""
    return ", ".join(f"`{shown(p)}`" for p in paths[:NAMED]) + more
