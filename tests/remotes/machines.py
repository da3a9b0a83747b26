"""Machines that share a remote, and what they do to it: `python machines.py FOLDER REMOTE` pushes for ever."""

from __future__ import annotations

import itertools
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from keepfit.core.errors import NameMoved, Refused
from keepfit.engines import Here
from keepfit.home import Home
from keepfit.keeping.needs import facts, needed
from keepfit.ledger import Fact, Move, fact, open_ledger
from keepfit.objects import Leased, open_objects
from keepfit.remotes.pull import pull
from keepfit.remotes.push import push
from keepfit.remotes.remote import open_remote

NOON = datetime(2013, 5, 2, 12, tzinfo=UTC)


def machine(folder: Path) -> Home:
    """A machine with stores of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    return Home(
        root=folder,
        ledger=open_ledger("sqlite:.keepfit/ledger.db", folder),
        objects=Leased(open_objects("folder:.keepfit/objects", folder), folder / ".keepfit" / "leases"),
        engine=Here(),
        actor=folder.name,
    )


def work(home: Home, number: int, *, content: bytes | None = None, name: str = "") -> Fact:
    """Something done: an object, a fact that names it, and a name that points at the fact."""
    digest = home.objects.put(content or os.urandom(300))
    name = name or f"model/{home.actor}"
    old = home.ledger.name(name)
    made = fact(
        "model",
        "model/delay",
        time=NOON,
        key=[home.actor, number],
        actor=home.actor,
        body={"version": number, "key": "0" * 64},
        refs={"model": digest, **({"previous": old} if old else {})},
    )
    return home.ledger.append([made], [Move(name, old, made.id)])[0]


def share(home: Home, address: str) -> None:
    """Push what is here, pulling as often as others were first."""
    remote = open_remote(home, address)
    while True:
        try:
            push(home, remote)
            return
        except NameMoved:
            pull(home, remote)
        except Refused:
            pull(home, remote, prefer="ours")


def ids(home: Home) -> set[str]:
    return {fact.id for _, fact in facts(home.ledger)}


def is_complete(home: Home) -> bool:
    """Whether all objects are there that facts need, and the ledger is whole."""
    held = [fact for _, fact in facts(home.ledger)]
    return home.ledger.verify() is None and all(home.objects.has(d) for fact in held for d in needed(fact))


if __name__ == "__main__":
    here = machine(Path(sys.argv[1]))
    for number in itertools.count(1):
        done = work(here, os.getpid() * 1000 + number)
        share(here, sys.argv[2])
        print(done.id, flush=True)
