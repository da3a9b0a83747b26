"""A comparison of runs as one HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keepfit.core.clocks import iso
from keepfit.home import Home
from keepfit.pages.drawing import Line, lines, parallel
from keepfit.pages.page import html_diff, html_list, html_table, page
from keepfit.pages.spark import figure
from keepfit.runs.compare import Comparison, Row
from keepfit.runs.run import Run
from keepfit.runs.search import curve

_CURVES = 24
"""Metrics whose curves are drawn."""
_AXES = 8


def report(home: Home, found: Comparison) -> str:
    """The page: what each run is, parameters, metrics, curves, and what changed."""
    names = [run.id for run in found.runs]
    head = ("", *names)
    sections = [
        ("Runs", html_table(("run", "when", "who", "state", "seconds"), map(_told, found.runs))),
        ("Parameters", html_table(head, ((row.name, *map(figure, row.values)) for row in found.parameters))),
        ("Metrics", html_table(head, ((row.name, *with_difference(row)) for row in found.metrics))),
        ("All at once", parallel_of(found.runs, found.parameters, found.metrics)),
        *_curves(home, found.runs),
    ]
    for other in found.others:
        beside = f"{other.id} beside {names[0]}"
        sections += [
            (f"Data: {beside}", html_list(other.data)),
            (f"Environment: {beside}", html_list(other.environment)),
            (f"Code: {beside}", html_diff(other.code)),
        ]
    return page(f"Runs of {found.runs[0].subject.removeprefix('model/')}", sections)


def with_difference(row: Row) -> list[str]:
    """The values, each after the first with its difference from that."""
    first, *others = row.values
    shown = [figure(first)]
    for value in others:
        both = isinstance(first, int | float) and isinstance(value, int | float)
        shown.append(f"{figure(value)} ({value - first:+.4g})" if both and value != first else figure(value))
    return shown


def parallel_of(runs: Sequence[Run], parameters: Sequence[Row], metrics: Sequence[Row]) -> str:
    """Parallel coordinates of the parameters and metrics that differ, the first metric last; empty if none do."""
    differing = [row.name for row in parameters if row.differs][: _AXES - 2]
    measured = [row.name for row in metrics if row.differs]
    axes = differing + (measured[1:] + measured[:1])[-max(2, _AXES - len(differing)) :]
    if len(axes) < 2:
        return ""
    return parallel([{**run.parameters, **run.metrics} for run in runs], list(dict.fromkeys(axes)))


def _told(run: Run) -> tuple[object, ...]:
    return run.id, iso(run.time), run.actor, run.state, f"{run.seconds:.1f}"


def _curves(home: Home, runs: Sequence[Run]) -> Iterator[tuple[str, str]]:
    names = dict.fromkeys(name for run in runs for name, count in run.curves.items() if count > 1)
    for name in list(names)[:_CURVES]:
        drawn = [
            Line(run.id, [(p.step, p.value) for p in curve(home, run, name)]) for run in runs if name in run.curves
        ]
        yield name, lines(drawn, x="step", y=name)
