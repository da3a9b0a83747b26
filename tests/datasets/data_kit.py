"""A home with datasets of a test's own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from keepfit.datasets.source import Source, path_source
from keepfit.engines import Here
from keepfit.home import Home
from keepfit.ledger import open_ledger
from keepfit.objects import open_objects


def make_home(root: Path) -> Home:
    root.mkdir(parents=True, exist_ok=True)
    return Home(
        root=root,
        ledger=open_ledger("sqlite:.keepfit/ledger.db", root),
        objects=open_objects("folder:.keepfit/objects", root),
        engine=Here(),
        actor="ada",
    )


def write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def age(root: Path, seconds: float = 10) -> None:
    """Make the files look as if they had been written a while ago; their ctime stays."""
    for path in root.rglob("*"):
        if path.is_file() and ".keepfit" not in path.parts:
            stat = path.stat()
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns - int(seconds * 1e9)))


def contents(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def source(home: Home, path: str = "d") -> Source:
    return path_source(home.root, path)
