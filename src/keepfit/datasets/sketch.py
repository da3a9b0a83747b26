"""Counts of a column by block of time that stay small and can be added up: the same, in whatever parts they are taken.

Each sketch keeps at most LIMIT different keys. When there are more, keys are made coarser: of a number, low bits of
its mantissa are dropped; of texts, those whose hash ends in a one are forgotten (the adaptive sampling of Wegman;
Flajolet, Computing 43, 1990). How coarse follows from which values there are, not from their order or from the parts
they came in: so that adding the sketches of two tables gives the sketch of the two together, exactly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

LIMIT = 512
"""Different keys that are kept of a column."""
BLOCKS = 128
"""Different blocks; of more, neighbours become one."""
FINEST = 12
"""Bits of a number that never count: they leave twelve digits."""
_PROBE = 16_384
Whole = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Blocks(NamedTuple):
    """The blocks there are, and which of them each row belongs to."""

    names: Whole
    of: Whole


class Sketch(NamedTuple):
    """How often each key was there in each block."""

    counts: pl.DataFrame
    """`block`, `key` (the bits of a number, or a text) and `n`."""
    grain: int
    """How coarse the keys are."""

    @property
    def text(self) -> bool:
        return self.counts.schema["key"] == pl.String()

    @property
    def distinct(self) -> int:
        """How many different values there were, about; a number's up to its grain."""
        keys = self.counts["key"].n_unique()
        return keys << self.grain if self.text else keys

    @property
    def whole(self) -> bool:
        """Whether each value has a key of its own."""
        return self.grain <= (0 if self.text else FINEST)

    def numbers(self) -> Floats:
        """The keys of numbers, one for each row of the counts."""
        return numbers_of(self.counts["key"].to_numpy())

    def alone(self) -> Whole:
        """For each row of the counts whether no other block has such a text, or a number so high (1) or so low (-1)."""
        _, block = np.unique(self.counts["block"].to_numpy(), return_inverse=True)
        made = _zeros(len(block))
        if not len(block) or not block.max():
            return made
        if self.text:
            return self.counts.select(pl.col("block").len().over("key") == 1).to_series().cast(pl.Int64).to_numpy()
        for side in (1, -1):
            numbers = side * self.numbers()
            ends = np.full(block.max() + 1, -np.inf)
            np.maximum.at(ends, block, numbers)
            made[(block == ends.argmax()) & (numbers > np.partition(ends, -2)[-2])] = side
        return made

    def totals(self) -> tuple[pl.Series, Whole]:
        """Keys in order, and how often each was there: numbers by size, texts by how frequent they are."""
        found = self.counts.group_by("key").agg(pl.col("n").sum())
        if self.text:
            found = found.sort("n", "key", descending=[True, False])
            return found["key"], found["n"].to_numpy()
        order = np.argsort(numbers_of(found["key"].to_numpy()))
        return found["key"].gather(order), found["n"].to_numpy()[order]


def sketch_numbers(values: pl.Series, blocks: Blocks | None = None, *, grain: int | None = None) -> Sketch:
    """The sketch of numbers, missing ones and NaN left out; with `grain`, exactly so coarse."""
    found = floats_of(values)
    there = ~np.isnan(found)
    if not there.all():
        found = found[there]
        blocks = blocks._replace(of=blocks.of[there]) if blocks else None
    bits = bits_of(found)
    if grain is not None:
        return Sketch(_count(bits, grain, blocks), grain)
    grain = _grain(bits[:: max(1, len(bits) // _PROBE)])  # of all values there are no fewer than of some
    return _fit(Sketch(_count(bits, grain, blocks), grain))


def sketch_texts(values: pl.Series, blocks: Blocks | None = None) -> Sketch:
    """The sketch of texts, missing ones left out."""
    frame = pl.DataFrame({"block": blocks.names[blocks.of] if blocks else _zeros(len(values)), "key": values})
    probe = values.gather_every(max(1, len(values) // _PROBE)).drop_nulls().unique().hash().to_numpy()
    grain = 0
    while np.count_nonzero(probe % (1 << grain) == 0) > LIMIT:
        grain += 1
    kept = pl.col("key").is_not_null() & (pl.col("key").hash() % (1 << grain) == 0 if grain else True)
    counts = frame.lazy().filter(kept).group_by("block", "key").len("n").collect()
    return _fit(Sketch(counts.cast({"n": pl.Int64}), grain))


def sketch_lengths(values: pl.Series, texts: Sketch, blocks: Blocks | None = None) -> Sketch:
    """The sketch of how long texts are; `texts` is theirs."""
    if texts.grain:
        return sketch_numbers(values.str.len_chars(), blocks)
    lengths = texts.counts.with_columns(pl.col("key").str.len_chars().cast(pl.Float64))
    bits = pl.Series(bits_of(floats_of(lengths["key"])) >> FINEST << FINEST)
    return _fit(Sketch(_sum(lengths.with_columns(key=bits)), FINEST))


def add_sketches(first: Sketch, second: Sketch) -> Sketch:
    """The sketch of both together."""
    grain = max(first.grain, second.grain)
    both = [_coarser(s, grain).counts for s in (first, second)]
    return _fit(Sketch(_sum(pl.concat(both)), grain))


def with_blocks(sketch: Sketch, shift: int) -> Sketch:
    """The same by blocks that are 2^shift times as long."""
    return sketch._replace(counts=_sum(sketch.counts.with_columns(pl.col("block") // (1 << shift))))


def floats_of(values: pl.Series) -> Floats:
    """A column as numbers; NaN where it is missing, or no number."""
    made: Floats = values.cast(pl.Float64, strict=False).to_numpy()
    return made


def bits_of(values: Floats) -> Whole:
    """Numbers as their bits; dropping low ones drops digits, and leaves numbers in order."""
    return (values + 0.0).view(np.int64)  # + 0.0: there is one zero


def numbers_of(bits: Whole) -> Floats:
    """Bits as the numbers they stand for."""
    return np.ascontiguousarray(bits).view(np.float64)


def cut(values: Floats, grain: int) -> Floats:
    """Numbers without their lowest bits."""
    return numbers_of(bits_of(values) >> grain << grain)


def number_blocks(blocks: Whole) -> Blocks:
    """Rows by the numbers of their blocks, which may be any."""
    if not len(blocks):
        return Blocks(_zeros(1), blocks)
    least = int(blocks.min())
    present = np.zeros(int(blocks.max()) - least + 1, dtype=np.int64)
    present[blocks - least] = 1
    return Blocks(np.flatnonzero(present) + least, (np.cumsum(present) - 1)[blocks - least])


def _count(bits: Whole, grain: int, blocks: Blocks | None) -> pl.DataFrame:
    """Counts by block and key; both travel as one number, the block in the bits that do not count."""
    both = bits >> grain << grain
    if blocks:
        both |= blocks.of
    found = pl.DataFrame({"key": both}).lazy().group_by("key").len("n").collect()
    keys = found["key"].to_numpy()
    low = keys & ((1 << FINEST) - 1)
    names = blocks.names if blocks else _zeros(1)
    return pl.DataFrame({"block": names[low], "key": keys ^ low, "n": found["n"].cast(pl.Int64)})


def _grain(bits: Whole) -> int:
    """The finest grain by which no more than LIMIT of these differ."""
    some = np.sort(bits)
    apart = (some[1:] ^ some[:-1]).view(np.uint64)
    if len(apart) < LIMIT:
        return FINEST
    return max(FINEST, int(np.partition(apart, -LIMIT)[-LIMIT]).bit_length())


def _fit(sketch: Sketch) -> Sketch:
    if not sketch.text:
        return _coarser(sketch, max(sketch.grain, _grain(sketch.counts["key"].to_numpy())))
    while sketch.counts["key"].n_unique() > LIMIT:
        sketch = _coarser(sketch, sketch.grain + 1)
    return sketch


def _coarser(sketch: Sketch, grain: int) -> Sketch:
    if grain == sketch.grain:
        return sketch
    counts, key = sketch.counts, sketch.counts["key"]
    if sketch.text:
        return Sketch(counts.filter(key.hash() % (1 << grain) == 0), grain)
    return Sketch(_sum(counts.with_columns(key=pl.Series(key.to_numpy() >> grain << grain))), grain)


def _sum(counts: pl.DataFrame) -> pl.DataFrame:
    return counts.group_by("block", "key").agg(pl.col("n").sum())


def _zeros(length: int) -> Whole:
    return np.zeros(length, dtype=np.int64)
