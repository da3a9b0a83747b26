"""`keepfit gc`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from keepfit.cli.opening import open_anyway
from keepfit.cli.remote import size
from keepfit.cli.report import Progress, Report
from keepfit.core.clocks import iso
from keepfit.core.errors import UsageError
from keepfit.keeping.gc import Freed
from keepfit.keeping.gc import gc as collect
from keepfit.objects import open_objects


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="free it; without this it is only shown")


def run(options: Namespace) -> Report:
    project, home = open_anyway(options.project)
    scheme, _, path = project.objects.partition(":")
    if scheme != "folder" or not (home.root / path).resolve().is_relative_to(home.folder.resolve()):
        hint = f"its own rules must say what may go; what is below `{home.folder.name}` can be freed here"
        raise UsageError(f"the store `{project.objects}` may be in use by others, which cannot be seen here", hint=hint)
    progress = Progress()
    try:
        found = collect(
            home,
            open_objects(project.objects, project.root),
            apply=options.yes,
            tell=lambda f: progress.show(f"{f.objects:,} objects, {size(f.bytes)} ..."),
        )
    finally:
        progress.clear()
    return Report(found, _text(found))


def _text(found: Freed) -> str:
    if not (found.objects or found.folders):
        return f"nothing to free: all {found.kept:,} objects are needed or in use"
    oldest = f", the oldest from {iso(found.oldest)}" if found.oldest else ""
    verb = "freed" if found.applied else "would free"
    lines = [f"{verb} {found.objects:,} objects ({size(found.bytes)}{oldest}); {found.kept:,} are needed"]
    if found.folders:
        lines.append(f"{verb} {len(found.folders):,} folders ({size(found.folder_bytes)}) of work that is over")
        lines += [f"  {path}" for path in found.folders[:10]]
    return "\n".join([*lines, *([] if found.applied else ["", "next: keepfit gc --yes"])])
