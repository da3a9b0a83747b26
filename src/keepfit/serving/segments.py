"""The old part of the prediction log: Parquet files named after the event times and journals they hold.

    <first event time>-<last event time>-<first journal>-<last journal>.parquet

A segment that covers a range of journals replaces those journals, and every segment that
covers part of the range: readers and the next start pass over what is replaced, so that a crash
between writing the new and removing the old neither loses nor repeats a row.

Files that a batch has predicted bring their part of the log ready-made, in a folder of their own, and are left as
they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, NamedTuple

import polars as pl

from keepfit.core.files import write_file
from keepfit.datasets.refusal import refusals

SMALL = 8_000_000
"""Bytes below which a segment may be merged with its neighbours."""
MANY = 32
"""Small segments in a row that are merged into one."""


class Segment(NamedTuple):
    """One file of the log."""

    path: Path
    since: datetime
    until: datetime
    """Event times of the first and the last row, both included."""
    first: str
    last: str
    """Journals it holds."""

    def covers(self, first: str, last: str) -> bool:
        return self.first <= first and last <= self.last


def segments(folder: Path) -> list[Segment]:
    """The segments that count, in order of their journals; then those of batches."""
    return [*_served(folder), *sorted(_segment(p) for p in folder.glob("batch/*.parquet"))]


def _served(folder: Path) -> list[Segment]:
    found = sorted((_segment(p) for p in folder.glob("*.parquet")), key=lambda s: s.last, reverse=True)
    found.sort(key=lambda s: s.first)  # stable: of those that begin alike, the longest comes first
    kept: list[Segment] = []
    for segment in found:
        if not kept or not kept[-1].covers(segment.first, segment.last):
            kept.append(segment)
    return kept


def write_segment(folder: Path, rows: pl.DataFrame, first: str, last: str) -> None:
    """Put rows in place durably as the segment of these journals; raises StoreError."""
    times = rows["event_time"]

    def write(file: IO[bytes]) -> None:
        with refusals():
            rows.write_parquet(file, compression="zstd", statistics=True)

    write_file(folder / segment_name(times.min(), times.max(), first, last), write)


def segment_name(since: object, until: object, first: str, last: str) -> str:
    """What the file of a segment is called, from the first and the last event time and journal in it."""
    return f"{_text(since)}-{_text(until)}-{first}-{last}.parquet"


def remove_replaced(folder: Path) -> None:
    """Remove files whose rows are in another segment; harmless to repeat."""
    counting = _served(folder)
    paths = {segment.path for segment in counting}
    for path in folder.glob("*.parquet"):
        if path not in paths:
            path.unlink(missing_ok=True)
    for path in folder.glob("*.journal"):
        if any(s.covers(path.stem, path.stem) for s in counting):
            path.unlink(missing_ok=True)


def merge_small(folder: Path) -> None:
    """Merge the newest segments into one when they have become many."""
    tail: list[Segment] = []
    for segment in reversed(_served(folder)):
        if segment.path.stat().st_size >= SMALL:
            break
        tail.insert(0, segment)
    if len(tail) < MANY:
        return
    first, last = tail[0].first, tail[-1].last
    if not any(first <= journal.stem <= last for journal in folder.glob("*.journal")):
        rows = together([pl.read_parquet(s.path, glob=False) for s in tail])
        write_segment(folder, rows, first, last)
        remove_replaced(folder)


def newest(folder: Path) -> int:
    """When the newest journal was opened (milliseconds since 1970), whether it is still one or in a segment by now."""
    names = [p.stem for p in folder.glob("*.journal")] + [s.last for s in segments(folder)]
    return max((int(name[:12], 16) for name in names), default=0)


def together(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """One table of all rows, whose columns are those of any."""
    return tables[0] if len(tables) == 1 else pl.concat(tables, how="diagonal_relaxed")


def likeliest(among: Sequence[Segment], made: int | None) -> list[Path]:
    """The files, newest first; before them those that may hold a prediction made then (milliseconds since 1970)."""
    late = [s for s in among if made is not None and int(s.first[:12], 16) > made]
    early = [s for s in among if s not in late]
    return [s.path for s in [*reversed(early), *reversed(late)]]


def _segment(path: Path) -> Segment:
    since, until, first, last = path.stem.split("-")
    return Segment(path, datetime.fromisoformat(since), datetime.fromisoformat(until), first, last)


def _text(time: object) -> str:
    assert isinstance(time, datetime)
    return time.isoformat(timespec="microseconds").translate({ord("-"): None, ord(":"): None})
