"""Is everything whole? Every object against its digest, every fact and name, and all that facts need."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import msgspec

from keepfit.core.digests import digest_stream
from keepfit.core.errors import DamagedObject, KeepfitError
from keepfit.home import Home
from keepfit.keeping.needs import Needs, facts, words
from keepfit.keeping.sources import Source
from keepfit.ledger import Fact
from keepfit.objects import Objects, freeing
from keepfit.objects.folder import Folder

_TOLD = ("release", "package", "model", "run", "data")
"""Kinds of facts that are told of when an object that they rest on is damaged, most important first."""
_AT_ONCE = 64


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """An object that is not what it should be."""

    digest: str
    state: Literal["damaged", "missing"]
    needed_by: list[str]
    """What rests on it, in the user's words; empty when nothing does."""
    repaired_from: str | None = None


class Verified(msgspec.Struct, kw_only=True):
    """What was found."""

    objects: int = 0
    bytes: int = 0
    facts: int = 0
    names: int = 0
    ledger: str | None = None
    """What is wrong with the ledger, if anything."""
    index: str | None = None
    """What was wrong with the index of the store, which was made anew, if anything."""
    faults: list[Fault] = []

    @property
    def well(self) -> bool:
        """Whether everything is whole now."""
        return self.ledger is None and all(fault.repaired_from for fault in self.faults)


Tell = Callable[[Verified], None]


def verify(
    home: Home,
    objects: Objects | None = None,
    *,
    extra: Iterable[str] = (),
    sources: Sequence[Source] = (),
    tell: Tell = lambda verified: None,
) -> Verified:
    """Check the ledger, and every object in `objects` (default: the project's own store) and all that facts need.

    `extra` are digests that must be there too. An object that is damaged or missing is put
    anew when one of the `sources` has its bytes; with any, an index that is lost or damaged is made
    anew too, and without, that is raised as DamagedObject. Nothing else is changed.
    """
    store = objects or home.objects
    found = Verified(names=len(home.ledger.names()), ledger=home.ledger.verify())
    if isinstance(store, Folder):
        found.index = _mend(home, store, repair=bool(sources))
    damaged = set(_damaged(store, found, tell))
    held = [fact for _, fact in facts(home.ledger)]
    found.facts = len(held)
    needs = Needs(store).add(held)
    repaired: dict[str, str] = {}
    faults: dict[str, Literal["damaged", "missing"]] = dict.fromkeys(damaged, "damaged")
    while True:
        wanted = itertools.chain(needs.by, extra, needs.unlisted)
        faults |= {d: "missing" for d in dict.fromkeys(wanted) if d not in faults and not store.has(d)}
        todo = [digest for digest in faults if digest not in repaired]
        new = {digest: name for digest in todo if (name := _repair(store, digest, faults[digest], sources))}
        repaired |= new
        if not new or not needs.unlisted:
            break
        needs.again()  # a tree that is whole again tells what else is needed
    dependents = _dependents(held)
    found.faults = [
        Fault(
            digest=digest,
            state=state,
            needed_by=_told(needs.by.get(digest, []), dependents),
            repaired_from=repaired.get(digest),
        )
        for digest, state in sorted(faults.items())
    ]
    return found


def _mend(home: Home, store: Folder, *, repair: bool) -> str | None:
    """See whether the index of a store is whole; with `repair`, make it anew if not, and tell what was wrong."""
    try:
        store.check()
    except DamagedObject as problem:
        if not repair:
            raise
        with freeing(home.folder / "leases"):  # nobody puts meanwhile
            store.mend()
        return problem.message
    return None


def _damaged(objects: Objects, found: Verified, tell: Tell) -> Iterator[str]:
    """Digests whose bytes are not what they were, all objects read once, several at a time."""
    digests = iter(objects.list())
    with ThreadPoolExecutor(4) as pool:
        while batch := list(itertools.islice(digests, _AT_ONCE)):
            for digest, size in zip(
                batch, pool.map(lambda digest: _size_if_whole(objects, digest), batch), strict=True
            ):
                found.objects += 1
                found.bytes += size or 0
                if size is None:
                    yield digest
            tell(found)


def _size_if_whole(objects: Objects, digest: str) -> int | None:
    class Counted:
        size = 0

        def write(self, block: bytes) -> None:
            self.size += len(block)

    counted = Counted()
    try:
        with objects.open(digest) as stream:
            return counted.size if digest_stream(stream, counted) == digest else None  # type: ignore[arg-type]
    except (KeepfitError, OSError):
        return None


def _repair(objects: Objects, digest: str, state: str, sources: Sequence[Source]) -> str | None:
    """The name of the source that had the bytes, which are then in place of the bad ones."""
    for source in sources:
        if source.put(objects, digest, replace=state == "damaged"):
            return source.name
    return None


def _dependents(held: Sequence[Fact]) -> dict[str, tuple[Fact, list[str]]]:
    """Each fact, and the ids of those that rest on it."""
    found: dict[str, tuple[Fact, list[str]]] = {fact.id: (fact, []) for fact in held}
    for fact in held:
        for id in fact.refs.values():
            if id in found:
                found[id][1].append(fact.id)
    return found


def _told(ids: list[str], dependents: dict[str, tuple[Fact, list[str]]]) -> list[str]:
    """These facts and all that rest on them, in the user's words, the most important first."""
    todo, seen = list(ids), set(ids)
    while todo:
        above = [id for id in dependents[todo.pop()][1] if id not in seen]
        seen.update(above)
        todo += above
    kept = [dependents[id][0] for id in seen]
    shown = [fact for fact in kept if fact.kind in _TOLD] or kept
    shown.sort(key=lambda f: (_TOLD.index(f.kind) if f.kind in _TOLD else len(_TOLD), f.time, f.id))
    return list(dict.fromkeys(map(words, shown)))
