"""How runs are shown."""

from __future__ import annotations

import csv
import io
import shutil
import sys
from collections.abc import Sequence
from typing import Any

from keepfit.cli.report import table
from keepfit.core.clocks import iso
from keepfit.core.digests import digest_value, short
from keepfit.home import Home
from keepfit.models.spec import VALIDATION
from keepfit.models.task import ALL_METRICS
from keepfit.pages.spark import figure
from keepfit.runs.compare import Comparison
from keepfit.runs.report import with_difference
from keepfit.runs.run import Run, find_run

_METRICS, _PARAMETERS = 4, 4
"""Columns that a list shows of each; --csv and --json show all."""


def find(home: Home, name: str, reference: str) -> Run:
    """The run that an id, its beginning, or a model means."""
    if "@" in reference or reference in ("champion", "challenger") or reference.startswith("model-"):
        from keepfit.models.model import find_model

        reference = find_model(home, name, reference).run
    return find_run(home, reference if reference.startswith("run-") else f"run-{reference}")


def value_of(run: Run) -> dict[str, Any]:
    """The run for `--json`."""
    return {
        "run": run.id,
        "time": run.time,
        "state": run.state,
        "who": run.actor,
        "seconds": run.seconds,
        "metrics": run.metrics,
        "parameters": run.parameters,
        "data": run.data,
        "code": short(digest_value(run.code)),
        "environment": short(run.environment),
    }


def as_csv(values: Sequence[dict[str, Any]]) -> str:
    """The runs as CSV, a column for every name."""
    flat = [
        {
            **{k: v for k, v in value.items() if not isinstance(v, dict)},
            **{f"{part}.{k}": v for part in ("metrics", "parameters", "data") for k, v in value[part].items()},
        }
        for value in values
    ]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "time": iso(row["time"])} for row in flat)
    return out.getvalue().rstrip("\n")


def listed(runs: Sequence[Run], main: str) -> str:
    """The runs as a table, cut to the width of the terminal if there is one."""
    metrics, parameters = (
        _telling([r.metrics for r in runs], _METRICS),
        _telling([r.parameters for r in runs], _PARAMETERS),
    )
    head = ["run", "when", "state", *metrics, *parameters, "data", "code", "seconds", "who"]
    rows = [
        [
            run.id,
            iso(run.time)[:16],
            run.state,
            *(figure(run.metrics.get(name)) for name in metrics),
            *(figure(run.parameters.get(name))[:16] for name in parameters),
            run.data.get(main, "-").removeprefix("data-")[:8],
            short(digest_value(run.code))[:8],
            f"{run.seconds:.1f}",
            run.actor or "-",
        ]
        for run in runs
    ]
    text = table(head, rows, right=range(3, 3 + len(metrics) + len(parameters)))
    width = shutil.get_terminal_size().columns
    return "\n".join(line[:width] for line in text.splitlines()) if sys.stdout.isatty() else text


def side_by_side(found: Comparison, names: Sequence[str]) -> str:
    """Parameters and metrics under these names of the runs, and what else each has that the first has not."""
    parameters, metrics = found.parameters, found.metrics
    told = [(row, [figure(value) for value in row.values]) for row in parameters]
    told += [(row, with_difference(row)) for row in metrics]
    rows = [(("* " if row.differs else "  ") + row.name, *values) for row, values in told]
    parts = [table(("", *names), rows)]
    for name, other in zip(names[1:], found.others, strict=True):
        lines = [*block("data", other.data or ["the same"])]
        lines += block("environment", other.environment or ["the same"])
        lines += block("code", ["the same"] if not other.code else [])
        parts.append("\n".join([f"{name} beside {names[0]}", *lines]) + ("\n" + other.code).rstrip())
    return "\n\n".join(parts)


def block(title: str, lines: Sequence[str]) -> list[str]:
    """Lines under a title; none without lines."""
    return [f"  {title if i == 0 else '':<14}{line}" for i, line in enumerate(lines)]


def _telling(values: Sequence[dict[str, Any]], most: int) -> list[str]:
    """The names to show: those that most runs have and that differ, first."""
    names = list(dict.fromkeys(name for one in values for name in one))

    def rank(name: str) -> tuple[bool, int, int]:
        held = [one[name] for one in values if name in one]
        main = next((i for i, m in enumerate(ALL_METRICS) if m == name.removeprefix(VALIDATION)), len(ALL_METRICS))
        return len(set(map(str, held))) < 2 and len(values) > 1, main, -len(held)

    return sorted(names, key=rank)[:most]
