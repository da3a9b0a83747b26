"""Pushing: objects first, then facts, then the one file in the log that makes them count."""

from __future__ import annotations

import msgspec

from keepfit.core.digests import digest_value, short
from keepfit.core.errors import DamagedObject, NameMoved, Refused
from keepfit.home import Home
from keepfit.keeping.needs import Needs, facts, words
from keepfit.ledger import Fact, Move
from keepfit.packages.sign import own_key
from keepfit.remotes.curves import curves_of
from keepfit.remotes.entry import Entry, fact_in, file_name, line_of, number_of, sealed, segments
from keepfit.remotes.remote import Remote, Seen
from keepfit.remotes.selection import EVERYTHING, Selection
from keepfit.remotes.take import lines, take
from keepfit.remotes.transfer import Moved, Tell, missing, transfer


class Pushed(msgspec.Struct, kw_only=True):
    """What a push left on the remote."""

    moved: Moved
    facts: int = 0
    names: int = 0
    exclusive: bool = True
    """Whether the remote can tell two that push at once apart."""
    beside: int = 0
    """Pushes that others made in the same moment."""


def push(
    home: Home,
    remote: Remote,
    *,
    selection: Selection = EVERYTHING,
    tell: Tell = lambda moved: None,
) -> Pushed:
    """Bring facts, what they need and where names are to the remote. With nothing new, nothing is written.

    NameMoved when others have pushed since the last pull, Refused when names have diverged,
    DamagedObject when an object here is not what its digest says. The remote then shows
    nothing of it, and the next push does not send again what has arrived.
    """
    with remote.seen() as seen:
        _catch_up(home, remote, seen)
        if seen.exclusive is None:
            seen.exclusive = remote.log.is_exclusive()
        names = home.ledger.names()  # before the facts, which then hold all that names point at
        held = list(facts(home.ledger, seen.pushed))
        chosen = selection.closed(fact for _, fact in held)
        moves = _moves(home, remote, seen, names, selection)
        found = Pushed(moved=Moved(), exclusive=seen.exclusive)
        _send(home, remote, [fact for fact in chosen if selection.takes(fact)], found.moved, tell)
        known = set(lines(home, remote, seen.partly))
        fresh = [fact for fact in chosen if line_of(fact) not in known]
        if fresh or moves:
            _write(home, remote, seen, fresh, moves, found)
        if selection.everything and held:
            seen.pushed, seen.partly = max(seen.pushed, held[-1][0]), []
        remote.keep(seen)
    return found


def _catch_up(home: Home, remote: Remote, seen: Seen) -> None:
    """Take in pushes of this machine that it was killed before it could note; NameMoved when there are others."""
    unseen = remote.unseen(seen)
    if not unseen:
        return
    own = own_key(home.folder / "key").id
    hint = "keepfit pull, then push again"
    moved = NameMoved(f"others have pushed {len(unseen)} times since the last pull", where=remote.address, hint=hint)
    try:
        entries = take(home, remote, unseen, trusting=(), first=False).entries
    except Refused:
        raise moved from None
    told = [digest for entry in entries.values() for digest in entry.segments]
    if any(entry.key != own for entry in entries.values()) or not all(
        home.ledger.get(fact_in(line).id) for line in lines(home, remote, told)
    ):
        raise moved
    seen.entries |= entries
    seen.partly += told
    seen.names |= {move.name: move.new for entry in entries.values() for move in entry.moves}
    remote.keep(seen)


def _moves(home: Home, remote: Remote, seen: Seen, names: dict[str, str], selection: Selection) -> list[Move]:
    """Where names have gone since the remote was last agreed with; Refused when the remote's have gone elsewhere."""
    there, contested, _ = remote.fold(seen)
    moves = [Move(name, seen.names.get(name), id) for name, id in names.items() if seen.names.get(name) != id]
    moves = [move for move in moves if selection.everything or _is_chosen(home, move.new, selection)]
    diverged = [m.name for m in moves if there.get(m.name) not in (m.old, m.new)]
    diverged += [name for name, id in names.items() if id in contested.get(name, ()) and seen.names.get(name) == id]
    if diverged:
        message = f"{len(diverged)} names were moved here and on the remote, first `{diverged[0]}`"
        raise Refused(message, where=remote.address, hint="keepfit pull --prefer ours, or --prefer theirs")
    return moves


def _is_chosen(home: Home, id: str, selection: Selection) -> bool:
    fact = home.ledger.get(id)
    return fact is not None and selection.takes(fact)


def _send(home: Home, remote: Remote, chosen: list[Fact], moved: Moved, tell: Tell) -> None:
    needs = Needs(home.objects).add(chosen)
    todo = missing(remote.objects, needs.by)
    transfer(home.objects, remote.objects, todo, home.folder / "incoming", moved=moved, tell=tell)
    if moved.damaged:
        by_id = {fact.id: fact for fact in chosen}
        whose = ", ".join(sorted({words(by_id[id]) for digest in moved.damaged for id in needs.by[digest]})[:3])
        message = f"{len(moved.damaged)} objects here are damaged, first `{short(moved.damaged[0])}`"
        raise DamagedObject(f"{message}; they belong to {whose}", hint="keepfit verify --repair")


def _write(home: Home, remote: Remote, seen: Seen, fresh: list[Fact], moves: list[Move], found: Pushed) -> None:
    """Put the facts there, and then, in one file, that they and the names count."""
    made, curves = list(segments(map(line_of, fresh))), list(segments(curves_of(home.ledger, fresh)))
    digests = home.objects.put_all(made + curves)
    remote.objects.put_all(made + curves)
    number = 1 + max(map(number_of, seen.entries), default=0)
    entry = Entry(
        number=number,
        key=own_key(home.folder / "key").id,
        actor=home.actor,
        time=home.clock.now(),
        facts=len(fresh),
        segments=digests[: len(made)],
        moves=moves,
        before=digest_value(sorted(seen.entries)),
        curves=digests[len(made) :],
    )
    file = sealed(entry, home.folder / "key")
    name = file_name(number, file, exclusive=bool(seen.exclusive))
    if not remote.log.create(name, file):
        raise NameMoved("another machine pushed in the same moment", where=remote.address, hint="keepfit pull")
    seen.entries[name] = entry
    seen.partly += entry.segments
    seen.names |= {move.name: move.new for move in moves}
    found.facts, found.names = len(fresh), len(moves)
    found.beside = len(remote.unseen(seen))
