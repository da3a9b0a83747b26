"""The profile of a table: what each column looks like, how columns go together, and how much that varies with time."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from datetime import date, timedelta
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl

from keepfit.datasets.part import JUDGED, Gauge, Part, make_part
from keepfit.datasets.sketch import Floats, Whole, numbers_of
from keepfit.datasets.tally import RUN, Kind, PartName, Seen, Tally, tally_all

MOST_TOGETHER = 32
"""Numeric columns of which every pair is looked at: the first ones."""
EXAMPLES = 5
BARS = 40
Unit = float | None


class Contrast(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a column, and how it varied over the profile's blocks."""

    column: str
    what: str
    """`mean`, `spread`, `skew`, `tails`, `missing`, `share of <level>`, `correlation with <column>` ..."""
    part: PartName | None = None
    """None: of two columns."""
    other: str | None = None
    frequent: bool = True
    """Whether there was enough of it for its figures to be nearly normal."""
    spread: float
    """Variance between blocks, in units of what chance alone does; blocks that follow each other are allowed for."""
    tails: float | None = None
    """Degrees of freedom of a t distribution with tails as heavy as those of the blocks, where they are heavier."""
    rows: float
    """Of a block, on average."""


class ColumnProfile(msgspec.Struct, frozen=True, kw_only=True):
    """One column."""

    name: str
    kind: Kind
    dtype: str
    missing: int
    distinct: int
    exact: bool
    """Whether `distinct` was counted, not estimated."""
    least: float | str | None = None
    most: float | str | None = None
    examples: list[str] = []
    parts: list[Part] = []
    bars: list[int] = []
    """Rows in equal steps from `low` to `high`, for a drawing."""
    low: float = 0.0
    high: float = 0.0
    course: list[Unit] = []
    """By block: the mean of a number or of the length of a text, the share of the commonest level."""
    gaps: list[float] = []
    """By block: the share that is missing."""

    def part(self, what: PartName) -> Part | None:
        """The part of this name, if the column has it."""
        return next((p for p in self.parts if p.what == what), None)


class Together(msgspec.Struct, frozen=True, kw_only=True):
    """How two numeric columns go together, by rank."""

    first: str
    second: str
    correlation: float


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What a table looked like, block by block."""

    rows: int
    time: str | None
    """The column whose days are the blocks; None: runs of rows are."""
    blocks: list[str]
    block_rows: list[int]
    columns: list[ColumnProfile]
    contrasts: list[Contrast]
    together: list[Together]

    def column(self, name: str) -> ColumnProfile | None:
        """The column of this name, if there is one."""
        return next((c for c in self.columns if c.name == name), None)


def profile(
    frame: pl.DataFrame | pl.LazyFrame, *, time: str | None = None, filled_later: Collection[str] = ()
) -> Profile:
    """The profile of a table, read once; `time` says when rows happened, and gaps in `filled_later` mean nothing."""
    return profile_of(tally_all(frame, time=time), time=time, filled_later=filled_later)


def profile_of(found: Tally, *, time: str | None = None, filled_later: Collection[str] = ()) -> Profile:
    """The profile of what was counted."""
    blocks = np.array(sorted(found.rows), dtype=np.int64)
    rows = np.array([found.rows[b] for b in blocks.tolist()], dtype=np.int64)
    columns, contrasts = [], []
    for name, seen in found.columns.items():
        if (made := _column(name, seen, found, blocks, rows)) is None:
            continue
        columns.append(made)
        if name != time:
            contrasts += _contrasts(made, seen, blocks, rows, gaps=name not in filled_later)
    together, pairs = _together(columns, found.sample, blocks, {time})
    return Profile(
        rows=int(rows.sum()),
        time=time,
        blocks=[_named(b << found.length, time) for b in blocks.tolist()],
        block_rows=rows.tolist(),
        columns=columns,
        contrasts=contrasts + pairs,
        together=together,
    )


def judged_parts(column: ColumnProfile, *, gaps: bool = True) -> Iterator[Part]:
    """The parts of a column that windows are held against."""
    if gaps:
        yield from filter(None, [column.part("missing")])
    for what in JUDGED[column.kind]:
        yield from filter(None, [column.part(what)])


def _column(name: str, seen: Seen, found: Tally, blocks: Whole, rows: Whole) -> ColumnProfile | None:
    kind = _kind(seen)
    if kind is None:
        return None
    main = seen.sketches["length" if kind == "text" else "level" if kind == "level" else "value"]
    there = np.zeros(len(blocks), dtype=np.int64)
    np.add.at(there, np.searchsorted(blocks, main.counts["block"].to_numpy()), main.counts["n"].to_numpy())
    exact = seen.moments if seen.moments.size else None
    parts = {what: make_part(what, sketch, exact) for what, sketch in seen.sketches.items()}
    if kind == "text":
        del parts["level"]
    elif kind == "level":
        del parts["length"]
    keys, counts = main.totals()
    values = numbers_of(keys.to_numpy()) if not main.text else np.array([])
    moments = seen.moments
    low, high, bars = _bars(values, counts)
    least: float | str | None
    most: float | str | None
    least, most = (moments.least, moments.most) if moments.size else (None, None)
    if kind == "time" and len(values):
        least, most = (_moment(v, seen.dtype) for v in (values[0], values[-1]))
    gaps = int((rows - there).sum())
    known = seen.sketches["level" if main.text or kind == "text" else "value"]
    return ColumnProfile(
        name=name,
        kind=kind,
        dtype=str(seen.dtype),
        missing=gaps,
        distinct=known.distinct,
        exact=known.whole,
        least=least,
        most=most,
        examples=_examples(found.sample, name),
        parts=[Part(what="missing", levels=["missing"], counts=[gaps, int(there.sum())]), *parts.values()],
        bars=bars,
        low=low,
        high=high,
        course=_course(main.counts, blocks, there, str(keys[0]) if main.text else None) if len(keys) else [],
        gaps=[round(g, 6) for g in ((rows - there) / np.maximum(rows, 1)).tolist()],
    )


def _kind(seen: Seen) -> Kind | None:
    if "level" in seen.sketches:
        return "level" if seen.sketches["level"].whole else "text"
    if "weekday" in seen.sketches:
        return "time"
    return "number" if "value" in seen.sketches else None


def _contrasts(column: ColumnProfile, seen: Seen, blocks: Whole, rows: Whole, *, gaps: bool) -> list[Contrast]:
    made = []
    for part in judged_parts(column, gaps=gaps):
        gauge = Gauge(part)
        if part.what == "missing":
            none = np.round(np.array(column.gaps) * rows).astype(np.int64)
            counts = np.stack([none, rows - none], axis=1)
        else:
            counts = part.of(seen.sketches[part.what], blocks)
        figures, sizes = gauge.figures(counts), counts.sum(axis=1)
        for i, (what, found) in enumerate(zip(gauge.names, _varied(figures, sizes), strict=True)):
            made.append(
                Contrast(
                    column=column.name,
                    what=what if part.what not in ("length", "lead") else f"{what} of {_PARTS[part.what]}",
                    part=part.what,
                    frequent=bool(gauge.frequent[i]),
                    **found._asdict(),
                )
            )
    return made


_PARTS = {"length": "length", "lead": "days before"}


class _Varied(NamedTuple):
    spread: float
    rows: float
    tails: float | None = None


def _varied(figures: Floats, sizes: Whole) -> list[_Varied]:
    """How much each figure (columns), standard but for its sign, varied over blocks (rows).

    The largest counts for no more than chance makes of the largest of so many: else one odd day in training would make
    the next odd day an alarm. Where neighbours are alike (beyond twice the standard error of their correlation), means
    of several windows vary more than by chance, as in a series that remembers its last value.
    """
    there = np.isfinite(figures)
    found, blocks = np.where(there, figures, 0.0), there.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = (found**2).sum(axis=0)
        spread = np.maximum(squares / (blocks - 1), (found**2).max(axis=0, initial=0) / (2 * np.log(2 * blocks)))
        alike = np.nan_to_num((found[1:] * found[:-1]).sum(axis=0) / squares)
        alike = np.where(alike > 2 / np.sqrt(blocks), np.minimum(alike, 0.9), 0.0)
        heavier = np.nan_to_num((found**4).sum(axis=0) * blocks / squares**2) - 3 - 2 * np.sqrt(24 / blocks)
        spread *= (1 + alike) / (1 - alike)
        rows = (there * sizes[:, None]).sum(axis=0) / blocks
    return [
        _Varied(_short(spread[i]), _short(rows[i]), _short(4 + 6 / heavier[i]) if heavier[i] > 0 else None)
        if blocks[i] > 1
        else _Varied(1.0, _short(sizes.mean()) if len(sizes) else 0.0)
        for i in range(figures.shape[1])
    ]


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def correlations(scores: Floats) -> Floats:
    """Fisher's z of the correlation of each pair of columns of scores; NaN for a column that does not vary."""
    if len(scores) < 4:
        return np.full((scores.shape[1],) * 2, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        made: Floats = np.arctanh(
            np.clip(np.corrcoef(scores, rowvar=False).reshape((scores.shape[1],) * 2), -0.999, 0.999)
        )
    return made


def scored(frame: pl.DataFrame, columns: Sequence[ColumnProfile]) -> Floats:
    """The numeric columns of some rows as normal scores."""
    parts = [c.part("value") for c in columns]
    return np.stack([p.scores(frame[c.name]) for c, p in zip(columns, parts, strict=True) if p], axis=1)


def paired(columns: Sequence[ColumnProfile]) -> list[ColumnProfile]:
    """The columns of which every pair is looked at."""
    return [c for c in columns if c.kind == "number" and len(c.parts[1].counts) > 3][:MOST_TOGETHER]


def _together(
    columns: Sequence[ColumnProfile], sample: pl.DataFrame, blocks: Whole, left_out: Collection[str | None]
) -> tuple[list[Together], list[Contrast]]:
    numeric = paired([c for c in columns if c.name not in left_out])
    if len(numeric) < 2 or sample.height < 4:
        return [], []
    scores, block = scored(sample, numeric), sample["keepfit block"].to_numpy()
    every = correlations(scores)
    groups = [scores[block == b] for b in blocks.tolist()]
    sizes = np.array([len(g) for g in groups])
    with np.errstate(invalid="ignore"):
        roots = np.sqrt(np.maximum(sizes - 3, 0))[:, None, None]
        apart = np.stack([correlations(g) for g in groups]) - every
        figures = np.where(roots > 0, apart * roots, np.nan)
    places = [(i, j) for i in range(len(numeric)) for j in range(i) if math.isfinite(every[i, j])]
    across, down = (np.array(p, dtype=np.int64) for p in (zip(*places, strict=True) if places else ((), ())))
    together, contrasts = [], []
    for (i, j), found in zip(places, _varied(figures[:, across, down], sizes), strict=True):
        first, second = numeric[j].name, numeric[i].name
        together.append(Together(first=first, second=second, correlation=_short(math.tanh(every[i, j]))))
        contrasts.append(
            Contrast(
                column=first,
                what=f"correlation with {second}",
                other=second,
                **found._asdict(),
            )
        )
    return together, contrasts


def _course(counts: pl.DataFrame, blocks: Whole, there: Whole, level: str | None) -> list[Unit]:
    """By block: the share of a level, or the mean of numbers."""
    row = np.searchsorted(blocks, counts["block"].to_numpy())
    if level is not None:
        weight = np.where((counts["key"] == level).to_numpy(), 1.0, 0.0)
    else:
        weight = numbers_of(counts["key"].to_numpy())
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.bincount(row, counts["n"].to_numpy() * weight, minlength=len(blocks)) / there
    return [_short(v) if math.isfinite(v) else None for v in found.tolist()]


def _bars(values: Floats, counts: Whole) -> tuple[float, float, list[int]]:
    """Equal steps between the ends of the middle 99 in 100, what lies outside of them left out."""
    finite = np.isfinite(values)
    values, counts = values[finite], counts[finite] if len(values) else counts[:0]
    if len(values) < 2:
        return 0.0, 0.0, []
    place = np.cumsum(counts) / counts.sum()
    low, high = values[np.searchsorted(place, 0.005)], values[np.searchsorted(place, 0.995)]
    if low == high:
        low, high = values[0], values[-1]
    steps = min(BARS, len(values))
    made, _ = np.histogram(values, bins=steps, range=(low, high), weights=counts)
    return float(low), float(high), made.astype(np.int64).tolist()


def _examples(sample: pl.DataFrame, name: str) -> list[str]:
    if name not in sample.columns:
        return []
    found = sample[name].drop_nulls().head(200).unique(maintain_order=True).head(EXAMPLES)
    return [str(value)[:80] for value in found.to_list()]


def _moment(days: float, dtype: pl.DataType) -> str:
    try:
        moment = date(1970, 1, 1) + timedelta(days=math.floor(days))
    except OverflowError:
        return f"{days:g} days since 1970"
    seconds = round((days - math.floor(days)) * 86_400)
    clock = "" if dtype == pl.Date() else f" {seconds // 3600:02}:{seconds // 60 % 60:02}"
    return f"{moment}{clock}"


def _named(block: int, time: str | None) -> str:
    return _moment(block, pl.Date()) if time else f"row {block * RUN:,}"
