"""Rules of datasets and their columns."""

from __future__ import annotations

import keyword
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import PurePath

from keepfit.core.clocks import duration
from keepfit.core.errors import UsageError, did_you_mean
from keepfit.core.toml import Key
from keepfit.datasets.address import DATABASES, hidden
from keepfit.datasets.dataset import Column, Dataset
from keepfit.project.project import TASKS
from keepfit.project.sections import Problem


def column_rules(data: Sequence[Dataset]) -> Iterator[Problem]:
    """What is wrong with datasets in themselves and beside each other."""
    for dataset in data:
        yield from _dataset_rules(dataset, ("data", dataset.name))
        for name, column in dataset.columns.items():
            yield from _one_column(name, column, dataset, ("data", dataset.name, name))
    labels = [(d, name) for d in data for name in d.role("label")]
    if not labels:
        yield Problem("no column is the label", ("data",), 'give the column to predict role = "label"')
    for dataset, name in labels[1:]:
        first = f"{labels[0][0].name}.{labels[0][1]}"
        yield Problem(f"`{name}` is a second label beside `{first}`", ("data", dataset.name, name), "keep one label")
    if labels:
        main = labels[0][0]
        if not main.inputs:
            yield Problem(f"`{main.name}` has no column to predict from", ("data", main.name))
        for side in data:
            if side is not main:
                yield from _side_rules(side, main, ("data", side.name))


def span(text: str | None, key: Key) -> tuple[timedelta | None, list[Problem]]:
    """A duration that must be longer than nothing; None when it is not said, or not a duration."""
    if text is None:
        return None, []
    try:
        found = duration(text)
    except UsageError as problem:
        return None, [Problem(problem.message, key, problem.hint)]
    return (found, []) if found else (None, [Problem(f"`{text}` is no time at all", key)])


def _dataset_rules(dataset: Dataset, key: Key) -> Iterator[Problem]:
    name = dataset.name
    if not (name.isascii() and name.isidentifier()) or keyword.iskeyword(name):
        hint = "use letters, digits and `_`: functions take datasets by name"
        yield Problem(f"`{name}` is no name for a dataset", key, hint)
    if not dataset.columns:
        yield Problem(f"`{name}` declares no column", key, 'write a column such as age = { type = "number" }')
    if dataset.query is None:
        yield from _source_rules(dataset.source, (*key, "from"))
    else:
        yield from _query_rules(dataset.source, dataset.query, key)
    for extra in dataset.role("event time")[1:]:
        yield Problem(f"`{extra}` is a second event time beside `{dataset.event_time}`", (*key, extra))
    for setting, text in (("fresh", dataset.fresh), ("known_after", dataset.known_after)):
        yield from span(text, (*key, setting))[1]
        if text and not dataset.event_time:
            yield Problem(f"`{setting}` needs an event time, and `{name}` has none", (*key, setting), _TIME_HINT)


def _source_rules(source: str, key: Key) -> Iterator[Problem]:
    path = PurePath(source)
    if source.partition(":")[0] in DATABASES or "://" in source or source.startswith("$"):
        yield Problem(f"`{hidden(source)}` is a database, and no `query` says what to read", key, _QUERY_HINT)
    elif not path.parts:
        yield Problem(f"`{source}` is no path", key, 'write from = "data/*.parquet"')
    elif path.is_absolute() or ".." in path.parts:
        yield Problem(f"`{source}` is outside the project", key, "copy the data below the project's folder")
    elif any("**" in part and part != "**" for part in path.parts):
        yield Problem(f"`**` must stand alone between slashes in `{source}`", key, "write `data/**/*.parquet`")


def _query_rules(source: str, query: str, key: Key) -> Iterator[Problem]:
    here = (*key, "from")
    scheme, colon, rest = source.partition(":")
    if not query.strip():
        yield Problem("`query` asks for nothing", (*key, "query"), 'write query = "SELECT ..."')
    if source.startswith("$"):
        if not source[1:].isidentifier():
            yield Problem(f"`{source}` is no environment variable", here, 'write from = "$SHOP_DATABASE"')
    elif not colon or scheme not in DATABASES:
        known = did_you_mean(scheme, DATABASES) if colon else None
        yield Problem(f"`{hidden(source)}` is no database that can be asked", here, known or _DATABASE_HINT)
    elif hidden(source) != source:
        hint = f'write from = "$SHOP_DATABASE" and keep the address there, or use PGPASSWORD with {hidden(source)}'
        yield Problem("a password does not belong into keepfit.toml", here, hint)
    elif not rest.strip("/"):
        yield Problem(f"`{source}` names no database", here, _DATABASE_HINT)


def _one_column(name: str, column: Column, dataset: Dataset, key: Key) -> Iterator[Problem]:
    if column.role == "event time" and column.type != "timestamp":
        hint = 'write type = "timestamp"' + ("; a date is read as its midnight" if column.type == "date" else "")
        yield Problem(f"the event time `{name}` must be a timestamp, not a {column.type}", (*key, "type"), hint)
    if column.role == "label" and column.type not in TASKS:
        hint = "known: " + ", ".join(f"`{t}`" for t in TASKS)
        yield Problem(f"the label `{name}` cannot be a {column.type}", (*key, "type"), hint)
    if column.known_after is not None:
        yield from span(column.known_after, (*key, "known_after"))[1]
        if not dataset.event_time:
            message = f"`known_after` needs an event time, and `{dataset.name}` has none"
            yield Problem(message, (*key, "known_after"), _TIME_HINT)
        if column.role in ("event time", "key"):
            message = f"`{name}` is the {column.role}, which is known from the start"
            yield Problem(message, (*key, "known_after"))
    yield from _promise_rules(name, column, key)


def _promise_rules(name: str, column: Column, key: Key) -> Iterator[Problem]:
    bounded = {"integer": ("at_least", "at_most"), "number": ("at_least", "at_most"), "category": ("at_most",)}
    for bound in ("at_least", "at_most"):
        if getattr(column, bound) is not None and bound not in bounded.get(column.type, ()):
            yield Problem(f"`{bound}` means nothing for a {column.type}", (*key, bound))
    if column.at_least is not None and column.at_most is not None and column.at_least > column.at_most:
        message = f"`at_least` is {column.at_least:g}, but `at_most` is {column.at_most:g}"
        yield Problem(message, (*key, "at_most"))
    if column.levels is not None and column.type not in ("category", "text"):
        yield Problem(f"`levels` means nothing for a {column.type}", (*key, "levels"), "only a category has levels")
    if column.missing is not None and not 0 <= column.missing <= 1:
        yield Problem(f"`missing` is a share from 0 to 1, not `{column.missing:g}`", (*key, "missing"))


def _side_rules(side: Dataset, main: Dataset, key: Key) -> Iterator[Problem]:
    if side.event_time and not main.event_time:
        yield Problem(f"`{side.name}` has an event time, but the main dataset `{main.name}` has none", key, _TIME_HINT)
    if not side.event_time and not side.role("key"):
        hint = 'give the columns that both datasets share role = "key"'
        yield Problem(f"nothing says which row of `{side.name}` belongs to a row of `{main.name}`", key, hint)
    for name in side.role("key"):
        here = (*key, name)
        if name not in main.inputs:
            known = did_you_mean(name, main.inputs)
            yield Problem(f"the key `{name}` is not an input of the main dataset `{main.name}`", here, known)
        elif _kind(side.columns[name]) != _kind(main.inputs[name]):
            types = f"a {side.columns[name].type}, but in `{main.name}` a {main.inputs[name].type}"
            yield Problem(f"the key `{name}` is {types}", (*here, "type"), "declare both alike")


def _kind(column: Column) -> str:
    return "text" if column.type == "category" else column.type


_QUERY_HINT = 'write query = "SELECT ..." below it'
_DATABASE_HINT = 'write from = "sqlite:shop.db", "duckdb:shop.duckdb" or "postgresql://host/shop"'
_TIME_HINT = 'give a timestamp column role = "event time"'
