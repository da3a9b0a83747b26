"""From keepfit.toml to a Project, or to everything that is wrong with it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from keepfit.core.errors import ProjectError, StoreError
from keepfit.core.files import write_file
from keepfit.core.toml import Document, Key, load
from keepfit.home import FOLDER
from keepfit.project.project import FILE, Project
from keepfit.project.rules import rules
from keepfit.project.sections import Problem, read_sections
from keepfit.runs.training import TrainSettings


def load_project(root: Path) -> Project:
    """The project whose keepfit.toml is in `root`.

    None of the user's code is run. Raises ProjectError that tells of every problem found, each
    with file:line:column.
    """
    project, _ = _whole(root)
    return project


def load_leniently(root: Path) -> tuple[Project, ProjectError | None]:
    """The project as far as it can be read, and what is wrong with it if something is.

    A section that is wrong is as it was when the project was last whole, which `.keepfit` keeps. None of
    the user's code is run. Raises ProjectError when not even the model's name is known.
    """
    try:
        project, document = _whole(root)
    except ProjectError as problem:
        return _partly(root, problem), problem
    with contextlib.suppress(StoreError):  # a read-only disk: it has nothing to go back to
        _keep(root / FOLDER / FILE, document.text.encode())
    return project, None


def check_project(project: Project) -> None:
    """Hold a project built in Python against the rules of keepfit.toml; ProjectError when it breaks some."""
    parts = msgspec.structs.asdict(project)
    problems = rules(project.root, {**parts, "model": project.name, "data": project.datasets})
    if found := list(problems):
        raise _error(found, None)


def find_root(start: Path) -> Path:
    """The nearest folder at or above `start` with a keepfit.toml; ProjectError when there is none."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / FILE).is_file():
            return folder
    raise _no_project(start)


def _whole(root: Path) -> tuple[Project, Document]:
    if not (root / FILE).is_file():
        raise _no_project(root)
    document = load(root / FILE)
    whole, problems = read_sections(document.data)
    problems += rules(root, whole)
    if problems:
        raise _error(problems, document)
    return _project(root, whole), document


def _project(root: Path, parts: dict[str, Any]) -> Project:
    return Project(root=root, name=parts.pop("model"), datasets=parts.pop("data"), **parts)


def _partly(root: Path, problem: ProjectError) -> Project:
    now, before = _readable(root / FILE), _readable(root / FOLDER / FILE)
    wrong = {p.key[0] for p in rules(root, now) if p.key and not p.where}  # elsewhere: the section itself is right
    sound = {name: part for name, part in now.items() if name not in wrong}
    parts = {"data": (), "train": TrainSettings(fit=""), **now, **before, **sound}
    if "model" not in parts:
        raise problem
    return _project(root, parts)


def _readable(path: Path) -> dict[str, Any]:
    """The sections of a file that are in form."""
    try:
        return read_sections(load(path).data)[0]
    except ProjectError:
        return {}


def _keep(path: Path, content: bytes) -> None:
    try:
        kept = path.read_bytes()
    except OSError:
        kept = b""
    if kept != content:
        write_file(path, content, mode=0o600)


def _no_project(folder: Path) -> ProjectError:
    return ProjectError(f"there is no `{FILE}` here or above", where=str(folder), hint="keepfit init DATA.csv")


def _error(problems: Iterable[Problem], document: Document | None) -> ProjectError:
    placed = sorted(((*_order(p, document), p) for p in problems), key=lambda item: item[:2])
    if len(placed) == 1:
        _, _, where, problem = placed[0]
        return ProjectError(problem.message, where=where, hint=problem.hint)
    lines = [f"{len(placed)} problems"]
    for *_, where, problem in placed:
        lines.append(f"  {where}: {problem.message}" + (f" ({problem.hint})" if problem.hint else ""))
    return ProjectError("\n".join(lines))


def _order(problem: Problem, document: Document | None) -> tuple[int, tuple[int, int], str]:
    """What problems are sorted by (those of keepfit.toml first, by place), and the place in words."""
    if problem.where:
        return 1, (0, 0), problem.where
    if document is None:
        return 0, (0, 0), _dotted(problem.key)
    line, column = document.position(problem.key)
    return 0, (line, column), f"{FILE}:{line}:{column}"


def _dotted(key: Key) -> str:
    return "".join(f"[{k}]" if isinstance(k, int) else f".{k}" for k in key).strip(".")
