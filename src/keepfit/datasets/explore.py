"""A look at data: the profile of a dataset, or of any files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from keepfit.core.errors import DataError, NotFound, UsageError, did_you_mean
from keepfit.datasets.dataset import Column, Dataset
from keepfit.datasets.infer import TIMES, source_files, typed
from keepfit.datasets.portrait import Portrait
from keepfit.datasets.profile import profile_of
from keepfit.datasets.query import pin
from keepfit.datasets.read import find_files, read_files, reading
from keepfit.datasets.relate import relate
from keepfit.datasets.tally import tally_all
from keepfit.home import Home


def explore(
    word: str, home: Home | None, datasets: Sequence[Dataset], *, label: str | None = None, time: str | None = None
) -> Portrait:
    """The profile of the dataset called so, else of the files at this path, a folder or a glob.

    Label and event time are the dataset's unless they are given; of files, a time goes by its name. Raises NotFound
    when there is neither, UsageError for a label or time that is no column or no time, DataError for what is no table.
    """
    dataset = next((d for d in datasets if d.name == word), None)
    if dataset and home:
        if dataset.query:
            pin(home, dataset)
        frame, columns = read_files(find_files(home.root, dataset), dataset), dict(dataset.columns)
        label, time = label or dataset.label, time or dataset.event_time
    else:
        try:
            frame, columns = typed(Path(word))
        except NotFound as problem:
            known = did_you_mean(word, [d.name for d in datasets])
            raise NotFound(f"there is no dataset and no file `{word}`", hint=known or problem.hint) from problem
        if not columns:
            raise DataError(
                f"no column of `{word}` holds a value that can be used", where=str(source_files(Path(word))[0])
            )
        time = time or _time(columns)
    for name in filter(None, (label, time)):
        if name not in columns:
            raise UsageError(f"there is no column `{name}`", hint=did_you_mean(name, columns))
    if time and columns[time].type not in ("timestamp", "date"):
        raise UsageError(
            f"`{time}` is no time: its type is {columns[time].type}", hint="keepfit profile DATA --time COLUMN"
        )
    with reading(Dataset(name=word, source=word, columns={})):
        return look(frame, label=label, time=time, title=f"Profile of {word}")


def look(
    frame: pl.LazyFrame | pl.DataFrame, *, label: str | None = None, time: str | None = None, title: str = "Profile"
) -> Portrait:
    """The profile of a table, for a notebook to show; it is read once, and need not fit into memory."""
    found = tally_all(frame, time=time)
    made = profile_of(found, time=time)
    relations, suspects = relate(made.columns, found.sample, label) if label else ([], {})
    return Portrait(title=title, profile=made, label=label, relations=relations, suspects=suspects)


def _time(columns: Mapping[str, Column]) -> str | None:
    times = [n for n, c in columns.items() if c.type in ("timestamp", "date") and n.lower() in TIMES]
    return min(times, key=lambda n: TIMES.index(n.lower()), default=None)
