"""`keepfit verify`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from keepfit.cli.opening import open_anyway
from keepfit.cli.remote import chosen_remote, size
from keepfit.cli.report import Progress, Report
from keepfit.core.digests import short
from keepfit.home import Home
from keepfit.keeping.sources import Source, store, working_files
from keepfit.keeping.verify import Fault, Verified
from keepfit.keeping.verify import verify as verify_all
from keepfit.objects import open_objects
from keepfit.project import Project

_SHOWN = 20


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--repair", action="store_true", help="put damaged and missing objects anew, from where they are"
    )
    parser.add_argument(
        "--remote", nargs="?", const="", metavar="ADDRESS", help="check the remote's objects instead of those here"
    )


def run(options: Namespace) -> Report:
    project, home = open_anyway(options.project)
    progress = Progress()

    def tell(v: Verified) -> None:
        progress.show(f"read {v.objects:,} objects, {size(v.bytes)} ...")

    here = open_objects(project.objects, project.root)
    try:
        if options.remote is not None:
            remote = chosen_remote(home, project, options.remote or None)
            with remote.seen() as seen:
                facts = [digest for entry in seen.entries.values() for digest in [*entry.segments, *entry.curves]]
            sources = [store("here", here, home.folder / "incoming"), working_files(home)]
            found = verify_all(home, remote.objects, extra=facts, sources=sources if options.repair else (), tell=tell)
        else:
            sources = _sources(home, project) if options.repair else []
            found = verify_all(home, here, sources=sources, tell=tell)
    finally:
        progress.clear()
    return Report(found, _text(found, repair=options.repair), 0 if found.well else 3)


def _sources(home: Home, project: Project) -> list[Source]:
    found = [working_files(home)]
    if project.remote:
        remote = chosen_remote(home, project, None)
        found.append(store(f"the remote {remote.address}", remote.objects, home.folder / "incoming"))
    return found


def _text(found: Verified, *, repair: bool) -> str:
    lines = [f"{found.objects:,} objects ({size(found.bytes)}), {found.facts:,} facts, {found.names:,} names"]
    if found.index:
        lines.append(f"made anew from the packs: {found.index}")
    if found.ledger:
        lines.append(f"the ledger is not whole: {found.ledger}")
    for fault in found.faults[:_SHOWN]:
        lines += _told(fault)
    if len(found.faults) > _SHOWN:
        lines.append(f"and {len(found.faults) - _SHOWN:,} more objects (--json tells them all)")
    left = sum(fault.repaired_from is None for fault in found.faults)
    if not found.faults and not found.ledger:
        lines.append("all whole")
    elif left and not repair:
        lines += ["", "next: keepfit verify --repair"]
    elif left:
        lines += ["", f"{left:,} objects are nowhere to be had: pull from another machine, or put the files back"]
    return "\n".join(lines)


def _told(fault: Fault) -> list[str]:
    state = f"{fault.state}, put anew from {fault.repaired_from}" if fault.repaired_from else fault.state
    needs = fault.needed_by[:5] + ([f"{len(fault.needed_by) - 5} more"] if len(fault.needed_by) > 5 else [])
    return [f"{short(fault.digest)} {state}", f"  needed by {', '.join(needs)}" if needs else "  nothing needs it"]
