"""Pulling: objects first, then facts, then names. Killed anywhere, it goes on where it stopped."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable
from typing import Literal

import msgspec

from keepfit.core.digests import short
from keepfit.core.errors import DamagedObject, NameMoved, NotFound
from keepfit.home import Home
from keepfit.keeping.needs import Needs, facts, words
from keepfit.ledger import Fact, Ledger, Move
from keepfit.remotes.curves import record_curves
from keepfit.remotes.entry import Entry, Fold, fact_in
from keepfit.remotes.remote import Remote, Seen
from keepfit.remotes.selection import EVERYTHING, Selection
from keepfit.remotes.take import lines, take
from keepfit.remotes.transfer import Moved, Tell, missing, transfer

_BATCH = 5000
"""Facts recorded at a time."""


class Diverged(msgspec.Struct, frozen=True):
    """A name that was moved here and there, to different facts."""

    name: str
    ours: str | None
    theirs: str


class Pulled(msgspec.Struct, kw_only=True):
    """What a pull brought."""

    moved: Moved
    facts: int = 0
    """New here."""
    other: int = 0
    """Known here already, recorded with another content: each machine keeps its own."""
    names: dict[str, str] = {}
    """Names that moved here."""
    diverged: list[Diverged] = []
    trusted: list[str] = []
    """Keys that are trusted from now on."""


def pull(
    home: Home,
    remote: Remote,
    *,
    selection: Selection = EVERYTHING,
    prefer: Literal["ours", "theirs"] | None = None,
    trusting: Collection[str] = (),
    tell: Tell = lambda moved: None,
) -> Pulled:
    """Bring what others have pushed: all facts and names, and the objects that the selected facts need.

    A name that was moved on both sides stays where it is here and is told as diverged; with
    `prefer` one side is taken. Refused when a push is signed with a key that is not trusted,
    DamagedObject when something on the remote is not what its digest says; facts and names are
    then as before, and the next pull does not fetch again what has arrived.
    """
    with remote.seen() as seen:
        unseen = remote.unseen(seen)
        if not unseen and not seen.entries:
            raise NotFound(f"nothing has been pushed to `{remote.address}` yet", hint="keepfit push")
        first = not seen.entries and not home.ledger.history(0, 1)
        taken = take(home, remote, unseen, trusting=trusting, first=first)
        found = Pulled(moved=Moved(), trusted=taken.trusted)
        new = [fact_in(line) for line in lines(home, remote, _segments(taken.entries))]
        end = _fetch(home, remote, seen, selection, new, found.moved, tell)
        curves = [digest for _, entry in sorted(taken.entries.items()) for digest in entry.curves]
        record_curves(home.ledger, lines(home, remote, curves))  # before the facts: what is seen is whole
        _record(home.ledger, new, found)
        seen.entries |= taken.entries
        seen.partly += _segments(taken.entries)
        if selection.everything:
            seen.fetched = end
        _merge(home.ledger, seen, remote.fold(seen), prefer, found)
        remote.keep(seen)
    return found


def _segments(entries: dict[str, Entry]) -> list[str]:
    return [digest for _, entry in sorted(entries.items()) for digest in entry.segments]


def _fetch(
    home: Home, remote: Remote, seen: Seen, selection: Selection, new: list[Fact], moved: Moved, tell: Tell
) -> int:
    """Fetch what the selected facts need, of those here and those to come; gives the number of the last one here."""
    here = list(facts(home.ledger, seen.fetched))
    wanted = [fact for fact in itertools.chain((fact for _, fact in here), new) if selection.takes(fact)]
    needs, asked = Needs(home.objects).add(wanted), set[str]()
    while todo := missing(home.objects, (digest for digest in needs.by if digest not in asked)):
        asked.update(todo)
        transfer(remote.objects, home.objects, todo, home.folder / "incoming", moved=moved, tell=tell)
        needs.again()  # trees that have arrived tell what else is needed
    if moved.damaged:
        by_id = {fact.id: fact for fact in wanted}
        whose = ", ".join(sorted({words(by_id[id]) for digest in moved.damaged for id in needs.by[digest]})[:3])
        raise DamagedObject(
            f"{len(moved.damaged)} objects on the remote are damaged, first `{short(moved.damaged[0])}`; "
            f"they belong to {whose}",
            where=remote.address,
            hint="on a machine that has them: keepfit verify --remote --repair",
        )
    return here[-1][0] if here else seen.fetched


def _record(ledger: Ledger, new: Iterable[Fact], found: Pulled) -> None:
    rest = iter(new)
    while batch := list(itertools.islice(rest, _BATCH)):
        known = {fact.id for fact in batch if ledger.get(fact.id)}
        for fact, held in zip(batch, ledger.append(batch), strict=True):
            found.facts += fact.id not in known
            found.other += held != fact


def _merge(ledger: Ledger, seen: Seen, fold: Fold, prefer: str | None, found: Pulled) -> None:
    """Move the names that only the remote has moved, all at once; whoever moves one meanwhile is waited for."""
    while True:
        local, moves, base = ledger.names(), list[Move](), dict(seen.names)
        found.diverged = []
        for name, theirs in fold.names.items():
            ours, before = local.get(name), seen.names.get(name)
            contested = ours in fold.contested.get(name, ())
            if ours == theirs or (theirs == before and not contested):
                base[name] = theirs
            elif ours is None or (not contested and _is_behind(name, ours, before, fold)) or prefer == "theirs":
                moves.append(Move(name, ours, theirs))
                base[name] = theirs
            elif prefer == "ours":
                base[name] = theirs
            else:
                found.diverged.append(Diverged(name, ours, theirs))
                base.pop(name, None)
        try:
            ledger.append([], moves)
        except NameMoved:
            continue
        seen.names, found.names = base, {move.name: move.new for move in moves}
        return


def _is_behind(name: str, ours: str, before: str | None, fold: Fold) -> bool:
    """Whether the name is where the remote had it, so that nothing is lost by following."""
    return ours == before or (before is None and ours in fold.past.get(name, ()))
