"""The pages that runs and tuning write, of what is hard to lay out: long names, many lines, gaps, a long diff."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime
from pathlib import Path

from keepfit.engines import Here
from keepfit.home import Home
from keepfit.ledger import Point, open_ledger
from keepfit.models.space import Dimension
from keepfit.models.study import Goal, Study, Trial
from keepfit.models.study_page import study_page
from keepfit.objects import open_objects
from keepfit.runs.compare import Comparison, Other, rows
from keepfit.runs.report import report
from keepfit.runs.run import Run, series

NOON = datetime(2013, 5, 2, 12, tzinfo=UTC)


def write_pages(folder: Path) -> list[Path]:
    """The pages, written into a folder."""
    pages = {"compare.html": _compare(folder / "home"), "study.html": _study()}
    for name, page in pages.items():
        (folder / name).write_text(page)
    return [folder / name for name in pages]


def _compare(folder: Path) -> str:
    chance, runs = random.Random(1), []
    home = Home(
        root=folder,
        ledger=open_ledger("sqlite:ledger.db", folder),
        objects=open_objects("folder:objects", folder),
        engine=Here(),
    )
    for number in range(10):
        run = Run(
            id=f"run-{chance.randbytes(8).hex()}",
            key="",
            subject="model/late arrivals",
            time=NOON,
            spec={},
            code={},
            data={},
            environment="",
            seconds=12.5 * number,
            outputs={},
            actor="somebody with a long name",
            state="failed" if number == 7 else "done",
            parameters={"learning_rate": 10 ** chance.uniform(-3, 0), "depth": number % 5, "kind": "gini <b>&amp;"},
            metrics={f"a_metric_with_a_long_name_{m}": chance.gauss(0, 10.0**m) for m in range(4)},
            curves={"loss": 60},
        )
        values = [math.exp(-step / (5 + number)) + chance.gauss(0, 0.02) for step in range(60)]
        values[20] = math.nan if number == 3 else values[20]
        home.ledger.record(series(run.id, "loss"), [Point(step, value, NOON) for step, value in enumerate(values)])
        runs.append(run)
    diff = "--- flights.py\n+++ flights.py\n@@ -1,3 +1,3 @@\n same\n-" + "old " * 60 + "\n+" + "new < & > " * 40 + "\n"
    other = Other(id=runs[1].id, data=["flights: 3 files added"], code=diff, environment=["polars 1.0 -> 1.1"])
    parameters, metrics = rows([run.parameters for run in runs]), rows([run.metrics for run in runs])
    page = report(home, Comparison(runs=runs, parameters=parameters, metrics=metrics, others=[other]))
    home.ledger.close()
    return page


def _study() -> str:
    chance = random.Random(2)
    dimensions = [
        Dimension(name="learning_rate_of_the_model", low=0.001, high=1.0, log=True),
        Dimension(name="depth", low=1, high=9),
        Dimension(name="kind", choices=("gini", "entropy", "log_loss")),
    ]
    trials = [
        Trial(
            parameters={
                "learning_rate_of_the_model": 10 ** chance.uniform(-3, 0),
                "depth": chance.randint(1, 9),
                "kind": chance.choice(("gini", "entropy", "log_loss")),
            },
            state="pruned" if number % 7 == 6 else "done",
            run=f"run-{chance.randbytes(8).hex()}",
            value=None if number % 7 == 6 else 0.6 + 0.2 * chance.random(),
            seconds=chance.random() * 100,
        )
        for number in range(40)
    ]
    study = Study(goal=Goal("validation_auc", "auc", lower=False), dimensions=dimensions, trials=trials)
    return study_page("late arrivals", study, {"learning_rate_of_the_model": 0.7, "depth": 0.25, "kind": 0.05})
