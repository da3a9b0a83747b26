"""`keepfit push`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from keepfit.cli.opening import open_anyway
from keepfit.cli.remote import add_arguments, chosen, chosen_remote, size, telling
from keepfit.cli.report import Progress, Report
from keepfit.remotes.push import Pushed
from keepfit.remotes.push import push as push_to


def arguments(parser: ArgumentParser) -> None:
    add_arguments(parser)


def run(options: Namespace) -> Report:
    project, home = open_anyway(options.project)
    remote = chosen_remote(home, project, options.remote)
    progress = Progress()
    try:
        found = push_to(home, remote, selection=chosen(options), tell=telling(progress, "sent"))
    finally:
        progress.clear()
    return Report(found, _text(found, remote.address), 3 if found.moved.absent else 0)


def _text(found: Pushed, address: str) -> str:
    moved = found.moved
    if not (moved.objects or found.facts or found.names):
        lines = [f"{address} has everything already"]
    else:
        lines = [f"{moved.objects:,} objects ({size(moved.bytes)}), {found.facts:,} facts, {found.names:,} names moved"]
        lines += [f"to {address}"]
    if moved.absent:
        lines.append(f"{len(moved.absent):,} objects that facts name are neither here nor there: keepfit verify")
    if found.beside:
        lines.append(f"{found.beside} others pushed in the same moment, and nothing of either is lost: keepfit pull")
    if not found.exclusive and (found.facts or found.names):
        lines.append("this remote cannot tell two that push at once apart: names may have to be settled afterwards")
    return "\n".join(lines)
