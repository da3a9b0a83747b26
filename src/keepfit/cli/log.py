"""`keepfit log`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from keepfit.cli.opening import open_anyway
from keepfit.cli.report import Report, table
from keepfit.core.clocks import instant, iso
from keepfit.history import history


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--kind", action="append", default=[], help="only these: change, data, run, release, alert ...")
    parser.add_argument("--subject", help="only this: data/flights, release/delay ...")
    parser.add_argument("--by", metavar="ACTOR", help="only what this person or process did")
    parser.add_argument("--since", metavar="TIME", help="from this date or time (UTC) on")
    parser.add_argument("--until", metavar="TIME", help="before this date or time (UTC)")
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="the newest N (default: 50)")


def run(options: Namespace) -> Report:
    _, home = open_anyway(options.project)
    found = history(
        home,
        kinds=options.kind,
        subject=options.subject,
        actor=options.by,
        since=instant(options.since) if options.since else None,
        until=instant(options.until) if options.until else None,
        limit=options.limit,
    )
    rows = [(iso(e.time), e.actor, e.kind, e.subject, e.text[:120]) for e in found]
    text = table(("when", "who", "what", "of", ""), rows) if rows else "nothing that fits has happened"
    return Report(found, text)
