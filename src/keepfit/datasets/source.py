"""Which files of the project belong together."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import msgspec

from keepfit.core.errors import NotFound
from keepfit.datasets.dataset import Dataset
from keepfit.home import FOLDER

PINNED = f"{FOLDER}/tables"
"""Where the results of queries are laid, from the project's folder."""
EVERYTHING = "**/*"
TABLES = (".parquet", ".csv")
"""What the names of files end in that can be read as tables."""


class Source(msgspec.Struct, frozen=True):
    """Files of the project, by where they are and what they are called."""

    name: str
    base: str
    """The folder they are below, from the project's folder, with slashes; empty for the project's own."""
    pattern: str
    """What their paths from there look like, as a glob."""

    @property
    def place(self) -> str:
        """The base and the pattern as one glob, as people write it."""
        whole = f"{self.base}/{self.pattern}" if self.base else self.pattern
        return whole.removesuffix("/**/*") if self.pattern == EVERYTHING else _unescape(whole)


def source_of(root: Path, dataset: Dataset) -> Source:
    """Where a dataset's files are."""
    if dataset.query:
        return Source(dataset.name, PINNED, f"{dataset.name}.parquet")
    return _source(root, dataset.name, dataset.source, inside="**/*.parquet")


def table_kind(names: Iterable[str]) -> str | None:
    """What all these names of files end in, if it is that of a table."""
    kinds = {next((k for k in TABLES if name.lower().endswith(k)), None) for name in names}
    return kinds.pop() if len(kinds) == 1 else None


def path_source(root: Path, path: str) -> Source:
    """Where the files of a path, or a glob, of the project are; it goes by its own path."""
    return _source(root, path, path, inside=EVERYTHING)


def no_files(source: Source, dataset: Dataset | None) -> NotFound:
    """The error for a source that has no file."""
    if dataset is None:
        return NotFound(f"there is no file at `{source.place}`", hint="name a file, a folder, or a glob in quotes")
    if dataset.query:
        return NotFound(f"the query of `{dataset.name}` was never asked", hint=f"keepfit data add {dataset.name}")
    return NotFound(
        f"no file matches `{dataset.source}` of dataset `{dataset.name}`",
        hint=f"put the data there, or change `from` under [data.{dataset.name}] in keepfit.toml",
    )


def _source(root: Path, name: str, place: str, *, inside: str) -> Source:
    """The source that a path or glob in the project means; of a folder, the files that look like `inside`."""
    pure = PurePosixPath(place)
    if not glob.has_magic(place):
        if (root / pure).is_dir():
            return Source(name, _posix(pure), inside)
        return Source(name, _posix(pure.parent), glob.escape(pure.name))
    plain = next(i for i, part in enumerate(pure.parts) if glob.has_magic(part))
    return Source(name, _posix(PurePosixPath(*pure.parts[:plain])), "/".join(pure.parts[plain:]))


def _posix(path: PurePosixPath) -> str:
    return "" if path == PurePosixPath() else path.as_posix()


def _unescape(pattern: str) -> str:
    return re.sub(r"\[([*?[])\]", r"\1", pattern)
