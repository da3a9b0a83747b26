"""Showing a replay while it runs, and its review at the end; shared by `up --replay` and `demo`."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from keepfit.cli.opening import open_project
from keepfit.cli.report import Progress, Report, table
from keepfit.core.clocks import ReplayClock
from keepfit.loop import Action, State
from keepfit.replay import CONNECTIONS, Day, replay
from keepfit.review import Month, Review, review
from keepfit.serving.client import Client
from keepfit.serving.gateway import start as start_gateway


def replay_and_review(folder: Path, *, start: datetime, until: datetime, port: int | None) -> Report:
    """Serve the project, live the time again, and report it month by month."""
    project, home = open_project(folder, clock=ReplayClock(start))
    progress, began = Progress(), time.monotonic()
    total = (until - start).days

    def acted(action: Action, state: State) -> None:
        if action.verb == "watch":
            return
        text = {"trigger": f"retraining, because {action.reason}", "end": f"{action.ending}: {action.reason}"}
        if action.verb in text:
            progress.note(f"{state.now:%Y-%m-%d}  {text[action.verb]}")
        else:
            progress.show(f"{state.now:%Y-%m-%d}  {action.verb} ...")

    def day(done: Day) -> None:
        share = ((done.start - start).days + 1) / total
        bar = "#" * round(30 * share)
        told = f"{done.served:,} served, {done.failed} failed, {done.labels:,} labels"
        progress.show(f"{done.start:%Y-%m-%d} [{bar:<30}] {share:4.0%}  {told}")

    running = start_gateway(
        project.root,
        project.name,
        project.serve,
        port=port,
        ledger=project.ledger,
        objects=project.objects,
    )
    try:
        progress.note(f"serving {project.name} at {running.url}")
        client = Client(running.url, running.token, CONNECTIONS)
        replay(project, home, client, start=start, until=until, report=day, acted=acted)
        found = review(project, home)
    finally:
        running.stop()
        progress.clear()
    return Report(found, shown(found, time.monotonic() - began))


def shown(found: Review, seconds: float) -> str:
    """The review as people read it."""
    first, second = found.metrics
    head = (
        *("month", "served", "failed"),
        *(f"{first} frozen", f"{first} kept fit", f"{second} frozen", f"{second} kept fit"),
        *("pages", "retrained", "promoted", "refused"),
    )
    rows = [_row(m, found.metrics) for m in found.months]
    endings = [f"  {t['time']}  {t['reason']}\n{'':14}{t['ending']}: {t['note']}" for t in found.trainings]
    served = sum(m.served for m in found.months)
    failed = sum(m.failed for m in found.months)
    return "\n".join(
        [
            table(head, rows, right=range(1, len(head))),
            "",
            f"{served:,} predictions served, {failed:,} failed; {found.probes:,} more requests sent while models were "
            f"trained and exchanged, {found.probes_failed:,} failed; {seconds:.0f} s",
            "",
            "every training, and what came of it:",
            *endings,
        ]
    )


def _row(month: Month, metrics: list[str]) -> tuple[str, ...]:
    figures = [_figure(of.get(m)) for m in metrics for of in (month.frozen, month.kept)]
    counts = (month.alerts, month.retrainings, month.promoted, month.refused)
    return (month.month, f"{month.served:,}", str(month.failed), *figures, *map(str, counts))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
