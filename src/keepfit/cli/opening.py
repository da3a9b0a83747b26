"""The project a command is about."""

from __future__ import annotations

from pathlib import Path

from keepfit.core.clocks import Clock
from keepfit.home import Home
from keepfit.project import Project, find_root, home, load_project


def open_project(folder: Path, *, clock: Clock | None = None) -> tuple[Project, Home]:
    """The project in this folder or above it, and where it keeps everything."""
    project = load_project(find_root(folder))
    return project, home(project, clock=clock)
