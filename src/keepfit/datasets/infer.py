"""What a file says of itself: types, roles and a first contract, to be read and corrected by a person."""

from __future__ import annotations

import csv
import glob
import math
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from keepfit.core.errors import DataError, NotFound, UsageError, did_you_mean
from keepfit.datasets.dataset import SETTINGS, Column, ColumnType, Dataset
from keepfit.datasets.delimited import scan_delimited
from keepfit.datasets.read import DTYPES, MISSING, broken, first_line, parse, read_files
from keepfit.datasets.suspect import suspect

LABELS = ("label", "target", "y", "class", "outcome", "churn", "churned", "default", "fraud", "survived", "converted")
"""Names that a label goes by."""
TIMES = ("event_time", "timestamp", "datetime", "time", "date", "ts", "created_at")
"""Names that an event time goes by, the likeliest first."""
CATEGORY_LEVELS = 200
"""Text with more levels than this is no category: trees take at most 255."""
SAMPLE = 1000
"""Rows that rule out most types before all rows are tried."""
CLASS_LEVELS = 20
"""Whole numbers from 0 or 1 up without a gap are classes when they are a label with so few levels."""

_ISO = r"^\s*\d{4}-\d{2}-\d{2}"
_CODE = r"^\s*[+-]?(0\d|\d{17})"
_WORDS = ("true", "false", "t", "f", "yes", "no", "y", "n")
_EMPTY = "it holds no value"
_ID = re.compile(r"(^|_)(id|uuid|guid|key)$|[a-z]I[dD]$|^ID$")


class Inferred(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset as its files suggest it."""

    files: list[Path]
    rows: int
    columns: dict[str, Column]
    left_out: dict[str, str]
    """Column -> why it cannot be used."""
    notes: dict[str, str]
    """Column -> what a person should look at."""
    label: str
    event_time: str | None
    span: timedelta
    """From the first event to the last; zero without an event time."""
    recent: timedelta
    """How far back from the last event the newest fifth of the rows reaches."""


def infer(path: Path, *, label: str | None = None) -> Inferred:
    """Types, roles and a contract that the data at `path` (a file, a folder or a glob) keep.

    Raises NotFound when nothing is there, DataError for files that are not tables or hold
    nothing to learn from, and UsageError when it is unclear which column is to be predicted.
    """
    files = source_files(path)
    frame = pl.concat([_scan(file) for file in files], how="vertical_relaxed")
    try:
        return _infer(files, frame, label)
    except pl.exceptions.PolarsError as problem:
        told = next(filter(None, map(broken, files)), None)
        raise told or DataError(f"`{path.name}` cannot be read: {first_line(problem)}", where=str(path)) from problem


def typed(path: Path) -> tuple[pl.LazyFrame, dict[str, Column]]:
    """The data at `path` in the types its values suggest, with these; raises as `infer` does."""
    files = source_files(path)
    frame = pl.concat([_scan(file) for file in files], how="vertical_relaxed")
    types, _ = _types(frame, csv_files=files[0].suffix == ".csv")
    columns = {n: Column(type=t) for n, t in types.items()}
    return read_files(files, Dataset(name=path.name, source=str(path), columns=columns)), columns


def source_files(path: Path) -> list[Path]:
    """The files that a path means: itself, the Parquet files below it, or what it matches as a glob; sorted."""
    if path.is_file():
        return [path]
    found = path.rglob("*.parquet") if path.is_dir() else map(Path, glob.glob(str(path), recursive=True))
    if files := sorted(f for f in found if f.is_file()):
        return files
    raise NotFound(f"there is no file `{path}`", hint="name a CSV or Parquet file, or a glob in quotes")


class _Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is counted of one column."""

    type: ColumnType
    missing: float
    levels: int
    least: Any
    most: Any


def _infer(files: list[Path], frame: pl.LazyFrame, wanted: str | None) -> Inferred:
    types, left_out = _types(frame, csv_files=files[0].suffix == ".csv")
    for name in set(types) & set(SETTINGS):
        if name == wanted:
            raise DataError(
                f"the label cannot be called `{name}`: under [data.NAME] that is a setting",
                where=str(files[0]),
                hint=f"rename `{name}` in the data",
            )
        del types[name]
        left_out[name] = "under [data.NAME] its name is a setting: rename it in the data"
    table = Dataset(name="data", source="", columns={n: Column(type=t) for n, t in types.items()})
    typed = read_files(files, table)
    rows = frame.select(pl.len()).collect().item()
    if not rows:
        raise DataError(f"`{files[0].name}` has column names but no rows", where=str(files[0]))
    counted = _count(typed, types, rows, files[0]) if types else {}
    left_out |= {n: _EMPTY for n, f in counted.items() if not f.levels}
    facts = {n: f for n, f in counted.items() if f.levels}
    if not facts:
        raise DataError(f"no column of `{files[0].name}` holds a value that can be used", where=str(files[0]))
    notes: dict[str, str] = {}
    label = _label(wanted, facts, left_out)
    columns = {n: _column(n, f, rows) for n, f in facts.items()}
    columns[label] = Column(type=_label_type(label, facts[label], notes), role="label")
    time = _event_time([n for n, f in facts.items() if n != label and f.missing == 0], columns, notes)
    if time:
        columns[time] = Column(type="timestamp", role="event time")
    if not columns.keys() - {label, time}:
        raise DataError(f"there is no column to predict `{label}` from", where=str(files[0]))
    notes = notes | suspect(typed, columns, label, rows) | _misread(typed, columns, label)
    span, recent = _spread(typed, time, label) if time else (timedelta(), timedelta())
    return Inferred(
        files=files,
        rows=rows,
        columns=columns,
        left_out=left_out,
        notes=notes,
        label=label,
        event_time=time,
        span=span,
        recent=recent,
    )


def _scan(file: Path) -> pl.LazyFrame:
    try:
        if file.suffix == ".csv":
            frame = scan_delimited(file, infer_schema=False)
            _check_header(file)
        elif file.suffix == ".parquet":
            frame = pl.scan_parquet(file, glob=False)
        else:
            raise DataError(f"`{file.name}` is neither CSV nor Parquet", where=str(file.parent), hint=_FORMS)
        frame.collect_schema()
    except pl.exceptions.NoDataError as problem:
        raise DataError(f"`{file.name}` is empty", where=str(file)) from problem
    except (pl.exceptions.PolarsError, UnicodeDecodeError, csv.Error, OSError) as problem:
        raise DataError(
            f"`{file.name}` cannot be read: {first_line(problem)}", where=str(file), hint=_FORMS
        ) from problem
    return frame


_FORMS = "keepfit reads Parquet, and CSV in UTF-8 with commas and a first row of column names"


def _check_header(file: Path) -> None:
    with file.open(newline="", encoding="utf-8-sig") as lines:
        names = next(csv.reader(lines), [])
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise DataError(f"`{file.name}` has two columns called `{twice[0]}`", where=str(file), hint="rename one")
    if len(names) == 1 and re.search(r"[;\t|]", names[0]):
        raise DataError(f"`{file.name}` is not separated by commas", where=str(file), hint=_FORMS)
    if names and all(re.fullmatch(r"\s*[+-]?\d[\d.eE+-]*\s*", name) for name in names):
        raise DataError(f"the first row of `{file.name}` holds values, not names", where=str(file), hint=_FORMS)


def _types(frame: pl.LazyFrame, *, csv_files: bool) -> tuple[dict[str, ColumnType], dict[str, str]]:
    """The narrowest type that loses no value, by column, and why the other columns are left out."""
    schema = frame.collect_schema()
    tried = [kind for kind in _NARROWER if csv_files or kind in ("date", "timestamp")]
    texts = {n: tried for n, t in schema.items() if isinstance(t, pl.String | pl.Categorical | pl.Enum)}
    likely = {name: kinds for name, (_, kinds) in _fitting(frame.head(SAMPLE), texts).items()}
    found = _fitting(frame, likely)
    types: dict[str, ColumnType] = {}
    left_out: dict[str, str] = {}
    for name, dtype in schema.items():
        kind = _type_of(dtype)
        if name in found and found[name][0]:
            kind = next(iter(found[name][1]), "text")
        if not name:
            left_out[name] = "it has no name"
        elif kind:
            types[name] = kind
        else:
            left_out[name] = _EMPTY if dtype == pl.Null() or name in texts else f"{dtype} values cannot be used"
    return types, left_out


def _fitting(frame: pl.LazyFrame, texts: dict[str, list[ColumnType]]) -> dict[str, tuple[int, list[ColumnType]]]:
    """For columns of text, how many values they hold, and which of the types they are tried as lose none."""
    measures = []
    for i, (name, kinds) in enumerate(texts.items()):
        text = pl.col(name).cast(pl.String)
        there = text.is_not_null() & ~text.is_in(MISSING)
        measures.append(there.sum().alias(f"{i}"))
        for kind in kinds:
            fits = _NARROWER[kind](text) & parse(text, DTYPES[kind]).is_not_null()
            measures.append((there & ~fits).sum().alias(f"{i} {kind}"))
    if not measures:
        return {}
    found = frame.select(measures).collect().row(0, named=True)
    return {
        n: (found[f"{i}"], [k for k in kinds if not found[f"{i} {k}"]]) for i, (n, kinds) in enumerate(texts.items())
    }


_NARROWER: dict[ColumnType, Callable[[pl.Expr], pl.Expr]] = {
    "integer": lambda text: ~text.str.contains(_CODE),
    "number": lambda text: ~text.str.contains(_CODE),
    "bool": lambda text: text.str.to_lowercase().is_in(_WORDS),
    "date": lambda text: text.str.contains(_ISO + r"\s*$"),
    "timestamp": lambda text: text.str.contains(_ISO),
}
"""The types text is tried as, in this order, and which values are worth the trial."""


def _type_of(dtype: pl.DataType) -> ColumnType | None:
    if dtype == pl.Boolean():
        return "bool"
    if dtype.is_integer():
        return "integer"
    if dtype.is_numeric():
        return "number"
    if isinstance(dtype, pl.Datetime):
        return "timestamp"
    return "date" if dtype == pl.Date() else None


def _count(typed: pl.LazyFrame, types: dict[str, ColumnType], rows: int, file: Path) -> dict[str, _Facts]:
    measures = []
    for i, (name, kind) in enumerate(types.items()):
        value = pl.col(name)
        measures += [value.null_count().alias(f"{i} missing"), value.drop_nulls().n_unique().alias(f"{i} levels")]
        if kind in ("integer", "number"):
            measures += [value.min().alias(f"{i} least"), value.max().alias(f"{i} most")]
        if kind == "number":
            measures.append((value.is_nan() | value.is_infinite()).sum().alias(f"{i} strange"))
    found = typed.select(measures).collect().row(0, named=True)
    facts = {}
    for i, (name, kind) in enumerate(types.items()):
        if found.get(f"{i} strange"):
            raise DataError(
                f"column `{name}` holds NaN or infinity in {found[f'{i} strange']:,} rows",
                where=str(file),
                hint="write what is missing as nothing: frame.fill_nan(None)",
            )
        facts[name] = _Facts(
            type=kind,
            missing=found[f"{i} missing"] / rows,
            levels=found[f"{i} levels"],
            least=found.get(f"{i} least"),
            most=found.get(f"{i} most"),
        )
    return facts


def _column(name: str, facts: _Facts, rows: int) -> Column:
    """The column with a contract that leaves it room: what has not been seen once may be seen soon."""
    missing = math.ceil(100 * (1.5 * facts.missing + 3 / rows)) / 100
    allowed = missing if missing < 1 else None
    kind = facts.type
    if kind == "text" and facts.levels <= min(CATEGORY_LEVELS, max(20, rows / 10)):
        return Column(type="category", missing=allowed, at_most=math.ceil(1.25 * facts.levels) + 5)
    numeric = kind in ("integer", "number")
    counted = kind == "integer" and facts.most - facts.least + 1 == rows
    return Column(
        type=kind,
        missing=allowed,
        at_least=0 if numeric and facts.least >= 0 else None,
        unique=facts.levels == rows > 1 and kind in ("integer", "text") and (counted or bool(_ID.search(name))),
    )


def _label(wanted: str | None, facts: dict[str, _Facts], left_out: dict[str, str]) -> str:
    if wanted is not None:
        if wanted in left_out:
            raise DataError(f"`{wanted}` cannot be the label: {left_out[wanted]}")
        if wanted not in facts:
            raise UsageError(f"there is no column `{wanted}`", hint=did_you_mean(wanted, facts))
        return wanted
    named = [n for n in facts if n.lower() in LABELS]
    binary = [n for n, f in facts.items() if _is_binary(f)]
    last = next(reversed(facts))
    if len(named) == 1:
        return named[0]
    if not named and last in binary:
        return last
    bools = [n for n in binary if facts[n].type == "bool"]
    if not named and len(bools) == 1:
        return bools[0]
    choices = named or list(dict.fromkeys([*binary, last] if binary else facts))
    raise UsageError(
        "it is not clear which column is to be predicted: " + ", ".join(f"`{c}`" for c in choices) + "?",
        hint="keepfit init FILE --label COLUMN",
    )


def _is_binary(facts: _Facts) -> bool:
    if facts.type in ("integer", "number"):
        return facts.levels == 2 and facts.least == 0 and bool(facts.most == 1)
    return facts.type == "bool"


def _label_type(name: str, facts: _Facts, notes: dict[str, str]) -> ColumnType:
    if facts.type in ("timestamp", "date"):
        raise UsageError(
            f"`{name}` is a {facts.type}, which cannot be predicted", hint="keepfit init FILE --label COLUMN"
        )
    if facts.levels < 2:
        raise DataError(f"the label `{name}` has the same value in every row: there is nothing to learn")
    if facts.type == "text":
        if facts.levels > CATEGORY_LEVELS:
            raise UsageError(f"the label `{name}` has {facts.levels:,} levels, too many to tell apart")
        return "category"
    if _is_binary(facts):
        return "bool"
    gapless = facts.type == "integer" and facts.least in (0, 1) and facts.most - facts.least + 1 == facts.levels
    if gapless and facts.levels <= CLASS_LEVELS:
        notes[name] = 'numbers of classes; if they are amounts, write type = "integer"'
        return "category"
    return facts.type


def _event_time(present: Sequence[str], columns: dict[str, Column], notes: dict[str, str]) -> str | None:
    times = [n for n in present if columns[n].type == "timestamp"] or [n for n in present if columns[n].type == "date"]
    named = sorted((n for n in times if n.lower() in TIMES), key=lambda n: TIMES.index(n.lower()))
    chosen = next(iter(named or times), None)
    if chosen and len(times) > 1:
        others = ", ".join(n for n in times if n != chosen)
        notes[chosen] = f"or is it {others}? What is known only later needs known_after"
    return chosen


def _misread(typed: pl.LazyFrame, columns: dict[str, Column], label: str) -> dict[str, str]:
    """Columns that are text because of how their values are written."""
    texts = [n for n, c in columns.items() if c.type in ("text", "category") and n != label]
    if not texts:
        return {}
    head = typed.select(texts).head(SAMPLE).collect()
    found = {}
    for name in texts:
        values = head[name].drop_nulls()
        for pattern, note in _WRITTEN.items():
            if len(values) and values.str.contains(pattern).all():
                found[name] = note
    return found


_AMOUNT = r"([$€£¥]\s*\d[\d.,]*|\d[\d.,]*\s*[$€£¥%]|\d{1,3}(,\d{3})+(\.\d+)?)"
_WRITTEN = {
    r"^\s*\d{1,2}[/.]\d{1,2}[/.](\d{2}|\d{4})\b": "dates as text: only 2024-12-31 is read as a date",
    rf"^\s*[-(+]?\s*{_AMOUNT}\)?\s*$": "amounts as text: only 1234.5 is read as a number",
}
"""How text is written that a person meant otherwise."""


def _spread(typed: pl.LazyFrame, time: str, label: str) -> tuple[timedelta, timedelta]:
    moment = pl.col(time).cast(pl.Datetime("us")).cast(pl.Int64)
    first, fifth, last = (
        typed.filter(pl.col(label).is_not_null())
        .select(moment.min().alias("first"), moment.quantile(0.8).alias("fifth"), moment.max().alias("last"))
        .collect()
        .row(0)
    )
    return timedelta(microseconds=last - first), timedelta(microseconds=last - fifth)
