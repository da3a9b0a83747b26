"""The project a command is about."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from keepfit.core.clocks import Clock
from keepfit.core.errors import ProjectError
from keepfit.home import Home
from keepfit.project import Project, find_root, home, load_leniently


def open_project(folder: Path, *, clock: Clock | None = None) -> tuple[Project, Home]:
    """The project in this folder or above it, and where it keeps everything; ProjectError when it is not whole."""
    project, problem = load_leniently(find_root(folder))
    if problem:
        raise problem
    return project, home(project, clock=clock)


def open_anyway(folder: Path) -> tuple[Project, Home]:
    """The same for what must go on with broken code or settings: as far as it can be read, and a warning."""
    project, problem = load_leniently(find_root(folder))
    if problem:
        with contextlib.suppress(OSError):
            print(f"warning: going on without the whole project: {briefly(problem)}", file=sys.stderr)
    return project, home(project)


def briefly(problem: ProjectError) -> str:
    """What is wrong on one line."""
    first, *more = (line.strip() for line in problem.message.splitlines())
    return f"{problem.where}: {first}" if problem.where else ": ".join([first, *more[:1]])
