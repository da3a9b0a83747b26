"""`keepfit status`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from keepfit.alerting.alert import Alert
from keepfit.cli.alerts.showing import known
from keepfit.cli.opening import briefly
from keepfit.cli.report import Report
from keepfit.core.clocks import age, iso
from keepfit.project import find_root, home, load_leniently
from keepfit.status import Status, status


def arguments(parser: ArgumentParser) -> None:
    pass


def run(options: Namespace) -> Report:
    project, broken = load_leniently(find_root(options.project))
    found = status(project, home(project), briefly(broken) if broken else None)
    return Report(found, screen(found), 1 if broken else 0 if found.well else 3)


def screen(status: Status) -> str:
    """The status as people read it."""
    lines = [f"{status.project}   {iso(status.now)}", ""]
    live = status.live
    lines.append(_line("in production", f"{live} since {iso(live.time)}: {live.reason}" if live else "nothing"))
    if status.rollout:
        rollout = status.rollout
        lines.append(_line("rolling out", f"{rollout} since {iso(rollout.begun)}: {rollout.reason}"))
        lines.append(_line("", status.waits))
    lines.append(_line("endpoint", status.endpoint or "not running: keepfit up"))
    lines += _block("doing", _doing(status))
    if status.stuck:
        lines.append(_line("loop", status.stuck))
    alerts = [_alert(a, status) for a in status.alerts]
    lines += _block("alerts", [*alerts, *(s.text for s in status.sources)] or ["none"])
    lines += _block("told", [*([status.pages] if status.pages else []), *status.waiting])
    if status.broken:
        lines.append(_line("project", status.broken))
    if status.problem:
        lines.append(_line("data", status.problem))
    lines += _block("next", status.next[:3] + ([f"and {len(status.next) - 3} more"] if len(status.next) > 3 else []))
    if status.last:
        ending = f"{status.last.ending}: {status.last.note}" if status.last.ending else "being worked on"
        lines.append(_line("last training", f"{iso(status.last.time)} ({status.last.reason}) {ending}"))
    return "\n".join(lines)


def _alert(alert: Alert, status: Status) -> str:
    told = "".join(f", {part}" for part in [known(alert, status.silences)] if part)
    return f"{alert.severity} since {iso(alert.since)} ({age(status.now - alert.since)}{told}): {alert.text}"


def _doing(status: Status) -> list[str]:
    window, coming = status.window, status.coming
    told = []
    if coming:
        told.append(f"the window of {iso(coming.start)} is not over; it is watched at {iso(coming.watched)}")
    if window is None:
        return told or ["nothing watched yet"]
    metrics = "  ".join(f"{m} {v:.4f}" for m, v in window.metrics.items())
    other = status.watched and status.live and status.watched.version != status.live.version
    of = f", of {status.watched}" if other else ""
    counts = f"{window.predictions:,} predictions, {window.labelled:,} labelled"
    seen = [f"{counts} on {iso(window.start)}{of}  {metrics}".rstrip()]
    recent = window.recent
    if recent and recent.value is not None:
        promise = f", promised {recent.promised:.4f}" if recent.promised is not None else ""
        seen.append(f"{recent.metric} {recent.value:.4f} ({recent.low:.4f} to {recent.high:.4f}) lately{promise}")
    return seen + told


def _block(name: str, texts: list[str]) -> list[str]:
    return [_line(name if i == 0 else "", text) for i, text in enumerate(texts)]


def _line(name: str, text: str) -> str:
    return f"{name:<15}{text}"
