"""`keepfit alerts list`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from keepfit.alerting.alert import alert_history, open_alerts
from keepfit.alerting.due import pages_lately
from keepfit.alerting.outbox import standing
from keepfit.alerting.postman import backlog
from keepfit.alerting.write import tally_of
from keepfit.cli.alerts.showing import known
from keepfit.cli.opening import open_anyway
from keepfit.cli.report import Report, table
from keepfit.core.clocks import age, iso


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="also what is resolved, newest first")
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="with --all: how many (default: 50)")


def run(options: Namespace) -> Report:
    project, home = open_anyway(options.project)
    settings, name = project.alerts, project.name
    now = standing(home, name, settings)
    alerts = alert_history(home, name, limit=max(1, options.limit)) if options.all else open_alerts(home, name)
    waiting = backlog(home, name, settings)
    pages = pages_lately(settings, now)
    rows = [
        (a.id[:14], a.state, a.severity, iso(a.since), age((a.time if a.state == "resolved" else now.now) - a.since),
         known(a, now.silences), a.text.splitlines()[0][:100])
        for a in alerts
    ]  # fmt: skip
    head = ("alert", "", "", "since", "for", "", "what")
    lines = [table(head, rows) if rows else "no alert is open" if not options.all else "there has been no alert"]
    lines += [f"silenced: {s.what} until {iso(s.until)} by {s.by or '-'} {s.note}".rstrip() for s in now.silences]
    lines += ["", tally_of(pages, *settings.budget) if settings.to else NOBODY, *waiting]
    value = {
        "alerts": alerts,
        "silences": now.silences,
        "pages": {"sent": pages, "budget": settings.budget.pages, "seconds": settings.budget.period.total_seconds()},
        "waiting": waiting,
    }
    return Report(value, "\n".join(lines), 3 if any(a.severity == "page" for a in now.open) else 0)


NOBODY = 'nobody is told: [alerts] to = ["$TEAM_SLACK"] in keepfit.toml'
