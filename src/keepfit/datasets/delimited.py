"""CSV files: names and lines as RFC 4180 has them, and where in a file something is wrong."""

from __future__ import annotations

import csv
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import polars as pl


def scan_delimited(file: Path, **options: Any) -> pl.LazyFrame:
    """The file as polars reads it, with the names of its columns unescaped."""

    def named(found: list[str]) -> list[str]:
        try:
            with file.open(newline="", encoding="utf-8-sig", errors="replace") as lines:
                return header(lines, found)
        except (OSError, csv.Error):
            return found

    return pl.scan_csv(file, glob=False, with_column_names=named, **options)


def header(lines: Iterable[str], found: list[str]) -> list[str]:
    """The names in the first line; `found`, as polars sees them, where the two do not agree on how many there are."""
    names = next(csv.reader(lines), [])
    if len(names) != len(found):
        return found
    first = dict(zip(reversed(names), reversed(range(len(names))), strict=True))
    return [name if first[name] == i else other for i, (name, other) in enumerate(zip(names, found, strict=True))]


def short_line(file: Path, width: int) -> tuple[int, str] | None:
    """The first line with fewer fields than there are columns, which polars fills up, and what is wrong with it."""
    try:
        lines = pl.scan_csv(
            file,
            glob=False,
            has_header=False,
            separator="\x1f",
            quote_char=None,
            infer_schema=False,
            with_column_names=lambda _: ["line"],
        )
        bare = pl.col("line").str.replace_all('"[^"]*"', "")
        commas = bare.str.count_matches(",", literal=True)
        doubtful = lines.select((commas != width - 1).any()).collect().item()
    except pl.exceptions.PolarsError:
        doubtful = True
    return broken_line(file, strict=False) if doubtful else None  # quoted line ends are only doubtful


def broken_line(file: Path, *, strict: bool = True) -> tuple[int, str] | None:
    """The number of the first line that is not as the header says, and what is wrong with it."""
    if strict and (found := _undecodable(file)):
        return found, "is not UTF-8"
    start, width = 1, None
    csv.field_size_limit(sys.maxsize)
    with file.open(newline="", encoding="utf-8-sig", errors="replace") as lines:
        rows = csv.reader(lines, strict=strict)
        try:
            for row in rows:
                width = width or len(row)
                if row and len(row) != width:
                    return start, f"has {len(row):,} field{'s' * (len(row) != 1)}, but the header names {width:,}"
                start = rows.line_num + 1
        except csv.Error as problem:
            unclosed = "unexpected end" in str(problem)
            return start, "opens a quote that is never closed" if unclosed else f"is no CSV: {problem}"
    return None


def lines_of(file: Path, rows: Collection[int]) -> dict[int, int]:
    """Row (counted from 0, the header left out) -> the line of the file that it begins on."""
    found: dict[int, int] = {}
    csv.field_size_limit(sys.maxsize)
    with file.open(newline="", encoding="utf-8-sig", errors="replace") as lines:
        records, start = csv.reader(lines), 1
        for row, _ in enumerate(records, -1):
            if row in rows:
                found[row] = start
            if row >= max(rows):
                break
            start = records.line_num + 1
    return found


def _undecodable(file: Path) -> int | None:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return None
