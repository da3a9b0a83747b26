"""What a batch is: rows of files, answered by one model. The same job is known again by its content, not its names."""

from __future__ import annotations

import glob
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from keepfit.core.digests import digest_file, digest_value
from keepfit.core.errors import DataError, NotFound, UsageError

Bad = Literal["fail", "skip", "null"]
"""A row that the model does not take: nothing is written at all, or it is left out, or it has no answer."""
SUFFIXES = (".parquet", ".csv")
REFUSED = ".refused"
"""What is put before the suffix of the output for the rows that were refused."""

Told = Callable[[str], object]
"""Takes a line about how far it has come."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch is told."""

    inputs: list[str]
    """Paths or globs of Parquet and CSV files."""
    out: Path
    model: str
    bad: Bad = "fail"
    logged: bool = True
    """Whether the predictions of the champion go into the prediction log."""


class Input(msgspec.Struct, frozen=True):
    """A file, and how it looked when it was read first."""

    path: Path
    digest: str
    stamp: tuple[int, int, int]

    def unchanged(self) -> None:
        """DataError when someone has changed the file since."""
        if _stamp(self.path) != self.stamp:
            raise DataError(
                f"`{self.path.name}` was changed while it was being predicted",
                where=str(self.path),
                hint="nothing was written: run it again once the file is whole",
            )


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as it is kept while it is worked on."""

    key: str
    """Digest of everything that the answers follow from."""
    out: str
    began: int
    """Milliseconds since 1970: ids and log are named after it, also when the work is taken up again."""


def find_inputs(settings: Settings, told: Told) -> list[Input]:
    """The files that are meant, in order; UsageError, NotFound or DataError when they cannot be read or written to."""
    paths: list[Path] = []
    for text in settings.inputs:
        found = sorted(Path(p) for p in glob.glob(text, recursive=True)) if glob.has_magic(text) else [Path(text)]
        if not found:
            raise NotFound(f"no file matches `{text}`")
        paths += found
    for path in paths:
        if not path.is_file():
            raise NotFound(f"there is no file `{path}`", hint="keepfit predict rows.csv --out predicted.csv")
        if path.suffix not in SUFFIXES:
            raise DataError(f"`{path.name}` is neither Parquet nor CSV", where=str(path.parent))
        if settings.out.exists() and path.samefile(settings.out):
            raise UsageError(f"`{path}` is to be read and to be written", hint="give --out another name")
    return [_looked_at(path, told) for path in paths]


def job_key(inputs: Sequence[Input], *settled: object) -> str:
    """The key of the job that answers these files, given whatever else the answers follow from."""
    return digest_value([1, [file.digest for file in inputs], *settled])


def input_digest(inputs: Sequence[Input]) -> str:
    """The digest of what was read: that of the one file, or of the digests of several."""
    return inputs[0].digest if len(inputs) == 1 else digest_value([file.digest for file in inputs])


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _looked_at(path: Path, told: Told) -> Input:
    told(f"reading {path} ...")
    try:
        stamp = _stamp(path)
        found = Input(path, digest_file(path), stamp)
    except OSError as problem:
        raise DataError(f"`{path.name}` cannot be read: {problem.strerror}", where=str(path)) from problem
    found.unchanged()
    return found


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino
