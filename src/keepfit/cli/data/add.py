"""`keepfit data add`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from keepfit.cli.data.showing import counted, telling, told_version
from keepfit.cli.opening import open_project
from keepfit.cli.report import Report
from keepfit.datasets.add import add
from keepfit.datasets.choose import choose


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("what", nargs="*", help="datasets by name, or paths in the project (default: every dataset)")


def run(options: Namespace) -> Report:
    project, home = open_project(options.project)
    done, lines = [], []
    with telling() as told:
        for source, dataset in choose(home, project.datasets, options.what):
            added = add(home, source, dataset, told=told)
            done.append(added._asdict() | {"counts": dict(added.counts)})
            changed = counted(added.counts) if added.changed else "unchanged"
            lines.append(f"{told_version(added.version)}: {changed}")
            if added.note:
                lines.append(f"  note: {added.note}")
    return Report(done, "\n".join(lines))
