"""From a project to where it keeps everything."""

from __future__ import annotations

import contextlib
import getpass
import os
from pathlib import Path

from keepfit.core.clocks import Clock, WallClock
from keepfit.core.errors import StoreError
from keepfit.core.files import write_file
from keepfit.home import FOLDER, Home
from keepfit.ledger import open_ledger
from keepfit.objects import Leased, Objects, open_objects
from keepfit.project.project import Project


def home(project: Project, *, clock: Clock | None = None, actor: str | None = None) -> Home:
    """The project's stores, opened; the caller closes the ledger.

    Facts are written in the name of `actor`, else of $KEEPFIT_ACTOR, else of the login. Raises
    UsageError for an address no backend answers to, StoreError when a store cannot be opened.
    """
    from keepfit.engines import Here  # brings subprocess, which reading a project does not need

    _keep_from_git(project.root / FOLDER)
    return Home(
        root=project.root,
        ledger=open_ledger(project.ledger, project.root),
        objects=_objects(project),
        engine=Here(),
        actor=actor if actor is not None else _actor(),
        clock=clock or WallClock(),
    )


def _keep_from_git(folder: Path) -> None:
    """Keys, tokens and data never get into a commit by `git add .`: all of the folder is ignored."""
    ignore = folder / ".gitignore"
    if not ignore.exists():
        with contextlib.suppress(StoreError):  # where nothing can be written, there is nothing to protect
            write_file(ignore, b"*\n")


def _objects(project: Project) -> Objects:
    """The project's store; one below its own folder is kept tidy by `keepfit gc`, which has to see who is at work."""
    kept = project.root / FOLDER
    store = open_objects(project.objects, project.root, cache=kept / "cache" / "objects")
    return Leased(store, kept / "leases") if project.objects.startswith("folder:") else store


def _actor() -> str:
    if named := os.environ.get("KEEPFIT_ACTOR"):
        return named
    with contextlib.suppress(OSError, KeyError):  # a container's user need not be in the password file
        return getpass.getuser()
    return f"user {os.getuid()}"
