"""Where an endpoint runs for good. A target says what files and commands that takes; nothing is done in secret.

A new target is one file with a class that has these methods, a line in TARGETS, and its name in docs/targets.md.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from keepfit.core.errors import ServingError, UsageError, did_you_mean
from keepfit.core.files import remove_files, write_files
from keepfit.project import Project

Scope = Literal["user", "system"]


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoint that is to run."""

    root: Path
    """The project's folder."""
    name: str
    """Of the model."""
    host: str
    port: int
    python: Path
    """The interpreter that keepfit is installed for."""
    writes: list[Path] = []
    """What it writes to outside the project's folder."""
    scope: Scope = "user"


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    """What is done, in this order; each step can be done again."""

    before: list[list[str]] = []
    """Commands."""
    write: dict[Path, str] = {}
    remove: list[Path] = []
    after: list[list[str]] = []
    note: str = ""
    """What a person should know."""


class Target(Protocol):
    """A place for endpoints."""

    def check(self) -> None:
        """ServingError, with what to do instead, when this machine has no such place."""

    def install(self, deployment: Deployment) -> Steps:
        """What brings the endpoint there, or up to date there; UsageError when something of another's is in the way."""

    def remove(self, deployment: Deployment) -> Steps:
        """What takes it away again, and nothing else."""


TARGETS: Mapping[str, str] = {"local": "keepfit.infra.local:Local", "systemd": "keepfit.infra.systemd:Systemd"}


def find_target(name: str) -> Target:
    """The target of this name; UsageError when there is none."""
    if name not in TARGETS:
        raise UsageError(f"there is no target `{name}`", hint=did_you_mean(name, TARGETS))
    module, made = TARGETS[name].split(":")
    found: Target = getattr(import_module(module), made)()
    return found


def deployment_of(project: Project, python: Path, scope: Scope) -> Deployment:
    """The project's endpoint as its settings have it."""
    stores = (place.partition(":")[2] for place in (project.ledger, project.objects) if "://" not in place)
    outside = [Path(place) for place in stores if Path(place).is_absolute()]
    return Deployment(
        root=project.root.resolve(),
        name=project.name,
        host=project.serve.host,
        port=project.serve.port,
        python=python,
        writes=[place.parent if place.suffix else place for place in outside],
        scope=scope,
    )


def take(steps: Steps, told: Callable[[str], object] = lambda _: None) -> None:
    """Do all of it; ServingError with what a command said when it fails, StoreError when the disk refuses."""
    for command in steps.before:
        _run(command, told)
    write_files({path: text.encode() for path, text in steps.write.items()})
    remove_files(steps.remove)
    for command in steps.after:
        _run(command, told)


def _run(command: Sequence[str], told: Callable[[str], object]) -> None:
    told(f"{' '.join(command)} ...")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
        raise ServingError(f"`{' '.join(command)}` failed: {said}", hint="mend that, and run it again")
