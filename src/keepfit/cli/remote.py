"""What the commands about remotes share: which remote, which part, and how far it has come."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from keepfit.cli.report import Progress
from keepfit.core.errors import UsageError
from keepfit.home import Home
from keepfit.project import Project
from keepfit.remotes.remote import Remote, open_remote
from keepfit.remotes.selection import DATA, MODELS, Selection
from keepfit.remotes.transfer import Moved


def add_arguments(parser: ArgumentParser) -> None:
    """The remote, and what of the project."""
    parser.add_argument("remote", nargs="?", help="s3://bucket/prefix, or a folder (default: `remote` in keepfit.toml)")
    parser.add_argument("--only", action="append", default=[], metavar="SUBJECT", help="only this, as data/flights")
    parser.add_argument("--data", action="store_true", help="only data versions")
    parser.add_argument("--models", action="store_true", help="only models, their packages and releases")


def chosen(options: Namespace) -> Selection:
    """The part of the project that the options name."""
    parts = (*options.only, *(DATA if options.data else ()), *(MODELS if options.models else ()))
    return Selection(tuple(part.rstrip("/") for part in parts))


def chosen_remote(home: Home, project: Project, address: str | None) -> Remote:
    """The remote that is named, else the project's; UsageError when there is none."""
    if not (address := address or project.remote):
        hint = 'write remote = "s3://bucket/delay" (or a folder) in keepfit.toml'
        raise UsageError("no remote is named", hint=hint)
    return open_remote(home, address)


def telling(progress: Progress, verb: str) -> Callable[[Moved], None]:
    """Shows how far a transfer has come."""
    return lambda m: progress.show(f"{verb} {m.objects:,} of {m.wanted:,} objects, {size(m.bytes)} ...")


def size(count: float) -> str:
    """Bytes as people write them."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
