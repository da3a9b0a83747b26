"""A command that met a fault, held against the same command undisturbed."""

from __future__ import annotations

import os
import pickle
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from commands import Command, prepare
from judge import State, is_whole, look

from keepfit.core.files import locked
from keepfit.testing.faults import Struck, strike


class Undisturbed(NamedTuple):
    """A command that met no fault."""

    place: Path
    """As it was before."""
    before: State
    after: State
    done: Struck
    seconds: float
    """Of the processor."""


def places(tmp_path: Path) -> Path:
    """Where projects are prepared, for all workers of a session."""
    place = tmp_path.parent.parent / "places" if "PYTEST_XDIST_WORKER" in os.environ else tmp_path.parent / "places"
    place.mkdir(exist_ok=True)
    return place


def undisturbed(command: Command, root: Path) -> Undisturbed:
    """How the command ends and what it does on the way; found out once."""
    kept = root / f"{command.name}.pickle"
    with locked(kept.with_suffix(".lock")):
        if not kept.exists():
            kept.write_bytes(pickle.dumps(_run_undisturbed(command, root)))
        found: Undisturbed = pickle.loads(kept.read_bytes())
    return found


def _run_undisturbed(command: Command, root: Path) -> Undisturbed:
    prepared = prepare(command.after, root)
    place = shutil.copytree(prepared, root / f"{command.name}.undisturbed")
    before, began = look(place), _spent()
    done = strike(command.line, cwd=place / command.cwd, below=place)
    seconds = _spent() - began
    assert done.exit_code == 0, done.stderr
    after = look(place)
    shutil.rmtree(place)
    return Undisturbed(prepared, before, after, done, seconds)


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def judged(
    command: Command, undisturbed: Undisturbed, struck: Struck, place: Path, *, look: Callable[[Path], State] = look
) -> Iterator[str]:
    """What is wrong after a fault, and after the command was run again."""
    before, after = undisturbed.before, undisturbed.after
    found = look(place)
    if "Traceback" in struck.stderr or struck.exit_code not in (-9, 0, 1):
        yield f"ended with {struck.exit_code}: {struck.stderr[-1500:]}"
    yield from (f"lost: {lost}" for lost in before.facts.items() - found.facts.items())
    yield from sorted(found.wrong - before.wrong)
    yield from half(before, after, found, place)
    if struck.exit_code == 0 or (struck.stdout and struck.exit_code == -9):
        yield from (f"acknowledged, but {line}" for line in missing(command, after, found))
    complete = not any(missing(command, after, found))
    done = subprocess.run(command.line, cwd=place / command.cwd, capture_output=True, text=True, check=False)
    if "Traceback" in done.stderr or (done.returncode and not complete):  # what is done cannot always be done twice
        yield f"run again: {done.returncode}: {done.stdout[-500:]} {done.stderr[-1500:]}"
    again = look(place)
    yield from (f"run again, it {line}" for line in missing(command, after, again))
    yield from (f"run again: {line}" for line in half(before, after, again, place))


def missing(command: Command, after: State, found: State) -> Iterator[str]:
    """What an undisturbed run ends with, and this did not."""
    for (project, id), told in after.facts.items():
        if (project, id) not in found.facts and not (told[0] in command.anew and told[0] in kinds(found)):
            yield f"lacks {told} {id}"
    for name, pointed in after.names.items():
        if found.names.get(name) != pointed and not (pointed and pointed[0] in command.anew):
            yield f"has {name} at {found.names.get(name)}, not {pointed}"
    if command.name == "gc" and after.objects != found.objects:
        yield f"has {len(found.objects - after.objects)} objects too many"
    yield from (f"lacks the file {path}" for path in after.files.keys() - found.files.keys())
    yield from sorted(found.wrong)


def kinds(state: State) -> set[str]:
    """Of the facts there are."""
    return {kind for kind, _ in state.facts.values()}


def half(before: State, after: State, found: State, place: Path) -> Iterator[str]:
    """Files that are neither as they were nor as they are to be."""
    for path, digest in found.files.items():
        if digest not in (before.files.get(path), after.files.get(path)) and not is_whole(place / path):
            yield f"{path} is half written"
