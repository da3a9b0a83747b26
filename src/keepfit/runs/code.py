"""Where a run's code stood in version control, kept as evidence: without git, or without a commit, there is none."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec

from keepfit.objects import Objects

LARGEST = 8 << 20
"""Bytes of uncommitted changes that are kept; of a larger difference, its beginning."""
_PATIENCE = 10.0
"""Seconds for git to answer; a network drive may never."""
_SAFE = ["--literal-pathspecs", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false"]
_QUIET = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The commit a run started from, and what was not committed."""

    commit: str
    branch: str
    """Empty when no branch is checked out."""
    dirty: bool
    """Whether a file that the run uses is not as committed."""
    diff: str = ""
    """Object digest of the uncommitted changes in the project's folder, as a patch without binary content."""
    cut: bool = False
    """Whether the patch was too large to be kept whole."""
    author: list[str] = []
    """Who made the commit: name, address, and the address up to its `@`."""


def snapshot(objects: Objects, root: Path, files: Iterable[str]) -> Snapshot | None:
    """What git says of the project in `root` and of these files in it; None where it says nothing.

    Never fails, never waits for long, and runs no program that the repository configures. Remotes
    are not looked at.
    """
    told, _ = _git(root, "status", "--porcelain=v2", "--branch", "--untracked-files=all", "--", *files)
    lines = told.decode("utf-8", "replace").splitlines()
    head = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# branch.") and line.count(" ") >= 2)
    commit, branch = head.get("branch.oid", ""), head.get("branch.head", "")
    if not commit or commit.startswith("("):
        return None
    patch, cut = _git(root, "diff", "HEAD", "--no-ext-diff", "--no-textconv", "--no-color", "--", ".")
    return Snapshot(
        commit=commit,
        branch="" if branch.startswith("(") else branch,
        dirty=any(not line.startswith("#") for line in lines),
        diff=objects.put(patch) if patch else "",
        cut=cut,
        author=_author(root),
    )


def _author(root: Path) -> list[str]:
    told, _ = _git(root, "show", "--no-patch", "--no-show-signature", "--format=%an%n%ae", "HEAD")
    names = told.decode("utf-8", "replace").splitlines()
    return list(dict.fromkeys([*names, *(name.partition("@")[0] for name in names if "@" in name)]))


def _git(root: Path, *words: str) -> tuple[bytes, bool]:
    """What the command prints, and whether that is only its beginning; nothing when it fails."""

    import subprocess  # paid for by those who run something

    command = ["git", "-C", str(root), *_SAFE, *words]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_QUIET},
        )
    except OSError:
        return b"", False
    timer = threading.Timer(_PATIENCE, process.kill)
    timer.daemon = True
    timer.start()
    try:
        assert process.stdout is not None
        with process.stdout as output:
            told = output.read(LARGEST + 1)
        cut = len(told) > LARGEST
        if cut:
            process.kill()
        return (told[:LARGEST], True) if cut else (told if process.wait() == 0 else b"", False)
    finally:
        timer.cancel()
        process.wait()
