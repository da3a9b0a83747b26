"""How versions are shown."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from keepfit.cli.report import Progress
from keepfit.datasets.progress import Told, size
from keepfit.datasets.tree import Change
from keepfit.datasets.version import DataVersion

MARKS = {"added": "+", "modified": "~", "deleted": "-"}


@contextlib.contextmanager
def telling() -> Iterator[Told]:
    """A line on the terminal that tells how far it has come, gone at the end."""
    progress = Progress()
    try:
        yield progress.show
    finally:
        progress.clear()


def told_version(version: DataVersion) -> str:
    """A version with what is in it."""
    rows = f", {version.rows:,} rows" if version.rows is not None else ""
    return f"{version}  {plural(version.files, 'file')}, {size(version.bytes)}{rows}"


def counted(changes: Mapping[Change, int]) -> str:
    """Numbers of changed files in words."""
    return ", ".join(f"{n:,} {what}" for what, n in changes.items() if n) or "nothing changed"


def plural(count: int, noun: str) -> str:
    """A number of things."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
