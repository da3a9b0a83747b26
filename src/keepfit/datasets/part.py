"""What can be compared of a column: its values, levels, lengths, hours or gaps, counted in a few cells."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import NormalDist

import msgspec
import numpy as np
import polars as pl

from keepfit.datasets.sketch import Floats, Sketch, Whole, cut, floats_of, numbers_of, sketch_numbers
from keepfit.datasets.tally import Kind, Moments, PartName, days_of, time_parts

LEVELS = 12
"""Levels that are compared one by one; the others are compared as one."""
CUTS = np.array([0.005, 0.01, 0.02, 0.035, 0.05, 0.075, *np.arange(0.1, 0.95, 0.05), 0.925, 0.95, 0.965, 0.98, 0.99])
"""Shares of the values at which numbers are cut into cells: finer where the ends are."""
SCORES = ("mean", "spread", "skew", "tails")
JUDGED: dict[Kind, tuple[PartName, ...]] = {
    "number": ("value",),
    "level": ("level",),
    "text": ("length",),
    "time": ("weekday", "hour", "lead"),
}
_NUMBERS = ("value", "length", "lead")
MANY = 50_000
"""Rows from which on numbers are counted before they are put into cells."""
_NORMAL = NormalDist()
_TILTS = np.sinh(np.linspace(-4, 4, 129))


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is compared, and how often each of its cells was there."""

    what: PartName
    counts: list[int]
    """By cell: of numbers first and last what lies outside of all that was seen; of levels last those never seen."""
    edges: list[float] = []
    """Where cells of numbers begin, the first excepted."""
    grain: int = 0
    """How coarse the numbers are that are held against the edges."""
    levels: list[str] = []
    alone: int = 0
    """Rows with a level, or a number outside of the range, that no other block has: so much is new in new blocks, too
    (the estimate of Good and Turing; Biometrika 40, 1953)."""
    mean: float | None = None
    sd: float | None = None

    @property
    def cells(self) -> list[str]:
        """The names of the cells."""
        if self.what not in _NUMBERS:
            return [*self.levels, "levels never seen"]
        ends = [f"{edge:.4g}" for edge in self.edges]
        return [f"below {ends[0]}", *(f"{a} to {b}" for a, b in pairwise(ends)), f"above {ends[-1]}"]

    def numbers(self, values: pl.Series, event: pl.Series | None = None) -> pl.Series:
        """What is compared of the values of the column; `event`: when their rows happened."""
        if self.what in ("weekday", "hour", "lead"):
            found = time_parts(values, event).get(self.what)
            return values.clear() if found is None else found
        if self.what == "length":
            return values.cast(pl.String).str.len_chars()
        return days_of(values) if isinstance(values.dtype, pl.Date | pl.Datetime) else values

    def count(self, values: pl.Series, event: pl.Series | None = None) -> Whole:
        """How often each cell is there among these values of the column; `event`: when their rows happened."""
        if self.what == "missing":
            gaps = missing(values)
            return np.array([gaps, len(values) - gaps])
        values = self.numbers(values, event)
        if self.what in _NUMBERS:
            found, often = floats_of(values), None
            if len(found) > MANY:
                keys, often = sketch_numbers(values, grain=self.grain).totals()
                found = numbers_of(keys.to_numpy())
            places = self.places(found[~np.isnan(found)])
            return np.bincount(places, often, minlength=len(self.counts)).astype(np.int64)
        levels = values.drop_nulls().cast(pl.String).value_counts(name="n")
        return self._placed(levels.to_series(0).to_list(), levels["n"].to_numpy())

    def of(self, sketch: Sketch, blocks: Whole) -> Whole:
        """How often each cell was there in each of these blocks of a sketch; what no other block has, as never seen."""
        counts = sketch.counts
        row = np.searchsorted(blocks, counts["block"].to_numpy())
        made = np.zeros((len(blocks), len(self.counts)), dtype=np.int64)
        alone = sketch.alone()
        if self.what in _NUMBERS:
            cell = np.where(alone, np.where(alone > 0, len(self.counts) - 1, 0), self.places(sketch.numbers()))
        else:
            number = {level: i for i, level in enumerate(self.levels)}
            cell = np.array([number.get(k, len(number)) for k in names_of(counts["key"])], dtype=np.int64)
            cell = np.where(alone, len(number), cell)
        np.add.at(made, (row, cell), counts["n"].to_numpy())
        return made

    def scores(self, values: pl.Series) -> Floats:
        """Each number by where it lies among those seen, as a standard normal number; 0 where it is missing."""
        found = floats_of(values)
        there = ~np.isnan(found)
        return np.where(there, normal_scores(self)[self.places(np.where(there, found, 0.0))], 0.0)

    def places(self, numbers: Floats) -> Whole:
        """The cell that each number is in."""
        return np.searchsorted(self.edges, cut(numbers, self.grain), side="right")

    def _placed(self, names: list[str], counts: Whole) -> Whole:
        number = {level: i for i, level in enumerate(self.levels)}
        made = np.zeros(len(self.counts), dtype=np.int64)
        for name, count in zip(names, counts.tolist(), strict=True):
            made[number.get(name, len(number))] += count
        return made


def make_part(what: PartName, sketch: Sketch, moments: Moments | None = None) -> Part:
    """The part that a sketch is of, cut into cells; `moments` where they are known better than from the sketch."""
    keys, counts = sketch.totals()
    if what not in _NUMBERS:
        names = names_of(keys)
        order = sorted(range(len(names)), key=lambda i: (-counts[i], names[i]))
        return Part(
            what=what,
            levels=[names[i] for i in order],
            counts=[*(int(counts[i]) for i in order), 0],
            alone=_alone(sketch),
        )
    values = numbers_of(keys.to_numpy())
    if not len(values):
        return Part(what=what, counts=[0, 0], edges=[0.0], grain=sketch.grain)
    middle = (np.cumsum(counts) - counts / 2) / counts.sum()
    slot = np.searchsorted(CUTS, middle)
    starts = np.flatnonzero(np.diff(slot, prepend=-1))
    edges = [*values[starts].tolist(), float(np.nextafter(values[-1], math.inf))]
    inside = np.add.reduceat(counts, starts).tolist()
    if moments is None:
        finite = np.isfinite(values)
        some, weight = values[finite], counts[finite]
        mean = float(some @ weight / max(weight.sum(), 1))
        moments = Moments(int(weight.sum()), mean, float((some - mean) ** 2 @ weight))
    return Part(
        what=what,
        counts=[0, *inside, 0],
        edges=edges,
        grain=sketch.grain,
        alone=_alone(sketch),
        mean=moments.mean if moments.size else None,
        sd=moments.spread if moments.size else None,
    )


def _alone(sketch: Sketch) -> int:
    return int(sketch.counts["n"].to_numpy()[sketch.alone() != 0].sum())


def missing(values: pl.Series) -> int:
    """Values that are not there, or not a number."""
    return int(np.isnan(floats_of(values)).sum()) if values.dtype.is_float() else values.null_count()


def names_of(keys: pl.Series) -> list[str]:
    """The keys of a sketch as the names of levels; numbers are whole."""
    if keys.dtype == pl.String():
        return [str(k) for k in keys.to_list()]
    return [f"{value:g}" for value in numbers_of(keys.to_numpy())]


def normal_scores(part: Part) -> Floats:
    """For each cell of numbers, the mean of a standard normal variable over its share."""
    counts = np.array(part.counts[1:-1], dtype=np.float64)
    if not counts.sum():
        return np.zeros(len(part.counts))
    share = counts / counts.sum()
    ends = np.clip(np.concatenate([[0.0], np.cumsum(share)]), 0, 1)
    density = [_NORMAL.pdf(_NORMAL.inv_cdf(e)) if 1e-12 < e < 1 - 1e-12 else 0.0 for e in ends]
    found = -np.diff(density) / share
    return np.concatenate([found[:1], found, found[-1:]])


class Gauge:
    """The figures of one part, each in units of what chance alone does to it in a window.

    A figure is the mean of a bounded score over the rows, made standard. Beside its plain z-value stands the signed
    root of twice the exponent by which Chernoff's bound (Annals of Mathematical Statistics 23, 1952) limits its
    chance; of the two, the one nearer to zero is taken: so that neither a skewed score nor a rare level looks like more
    evidence than it is, in however few rows. The share of a level seen c times in n rows may be anything from c to
    c + 1 in n + 2.
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        counts = np.array(part.counts, dtype=np.float64)
        total = counts.sum()
        self.names: list[str] = []
        self.cells: list[list[int]] = []
        """Of each share, which come last, the cells that are counted."""
        self._scores, self._tables = np.zeros((0, len(counts))), []
        if part.what in _NUMBERS and total:
            share = (counts + np.array([0.5, *[0.0] * (len(counts) - 2), 0.5])) / (total + 1)
            self._scores = _polynomials(normal_scores(part), share)
            self._tables = [_tilted(score, share) for score in self._scores]
            self._centres = self._scores @ share
            self.names = list(SCORES[: len(self._scores)])
        for name, cells in _shares(part) if total else ():
            self.names.append(name)
            self.cells.append(cells)
        inside = np.array([counts[cells].sum() + part.alone * (cells[-1] == len(counts) - 1) for cells in self.cells])
        self._low, self._high = inside / (total + 2), (inside + 1) / (total + 2)
        self.frequent = np.array([True] * len(self._tables) + [bool(i >= 0.001 * total) for i in inside])
        """Which figures are nearly normal."""

    def figures(self, counts: Whole) -> Floats:
        """The figures of windows (rows) given the counts of their cells (columns); NaN where there is nothing."""
        total = counts.sum(axis=-1, keepdims=True).astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = counts @ self._scores.T / total - (self._centres if self._tables else 0.0)
            bounds = [np.interp(mean[..., i], *table) for i, table in enumerate(self._tables)]
            found = np.stack([counts[..., cells].sum(axis=-1) for cells in self.cells] or [total[..., 0]], axis=-1)
            share = (found / total)[..., : len(self.cells)]
            near = np.clip(share, self._low, self._high)
            plain = np.where(share == near, 0.0, (share - near) / np.sqrt(near * (1 - near)))
            both = np.concatenate([mean, plain], axis=-1)
            bound = np.concatenate([np.stack([*bounds], axis=-1) if bounds else mean, _divergence(share, near)], -1)
            made: Floats = np.sign(both) * np.minimum(abs(both), abs(bound))
            if len(self._tables) == len(SCORES):
                _leave_shape(made)
            made *= np.sqrt(total)
        return made


def _leave_shape(found: Floats) -> None:
    """Take from scale what location explains, and from skewness and tails what the two do, as for normal numbers.

    Else a day far to one side of all others, each of which was only somewhat to one side, would be skewed beyond
    anything seen. Nothing gets farther from zero by this, or to its other side.
    """
    mean = found[..., 0]
    wider = math.sqrt(2) * found[..., 1] - mean**2
    explained = (
        mean**2 / math.sqrt(2),
        (mean**3 + 3 * mean * wider) / math.sqrt(6),
        (mean**4 + 6 * mean**2 * wider + 3 * wider**2) / math.sqrt(24),
    )
    for i, part in enumerate(explained, 1):
        whole = found[..., i]
        found[..., i] = np.clip(whole - part, np.minimum(whole, 0), np.maximum(whole, 0))


def _shares(part: Part) -> list[tuple[str, list[int]]]:
    last = len(part.counts) - 1
    if part.what == "missing":
        return [("missing", [0])]
    if part.what in _NUMBERS:
        return [("outside the range seen", [0, last])]
    if part.what in ("weekday", "hour"):
        return [(f"share of {part.what} {level}", [i]) for i, level in enumerate(part.levels)]
    few = part.levels[:LEVELS] if len(part.levels) != 2 else part.levels[:1]  # of two, one says what the other does
    named = [(f"share of {level}", [i]) for i, level in enumerate(few)]
    others = [("share of other levels", list(range(LEVELS, last)))] if last > LEVELS else []
    return [*named, *others, ("levels never seen", [last])]


def _polynomials(scores: Floats, share: Floats) -> Floats:
    """Orthonormal polynomials of the scores, from degree 1 to 4: location, scale, skewness, tails."""
    inside = share[1:-1] > 0
    degree = min(len(SCORES), int(inside.sum()) - 1)
    powers = np.stack([scores**d for d in range(degree + 1)], axis=1)
    root = np.sqrt(share)[:, None]
    _, upper = np.linalg.qr(root * powers)
    made: Floats = (powers @ np.linalg.inv(upper * np.sign(np.diag(upper))[:, None])).T[1:]
    return made


def _tilted(score: Floats, share: Floats) -> tuple[Floats, Floats]:
    """Means that an exponentially tilted score can have, and the signed roots of twice their divergences."""
    centre = float(score @ share)
    apart = score - centre
    exponents = _TILTS[:, None] * apart
    high = exponents.max(axis=1, keepdims=True)
    weights = share * np.exp(exponents - high)
    total = weights.sum(axis=1)
    mean = weights @ apart / total
    divergence = _TILTS * mean - (np.log(total) + high[:, 0])
    return mean, np.sign(_TILTS) * np.sqrt(2 * np.maximum(divergence, 0))


def _divergence(found: Floats, share: Floats) -> Floats:
    """Signed roots of twice the divergence (Kullback, Leibler) of shares from those expected."""
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(p > 0, p * np.log(p / q), 0.0) for p, q in ((found, share), (1 - found, 1 - share))]
    made: Floats = np.sign(found - share) * np.sqrt(2 * np.maximum(parts[0] + parts[1], 0))
    return made
