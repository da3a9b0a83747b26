"""The contract of a dataset, checked in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec
import polars as pl

from keepfit.core.errors import ContractBroken
from keepfit.datasets.dataset import Column, Dataset

EXAMPLES = 5


class Breakage(msgspec.Struct, frozen=True, kw_only=True):
    """One promise of the contract that the data does not keep."""

    column: str
    rule: str
    """The promise, in the contract's words."""
    found: str
    """What was found instead."""
    rows: int
    examples: list[tuple[int, Any]] = []
    """The first rows that break it: the row's index in the table, from 0, and value."""

    def told(self, places: Callable[[list[int]], list[str]]) -> str:
        """What was found, with the first rows; `places` tells where they are."""
        examples = self.examples[:3]
        if not examples:
            return self.found
        told = places([row for row, _ in examples])
        first = ", ".join(f"{place}: {value!r}" for place, (_, value) in zip(told, examples, strict=True))
        return f"{self.found}; {first}"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A contract that was kept."""

    dataset: str
    rows: int
    columns: int


def numbered(_: Dataset, rows: list[int]) -> list[str]:
    """Rows of a table by number, counted from 1."""
    return [f"row {row + 1:,}" for row in rows]


def keep_contracts(
    tables: Sequence[tuple[Dataset, pl.DataFrame]], places: Callable[[Dataset, list[int]], list[str]] = numbered
) -> list[Kept]:
    """Hold each table against its dataset's contract; ContractBroken, naming every broken promise, otherwise.

    `places` tells where rows of a dataset's table, counted from 0, are in its files.
    """
    broken = [
        f"  {d.name}.{b.column}: {b.rule}, but {b.told(partial(places, d))}"
        for d, t in tables
        for b in check_contract(t, d)
    ]
    if broken:
        raise ContractBroken(
            "the data breaks its contract:\n" + "\n".join(broken),
            hint="mend the data, or the columns under [data] in keepfit.toml",
        )
    return [Kept(dataset=d.name, rows=t.height, columns=len(d.columns)) for d, t in tables]


class _Rule(msgspec.Struct, frozen=True):
    column: str
    text: str
    bad: pl.Expr | None
    """Which rows break it; None for a rule about the whole column."""
    measure: pl.Expr
    """How many rows break it, or the figure that is compared."""
    limit: float = 0
    """The measure may not be above this."""


def check_contract(frame: pl.DataFrame | pl.LazyFrame, dataset: Dataset) -> list[Breakage]:
    """Every promise of the dataset's contract that the rows break; empty when all are kept."""
    rules = list(_rules(dataset))
    rows = frame.lazy()
    found = rows.select(
        pl.len().alias("rows"), *(rule.measure.alias(f"rule {i}") for i, rule in enumerate(rules))
    ).collect()
    height = found["rows"][0]
    if height == 0:
        return [Breakage(column="", rule="at least one row", found="no rows", rows=0)]
    broken = [(r, m) for i, r in enumerate(rules) if (m := found[f"rule {i}"][0] or 0) > r.limit]
    return [_breakage(rows, rule, measure, height) for rule, measure in broken]


def _rules(dataset: Dataset) -> Iterator[_Rule]:
    for name, column in dataset.columns.items():
        yield from _column_rules(name, column)


def _column_rules(name: str, column: Column) -> Iterator[_Rule]:
    value = pl.col(name)

    def rows(text: str, bad: pl.Expr) -> _Rule:
        return _Rule(name, text, bad, bad.sum())

    if column.role == "event time":
        yield rows("never missing", value.is_null())
    if column.missing is not None:
        yield _Rule(name, f"missing <= {column.missing:g}", value.is_null(), value.is_null().mean(), column.missing)
    if column.levels is not None:
        yield rows(f"one of {len(column.levels)} levels", ~value.is_in(column.levels))
    if column.type == "category":
        if column.at_most is not None:
            yield _Rule(name, f"at most {column.at_most:g} levels", None, value.n_unique(), column.at_most)
    else:
        if column.at_least is not None:
            yield rows(f">= {column.at_least:g}", value < column.at_least)
        if column.at_most is not None:
            yield rows(f"<= {column.at_most:g}", value > column.at_most)
    if column.type == "number":
        yield rows("finite", value.is_infinite() | value.is_nan())
    if column.unique:
        yield rows("unique", value.is_duplicated() & value.is_not_null())


def _breakage(rows: pl.LazyFrame, rule: _Rule, measure: float, height: int) -> Breakage:
    if rule.bad is None:
        return Breakage(column=rule.column, rule=rule.text, found=f"{measure:,.0f}", rows=0)
    bad = rows.select(pl.col(rule.column)).with_row_index("row").filter(rule.bad)
    first = bad.head(EXAMPLES).collect()
    count = int(bad.select(pl.len()).collect().item())
    share = f"{count / height:.1%}" if count / height >= 0.001 else f"{count / height:.1g}"
    return Breakage(
        column=rule.column,
        rule=rule.text,
        found=f"{count:,} rows ({share})",
        rows=count,
        examples=[(row, plain(value)) for row, value in first.iter_rows()],
    )


def plain(value: Any) -> Any:
    """The value as JSON can hold it."""
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
