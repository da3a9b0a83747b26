"""The rows of a batch's files, part by part, whatever the size of the files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

import polars as pl

from keepfit.core.errors import DataError
from keepfit.core.files import write_file
from keepfit.datasets.dataset import Dataset
from keepfit.datasets.delimited import scan_delimited, short_line
from keepfit.datasets.read import broken, first_line, reading
from keepfit.datasets.refusal import refusals
from keepfit.predicting.job import Input, Told

BYTES = 32_000_000
"""What the rows of a part take in memory, about."""
_SAMPLE = 1_000


class Part(NamedTuple):
    """Rows of one file that are worked on together."""

    number: int
    """Of the part, from 0."""
    file: Input
    start: int
    """First row in the file."""
    first: int
    """First row among those of all files."""
    rows: int


class Rows:
    """The files, CSV brought into Parquet first, so that any place in them is found at once."""

    def __init__(self, inputs: Sequence[Input], work: Path, told: Told) -> None:
        self._sources = {file.path: _source(file, work / f"input-{i}.parquet", told) for i, file in enumerate(inputs)}
        self.inputs = inputs
        self.schema = self._schema(inputs[0])
        for file in inputs[1:]:
            if (other := self._schema(file)) != self.schema:
                odd = next((n for n in {**self.schema, **other} if self.schema.get(n) != other.get(n)), "order")
                told_of = f"`{file.path.name}` has other columns than `{inputs[0].path.name}`: `{odd}`"
                raise DataError(told_of, where=str(file.path))

    def parts(self) -> list[Part]:
        """All parts, in order; where they are cut follows from the content of the files alone."""
        found: list[Part] = []
        first = 0
        for file in self.inputs:
            scan, dataset = self._scan(file), _named(file)
            with reading(dataset):
                height = int(scan.select(pl.len()).collect().item())
                sample = scan.head(_SAMPLE).collect()
            step = max(_SAMPLE, BYTES * sample.height // max(1, int(sample.estimated_size())))
            for start in range(0, height, step):
                found.append(Part(len(found), file, start, first + start, min(step, height - start)))
            first += height
        return found

    def read(self, part: Part) -> pl.DataFrame:
        """The rows of a part; DataError when the file cannot be read, or has been changed."""
        with reading(_named(part.file)):
            rows = self._scan(part.file).slice(part.start, part.rows).collect()
        part.file.unchanged()
        return rows

    def _scan(self, file: Input) -> pl.LazyFrame:
        return pl.scan_parquet(self._sources[file.path], glob=False)

    def _schema(self, file: Input) -> pl.Schema:
        with reading(_named(file)):
            return self._scan(file).collect_schema()


def _source(file: Input, staged: Path, told: Told) -> Path:
    if file.path.suffix == ".parquet":
        return file.path
    if not staged.exists():
        told(f"reading {file.path} ...")
        write_file(staged, lambda target: _stage(file.path, target))
        file.unchanged()
    return staged


def _stage(path: Path, target: IO[bytes]) -> None:
    scan = scan_delimited(path, infer_schema=False)
    try:
        names = scan.collect_schema().names()
        with refusals():
            scan.sink_parquet(target)
        target.flush()
        last = pl.scan_parquet(target.name, glob=False).select(pl.col(names[-1]).null_count())
        if len(names) > 1 and last.collect().item() and (short := short_line(path, len(names))):
            line, what = short
            raise DataError(f"line {line:,} of `{path.name}` {what}", where=f"{path}:{line}", hint="mend the file")
    except pl.exceptions.PolarsError as problem:
        told = broken(path) or DataError(f"`{path.name}` cannot be read: {first_line(problem)}", where=str(path))
        raise told from problem


def _named(file: Input) -> Dataset:
    return Dataset(name=file.path.name, source=str(file.path), columns={})
