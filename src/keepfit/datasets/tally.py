"""What is counted of a table in one pass: sketches by block of time, moments, and a sample of rows; tallies add up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from keepfit.datasets.sketch import (
    BLOCKS,
    Blocks,
    Sketch,
    Whole,
    add_sketches,
    number_blocks,
    sketch_lengths,
    sketch_numbers,
    sketch_texts,
    with_blocks,
)

Kind = Literal["number", "level", "text", "time"]
PartName = Literal["missing", "value", "level", "length", "weekday", "hour", "lead"]
"""What is counted of a column."""
SAMPLE = 20_000
"""Rows that are kept as they are, to see how columns go together."""
HASHED = 8
"""Columns that lots are drawn by: rows that are alike in them go together."""
RUN = 64
"""Rows that are one block, at first, where there is no time."""
BATCH = 1_000_000
DAY = 86_400 * 1_000_000
_BLOCK, _HASH = "keepfit block", "keepfit hash"


class Moments(NamedTuple):
    """Of the finite numbers there were."""

    size: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of the squared distances from the mean."""
    least: float = math.inf
    most: float = -math.inf

    def with_(self, other: Moments) -> Moments:
        """Those of both together (Chan, Golub, LeVeque 1979)."""
        size, apart = self.size + other.size, other.mean - self.mean
        if not self.size or not other.size:
            return self if self.size else other
        return Moments(
            size,
            self.mean + apart * other.size / size,
            self.squares + other.squares + apart * apart * self.size * other.size / size,
            min(self.least, other.least),
            max(self.most, other.most),
        )

    @property
    def spread(self) -> float:
        """The standard deviation."""
        return math.sqrt(self.squares / (self.size - 1)) if self.size > 1 else 0.0


class Seen(NamedTuple):
    """One column."""

    dtype: pl.DataType
    sketches: dict[PartName, Sketch]
    moments: Moments


class Tally(NamedTuple):
    """A table, or a part of one."""

    rows: dict[int, int]
    """By block."""
    length: int
    """So many days, or runs of rows, are one block: 2^length."""
    columns: dict[str, Seen]
    sample: pl.DataFrame
    thin: int
    """One row in 2^thin is in the sample."""


def tally(frame: pl.DataFrame, *, time: str | None = None, blocks: pl.Series | None = None, first: int = 0) -> Tally:
    """What is counted of these rows, the first of which has the number `first`.

    Blocks are the days of `time`, else runs of rows, or whole numbers that are given.
    """
    texts = [n for n, t in frame.schema.items() if isinstance(t, pl.Categorical | pl.Enum | pl.Boolean)]
    frame = frame.with_columns(pl.col(texts).cast(pl.String)) if texts else frame
    found = blocks.to_numpy().astype(np.int64) if blocks is not None else _blocks(frame, time, first)
    numbered = number_blocks(found)
    length = _length(numbered.names, 0)
    numbered = number_blocks(found >> length) if length else numbered
    moments = _moments(frame)
    with ThreadPoolExecutor(2) as pool:
        sketches = pool.map(lambda name: _sketches(frame, name, time, numbered), frame.columns)
        columns = {
            name: Seen(frame.schema[name], made, moments.get(name, Moments()))
            for name, made in zip(frame.columns, sketches, strict=True)
        }
    counts = np.bincount(numbered.of, minlength=len(numbered.names))
    rows = dict(zip(numbered.names.tolist(), counts.tolist(), strict=True)) if frame.height else {}
    return Tally(rows, length, columns, *_sample(frame, numbered))


def add(first: Tally, second: Tally) -> Tally:
    """The tally of both together; only the columns of both are in it."""
    every = np.unique(np.array([b << t.length for t in (first, second) for b in t.rows], dtype=np.int64))
    length = _length(every, max(first.length, second.length))
    first, second = _longer(first, length), _longer(second, length)
    rows = {b: first.rows.get(b, 0) + second.rows.get(b, 0) for b in [*first.rows, *second.rows]}
    columns = {
        name: Seen(
            one.dtype,
            {k: add_sketches(s, two.sketches[k]) for k, s in one.sketches.items() if k in two.sketches},
            one.moments.with_(two.moments),
        )
        for name, one in first.columns.items()
        if (two := second.columns.get(name))
    }
    sample, thin = pl.concat([first.sample, second.sample], how="diagonal_relaxed"), max(first.thin, second.thin)
    return Tally(rows, length, columns, *_thinner(sample, thin))


def tally_all(frame: pl.LazyFrame | pl.DataFrame, *, time: str | None = None) -> Tally:
    """The tally of a table that need not fit into memory; its rows are read once, in their order."""
    if isinstance(frame, pl.DataFrame):
        frames: Iterable[pl.DataFrame] = (frame.slice(i, BATCH) for i in range(0, max(frame.height, 1), BATCH))
    else:
        frames = frame.collect_batches(chunk_size=BATCH, maintain_order=True)
    return reduce(add, _parts(frames, time))


def _parts(frames: Iterable[pl.DataFrame], time: str | None) -> Iterable[Tally]:
    first = 0
    for frame in frames:
        yield tally(frame, time=time, first=first)
        first += frame.height


def _sketches(frame: pl.DataFrame, name: str, time: str | None, blocks: Blocks) -> dict[PartName, Sketch]:
    values = frame[name]
    dtype = values.dtype
    if dtype == pl.String():
        texts = sketch_texts(values, blocks)
        return {"level": texts, "length": sketch_lengths(values, texts, blocks)}
    if dtype.is_numeric():
        return {"value": sketch_numbers(values, blocks)}
    if dtype not in (pl.Date, pl.Datetime):
        return {}
    parts: dict[PartName, pl.Series] = {
        "value": days_of(values),
        **time_parts(values, frame[time] if time and time != name else None),
    }
    return {part: sketch_numbers(found, blocks) for part, found in parts.items()}


def days_of(values: pl.Series) -> pl.Series:
    """Days since 1970, with fractions."""
    return values.cast(pl.Datetime("us")).cast(pl.Int64) / DAY


def time_parts(values: pl.Series, event: pl.Series | None) -> dict[PartName, pl.Series]:
    """What can be compared of times: weekday, hour, and how many days before the event they are."""
    parts: dict[PartName, pl.Series] = {"weekday": values.dt.weekday()}
    if values.dtype != pl.Date():
        parts["hour"] = values.dt.hour()
    if event is not None:
        parts["lead"] = days_of(event) - days_of(values)
    return parts


def _blocks(frame: pl.DataFrame, time: str | None, first: int) -> Whole:
    if time is None:
        return np.arange(first, first + frame.height, dtype=np.int64) // RUN
    days = frame[time].cast(pl.Date).cast(pl.Int64).fill_null(0)
    return days.to_numpy().astype(np.int64)


def _length(blocks: Whole, least: int) -> int:
    """How many times blocks must be doubled until there are few enough."""
    while len(np.unique(blocks >> least)) > BLOCKS:
        least += 1
    return least


def _longer(found: Tally, length: int) -> Tally:
    by = length - found.length
    if not by:
        return found
    rows: dict[int, int] = {}
    for block, count in found.rows.items():
        rows[block >> by] = rows.get(block >> by, 0) + count
    columns = {
        n: s._replace(sketches={k: with_blocks(v, by) for k, v in s.sketches.items()}) for n, s in found.columns.items()
    }
    sample = found.sample.with_columns(pl.col(_BLOCK) // (1 << by))
    return found._replace(rows=rows, length=length, columns=columns, sample=sample)


def _moments(frame: pl.DataFrame) -> dict[str, Moments]:
    numeric = [n for n, t in frame.schema.items() if t.is_numeric()]
    every = {n: pl.col(n).cast(pl.Float64) for n in numeric}
    found = _measured(frame, every)
    odd = [n for n, m in found.items() if not math.isfinite(m.mean + m.squares)]
    return found | _measured(frame, {n: pl.when(every[n].is_finite()).then(every[n]) for n in odd})


def _measured(frame: pl.DataFrame, columns: Mapping[str, pl.Expr]) -> dict[str, Moments]:
    measures = [
        getattr(value, what)().alias(f"{i} {what}")
        for i, value in enumerate(columns.values())
        for what in ("count", "mean", "var", "min", "max")
    ]
    found = iter(frame.select(measures).row(0) if measures else ())
    made = {}
    for name in columns:
        count, mean, var, least, most = (next(found) for _ in range(5))
        made[name] = Moments(count, mean, (var or 0.0) * (count - 1), least, most) if count else Moments()
    return made


def _sample(frame: pl.DataFrame, blocks: Blocks) -> tuple[pl.DataFrame, int]:
    usable = frame.select(c for c in frame.columns if not frame.schema[c].is_nested())
    if not usable.width:
        return pl.DataFrame(schema={_BLOCK: pl.Int64, _HASH: pl.UInt64}), 0
    hashes = usable.select(usable.columns[:: math.ceil(usable.width / HASHED)]).hash_rows()
    thin = _thin(hashes.to_numpy(), 0)
    kept = (hashes % (1 << thin) == 0).arg_true()
    return usable[kept].with_columns(pl.Series(_BLOCK, blocks.names[blocks.of[kept]]), hashes[kept].alias(_HASH)), thin


def _thinner(rows: pl.DataFrame, thin: int) -> tuple[pl.DataFrame, int]:
    thin = _thin(rows[_HASH].to_numpy(), thin)
    return rows.filter(pl.col(_HASH) % (1 << thin) == 0), thin


def _thin(hashes: npt.NDArray[np.uint64], least: int) -> int:
    """The least number of last bits that few enough hashes have all zero; of many alike, none may be left."""
    left = hashes[hashes % (1 << least) == 0]
    while len(left) > SAMPLE and (left != left[0]).any():
        least += 1
        left = left[left % (1 << least) == 0]
    return least
