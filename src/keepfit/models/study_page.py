"""A study as one HTML page."""

from __future__ import annotations

from keepfit.models.study import Study
from keepfit.pages.drawing import Line, bars, lines, parallel
from keepfit.pages.page import html_table, page
from keepfit.pages.spark import figure


def study_page(name: str, study: Study, importance: dict[str, float]) -> str:
    """The page: history, all trials over the parameters, importance, and a table of the trials."""
    goal, names = study.goal.metric, [d.name for d in study.dimensions]
    values = [(float(i + 1), t.value) for i, t in enumerate(study.trials) if t.value is not None]
    steps = [(at, best) for (at, _), best in zip(values, study.best_so_far, strict=True)]
    judged = [{**t.parameters, goal: t.value} for t in study.trials if t.value is not None]
    head = ("trial", goal, "state", *names, "seconds", "run")
    rows = [
        (i + 1, figure(t.value), t.state, *(figure(t.parameters[n]) for n in names), f"{t.seconds:.1f}", t.run)
        for i, t in enumerate(study.trials)
    ]
    sections = [
        ("History", lines([Line("the best so far", steps)], x="trial", y=goal, dots=values) if values else ""),
        ("Parameters", parallel(judged, [*names, goal], [d.name for d in study.dimensions if d.log]) if judged else ""),
        ("Importance", bars(importance) if importance else ""),
        ("Trials", html_table(head, rows)),
    ]
    return page(f"Tuning of {name}", sections)
