"""`keepfit data checkout`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from keepfit.cli.data.showing import plural, telling, told_version
from keepfit.cli.opening import open_anyway
from keepfit.cli.report import Report
from keepfit.datasets.restore import restore
from keepfit.datasets.version import resolve_version
from keepfit.datasets.walk import shown


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("version", help="NAME@3, NAME@-1 (the last one added), NAME (the newest) or an id")
    parser.add_argument("--to", type=Path, metavar="DIR", help="lay the files out there instead of in their place")
    parser.add_argument("--force", action="store_true", help="overwrite files whose content is in no version")


def run(options: Namespace) -> Report:
    _, home = open_anyway(options.project)
    version = resolve_version(home, options.version)
    with telling() as told:
        done = restore(home, version, to=options.to, force=options.force, told=told)
    lines = [f"{told_version(version)}, in {done.folder}"]
    lines.append(f"{plural(done.written, 'file')} written, {done.removed:,} removed")
    if done.kept:
        first = ", ".join(f"`{shown(p)}`" for p in done.kept[:10])
        lines.append(f"left alone, in no version: {first}" + (" ..." if len(done.kept) > 10 else ""))
    value = {"version": version, **done._asdict(), "folder": str(done.folder)}
    return Report(value, "\n".join(lines))
