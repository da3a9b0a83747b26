"""A dataset at one time: one of its versions, or its files as they are now."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keepfit.core.errors import NotFound, UsageError
from keepfit.core.files import make_folder, place_files
from keepfit.datasets.choose import choose
from keepfit.datasets.dataset import Dataset
from keepfit.datasets.progress import Told
from keepfit.datasets.source import no_files
from keepfit.datasets.status import working
from keepfit.datasets.tree import File, Reader, files_below, reader
from keepfit.datasets.version import DataVersion, newest_version, placing, resolve_version
from keepfit.home import Home

NOW = "now"


@dataclass(frozen=True, kw_only=True)
class Point:
    """A dataset at one time."""

    label: str
    dataset: Dataset | None
    tree: str
    read: Reader
    """Reads its manifests."""
    folder: Path | None
    """Where its files are, if they are those of now."""

    def files(self) -> list[File]:
        """Its files, in order."""
        return list(files_below(self.read, self.tree))


def find_points(
    home: Home, datasets: Sequence[Dataset], words: Sequence[str], *, told: Told = lambda _: None
) -> tuple[Point, Point]:
    """The two points that words mean: `A B`, `A B NAME`, or one alone, beside what is now.

    Each is `NAME@3`, `NAME@-1`, an id, or NAME for its files now; with NAME given once, `3`, `@-1`
    or `now` is enough. NAME alone is what changed since its newest version.
    """
    if len(words) == 1:
        name = words[0].rpartition("@")[0] if _numbered(words[0]) else words[0]
        if name.startswith("data-") and (found := home.ledger.get(name)) and found.kind == "data":
            name = found.subject.removeprefix("data/")
        newest = words[0] if words[0] != name else _newest(home, datasets, name)
        return _point(home, datasets, newest, name, told), _point(home, datasets, NOW, name, told)
    if len(words) > 3:
        raise UsageError("a difference is between two", hint="keepfit data diff flights@1 flights@2")
    name = words[2] if len(words) == 3 else next((w.rpartition("@")[0] for w in words if _numbered(w)), "")
    before, after = (_point(home, datasets, word, name, told) for word in words[:2])
    return before, after


@contextlib.contextmanager
def tables(home: Home, point: Point, files: Sequence[File]) -> Iterator[Mapping[str, Path]]:
    """For the block, a file to be read for each of these files of the point; by path."""
    if point.folder:
        yield {f.path: point.folder / f.path for f in files}
        return
    found = {f.path: path for f in files if (path := home.objects.file(f.digest))}
    missing = [f for f in files if f.path not in found]
    if not missing:
        yield found
        return
    make_folder(home.folder / "work")
    folder = Path(tempfile.mkdtemp(prefix="diff-", dir=home.folder / "work"))
    try:
        place_files((placing(home.objects, f, folder) for f in missing), durable=False)
        yield found | {f.path: folder / f.path for f in missing}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _numbered(word: str) -> bool:
    return re.fullmatch(r".+@-?\d+", word) is not None


def _newest(home: Home, datasets: Sequence[Dataset], word: str) -> str:
    name = choose(home, datasets, [word])[0].source.name
    if newest := newest_version(home, name):
        return newest.id
    raise NotFound(f"`{name}` has no version yet", hint=f"keepfit data add {name}")


def _point(home: Home, datasets: Sequence[Dataset], word: str, name: str, told: Told) -> Point:
    if name and re.fullmatch(r"@?-?\d+", word):
        return _version(home, datasets, resolve_version(home, f"{name}@{word.removeprefix('@')}"))
    if _numbered(word) or (word.startswith("data-") and home.ledger.get(word)):
        return _version(home, datasets, resolve_version(home, word))
    if not name and (word == NOW or re.fullmatch(r"@?-?\d+", word)):
        raise UsageError(f"`{word}` is a version, but of what?", hint="keepfit data diff 1 2 flights")
    source, dataset = choose(home, datasets, [name if name and word == NOW else word])[0]
    now = working(home, source, told=told)
    if now.tree is None:
        raise no_files(source, dataset)
    folder = home.root / source.base
    return Point(label=f"{source.name} {NOW}", dataset=dataset, tree=now.tree, read=now.read, folder=folder)


def _version(home: Home, datasets: Sequence[Dataset], version: DataVersion) -> Point:
    dataset = next((d for d in datasets if d.name == version.dataset), None)
    return Point(label=str(version), dataset=dataset, tree=version.tree, read=reader(home.objects), folder=None)
