"""What differs between runs: parameters, metrics, data, code and environment, each against the first of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from keepfit.datasets.version import DataVersion, count_changes, find_version
from keepfit.home import Home
from keepfit.objects import read
from keepfit.runs.environment import environment_diff, read_environment
from keepfit.runs.run import Run

_CODE = 1 << 20
"""Bytes of a code file beyond which only its change is told."""


class Row(msgspec.Struct, frozen=True):
    """One name and its value in each run; None where a run has none."""

    name: str
    values: list[Any]

    @property
    def differs(self) -> bool:
        return any(value != self.values[0] for value in self.values[1:])


class Other(msgspec.Struct, frozen=True, kw_only=True):
    """How one run differs from the first."""

    id: str
    data: list[str]
    code: str
    """A unified diff of all code files; empty when they are the same."""
    environment: list[str]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Runs side by side."""

    runs: list[Run]
    parameters: list[Row]
    metrics: list[Row]
    others: list[Other]


def compare(home: Home, runs: Sequence[Run]) -> Comparison:
    """The comparison of two or more runs; the first is what the others are held against."""
    first = runs[0]
    return Comparison(
        runs=list(runs),
        parameters=rows([run.parameters for run in runs]),
        metrics=rows([run.metrics for run in runs]),
        others=[
            Other(
                id=run.id,
                data=list(_data(home, first, run)),
                code=_code(home, first.code, run.code),
                environment=_environment(home, first, run),
            )
            for run in runs[1:]
        ],
    )


def rows(values: Sequence[dict[str, Any]]) -> list[Row]:
    """The values by name, in the order in which the names first appear."""
    names = dict.fromkeys(name for one in values for name in one)
    return [Row(name, [one.get(name) for one in values]) for name in names]


def _data(home: Home, first: Run, other: Run) -> Iterator[str]:
    for name in dict.fromkeys([*first.data, *other.data]):
        before, after = first.data.get(name), other.data.get(name)
        if before is None or after is None:
            yield f"{name}: {'added' if before is None else 'removed'}"
        elif before != after:
            yield _between(home, find_version(home, before), find_version(home, after))


def _between(home: Home, before: DataVersion, after: DataVersion) -> str:
    counts = ", ".join(f"{n:,} {what}" for what, n in count_changes(home, before.tree, after.tree).items() if n)
    rows = f", {after.rows - before.rows:+,} rows" if before.rows is not None and after.rows is not None else ""
    return f"{before} -> {after}: files: {counts or 'the same'}, {after.bytes - before.bytes:+,} bytes{rows}"


def _code(home: Home, before: dict[str, str], after: dict[str, str]) -> str:
    parts: list[str] = []
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old != new:
            titles = f"a/{path}" if old else "none", f"b/{path}" if new else "none"
            parts += difflib.unified_diff(_lines(home, old), _lines(home, new), *titles)
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in parts)


def _lines(home: Home, digest: str | None) -> list[str]:
    if digest is None:
        return []
    content = read(home.objects, digest)
    if len(content) > _CODE:
        return [f"{len(content):,} bytes, {digest}\n"]
    return content.decode("utf-8", "replace").splitlines(keepends=True)


def _environment(home: Home, first: Run, other: Run) -> list[str]:
    if first.environment == other.environment:
        return []
    before, after = (read_environment(home.objects, run.environment) for run in (first, other))
    return [str(change) for change in environment_diff(before, after)]
