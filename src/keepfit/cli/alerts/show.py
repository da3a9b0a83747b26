"""`keepfit alerts show`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

import msgspec

from keepfit.alerting.alert import find_alert
from keepfit.alerting.causes import background
from keepfit.alerting.outbox import deliveries, messages
from keepfit.alerting.silence import silences
from keepfit.alerting.write import fault
from keepfit.cli.alerts.showing import known
from keepfit.cli.opening import open_anyway
from keepfit.cli.report import Report
from keepfit.core.clocks import iso


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("alert", help="its id, the beginning of one, or the fault of an open one: drift/wind")


def run(options: Namespace) -> Report:
    project, home = open_anyway(options.project)
    alert = find_alert(home, project.name, options.alert)
    around = background(home, project.name, alert)
    told = [m for m in messages(home, project.name, since=alert.since) if {alert.id, alert.opened} & set(m.about)]
    outcomes = deliveries(home, project.name, told)
    lines = [fault(alert, home.clock.now(), around)]
    state = "open" if alert.state == "open" else f"resolved at {iso(alert.time)}"
    lines.append(", ".join(part for part in (state, known(alert, silences(home, project.name))) if part))
    lines += [] if told else ["nobody has been told"]
    for message in reversed(told):
        lines.append(f"{iso(message.time)}  {message.form} {message.id}")
        lines += [f"  {iso(o.time)}  {o.state} {o.channel} {o.reason}".rstrip() for o in outcomes[message.id]]
        taken = {o.channel for o in outcomes[message.id] if o.state == "sent"}
        lines += [f"  not taken yet by {channel}" for channel in message.channels if channel not in taken]
    value = {
        "alert": alert,
        "causes": around.causes,
        "roll_back": around.roll_back,
        "messages": [{**msgspec.to_builtins(m), "deliveries": outcomes[m.id]} for m in told],
    }
    return Report(value, "\n".join(lines))
