"""`keepfit pull`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from keepfit.cli.opening import open_anyway
from keepfit.cli.remote import add_arguments, chosen, chosen_remote, size, telling
from keepfit.cli.report import Progress, Report
from keepfit.remotes.pull import Pulled
from keepfit.remotes.pull import pull as pull_from


def arguments(parser: ArgumentParser) -> None:
    add_arguments(parser)
    parser.add_argument("--trust", action="append", default=[], metavar="KEY", help="believe what this key has signed")
    parser.add_argument(
        "--prefer", choices=("ours", "theirs"), help="where a name was moved on both sides, take this one"
    )


def run(options: Namespace) -> Report:
    project, home = open_anyway(options.project)
    remote = chosen_remote(home, project, options.remote)
    progress = Progress()
    try:
        found = pull_from(
            home,
            remote,
            selection=chosen(options),
            prefer=options.prefer,
            trusting=options.trust,
            tell=telling(progress, "fetched"),
        )
    finally:
        progress.clear()
    return Report(found, _text(found, remote.address), 3 if found.diverged or found.moved.absent else 0)


def _text(found: Pulled, address: str) -> str:
    moved = found.moved
    new = moved.objects or found.facts or found.names
    told = f"{moved.objects:,} objects ({size(moved.bytes)}), {found.facts:,} facts, {len(found.names):,} names moved"
    lines = [told if new else f"nothing new on {address}"]
    lines += [f"  {name} -> {id}" for name, id in list(found.names.items())[:10]]
    lines += [f"key {key} is trusted from now on" for key in found.trusted]
    if found.other:
        lines.append(f"{found.other:,} facts were recorded on both sides, not quite alike: each side keeps its own")
    if moved.absent:
        lines.append(f"{len(moved.absent):,} objects that facts name are neither here nor there: keepfit verify")
    if found.diverged:
        lines.append(f"{len(found.diverged):,} names were moved on both sides, and stay where they are here:")
        lines += [f"  {d.name}: here {d.ours}, there {d.theirs}" for d in found.diverged]
        lines.append("choose: keepfit pull --prefer ours, or --prefer theirs; both stay in the ledger")
    return "\n".join(lines)
