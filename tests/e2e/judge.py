"""What is in a folder with projects, a remote and files, and what must hold of it at any moment."""

from __future__ import annotations

import io
import json
import os
import pickle
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import small_project

from keepfit.core.digests import digest_file
from keepfit.core.files import is_part
from keepfit.engines import Here
from keepfit.home import FOLDER, Home
from keepfit.keeping.needs import facts
from keepfit.keeping.verify import verify
from keepfit.ledger import open_ledger
from keepfit.objects import open_objects
from keepfit.remotes.remote import open_remote

REMOTE = "../remote"


class State(NamedTuple):
    """What there is."""

    facts: dict[tuple[str, str], tuple[str, str]]
    """(project, id) -> (kind, subject); a failed run is not among them."""
    names: dict[tuple[str, str], tuple[str, str] | None]
    """(project, name) -> kind and id of what it points at."""
    objects: set[tuple[str, str]]
    files: dict[str, str]
    """What people see: path -> digest."""
    wrong: set[str]
    """What is damaged, missing, or points at nothing."""


def look(place: Path) -> State:
    """What there is in the projects in this folder, and whether all of it is whole."""
    found = State({}, {}, set(), dict(_files(place)), set())
    for ledger in place.glob(f"*/{FOLDER}/ledger.db"):
        root = ledger.parent.parent
        objects = open_objects(f"folder:{FOLDER}/objects", root)
        home = Home(root=root, ledger=open_ledger(f"sqlite:{FOLDER}/ledger.db", root), objects=objects, engine=Here())
        try:
            _project(home, found)
        finally:
            home.ledger.close()
    return found


def _project(home: Home, found: State) -> None:
    name = home.root.name
    for _, fact in facts(home.ledger):
        if fact.kind != "run" or fact.body.get("state", "done") == "done":
            found.facts[name, fact.id] = fact.kind, fact.subject
    found.objects.update((name, digest) for digest in home.objects.list())
    for pointer, id in home.ledger.names().items():
        fact = home.ledger.get(id)
        found.names[name, pointer] = (fact.kind, id) if fact else None
        if not fact:
            found.wrong.add(f"{name}: the name `{pointer}` points at nothing")
    told = verify(home)
    if (home.root / REMOTE / "log").is_dir():
        remote = open_remote(home, REMOTE)
        with remote.seen() as seen:
            segments = [digest for entry in seen.entries.values() for digest in entry.segments]
            pushed = verify(home, remote.objects, extra=segments) if seen.entries else None
            remote.unseen(seen)
        if pushed:
            found.wrong.update(f"remote: not whole: {fault.digest}" for fault in pushed.faults)
    if told.ledger:
        found.wrong.add(f"{name}: {told.ledger}")
    found.wrong.update(f"{name}: not whole: {fault.digest}" for fault in told.faults)


def _files(place: Path) -> Iterator[tuple[str, str]]:
    for folder, folders, names in os.walk(place):
        folders[:] = [name for name in folders if name not in (FOLDER, "remote", "__pycache__") and not is_part(name)]
        for path in (Path(folder, name) for name in names if not is_part(name)):
            yield path.relative_to(place).as_posix(), digest_file(path)


def is_whole(path: Path) -> bool:
    """Whether a file whose content differs each time is not half a file."""
    content = path.read_bytes()
    if path.suffix == ".zip":
        return zipfile.ZipFile(io.BytesIO(content)).testzip() is None
    if path.suffix == ".html":
        return content.rstrip().endswith(b"</html>")
    if path.suffix == ".csv":
        return content.count(b"\n") == small_project.DAYS * small_project.A_DAY + 1
    return path.suffix == ".json" and bool(json.loads(content))


if __name__ == "__main__":
    sys.stdout.buffer.write(pickle.dumps(tuple(look(Path(sys.argv[1])))))
