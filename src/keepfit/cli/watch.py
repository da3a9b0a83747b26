"""`keepfit watch`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from keepfit import steps
from keepfit.alerting.alert import open_alerts
from keepfit.cli.opening import open_anyway
from keepfit.cli.report import Progress, Report, table
from keepfit.cli.telling import tell
from keepfit.core.clocks import iso
from keepfit.core.files import is_read_only
from keepfit.models.task import METRICS
from keepfit.monitoring.watch import Window, due_windows, list_windows
from keepfit.releases.release import champion


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--last", type=int, default=14, metavar="N", help="windows to show (default: 14)")


def run(options: Namespace) -> Report:
    project, home = open_anyway(options.project)
    live, progress = champion(home, project.name), Progress()
    due = due_windows(home, project.name, settings=project.watch, delay=project.main.label_delay) if live else []
    for start in [] if is_read_only(home.folder) else due:
        progress.show(f"watching {iso(start)} ...")
        if live:
            steps.watch(project, home, live, start)
    progress.clear()
    tell(project, home)
    windows = list_windows(home, project.name, limit=options.last)
    alerts = open_alerts(home, project.name)
    metrics = METRICS[project.task]
    head = ("window", "predictions", "labelled", *metrics, "drifted")
    rows = [_row(w, metrics) for w in windows]
    told = [f"{a.severity}: {a.text} (since {iso(a.since)})" for a in alerts] or ["no alert is open"]
    text = "\n".join(
        [table(head, rows, right=range(1, 3 + len(metrics))) if rows else "nothing to watch yet", "", *told]
    )
    pages = any(a.severity == "page" for a in alerts)
    return Report({"windows": windows, "alerts": alerts}, text, 3 if pages else 0)


def _row(window: Window, metrics: tuple[str, ...]) -> tuple[str, ...]:
    figures = [f"{window.metrics[m]:.4f}" if m in window.metrics else "-" for m in metrics]
    drifted = [moved.column for moved in window.drift.moved]
    more = f" +{len(drifted) - 3}" if len(drifted) > 3 else ""
    return (
        iso(window.start),
        f"{window.predictions:,}",
        f"{window.labelled:,}",
        *figures,
        ", ".join(drifted[:3]) + more or "-",
    )
