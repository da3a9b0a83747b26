"""What happened to a project, who did it, and when: its facts as events, newest first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import datetime

import msgspec

from keepfit.checks.gate import verdict_of
from keepfit.core.digests import short
from keepfit.home import Home
from keepfit.ledger import Fact, Query

_PAGE = 500


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One fact, as people read it."""

    id: str
    time: datetime
    actor: str
    kind: str
    subject: str
    text: str


def history(
    home: Home,
    *,
    kinds: Collection[str] = (),
    subject: str | None = None,
    actor: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 50,
) -> list[Event]:
    """The newest events of these kinds (all, if none is named), on this subject, by this actor, in `[since, until)`."""
    wanted = (f for f in _facts(home, kinds, subject, since, until) if actor is None or f.actor == actor)
    return [event(fact) for _, fact in zip(range(limit), wanted, strict=False)]


def event(fact: Fact) -> Event:
    """The event a fact tells of."""
    text = _TEXTS[fact.kind](fact) if fact.kind in _TEXTS else ""
    return Event(id=fact.id, time=fact.time, actor=fact.actor, kind=fact.kind, subject=fact.subject, text=text)


def _facts(
    home: Home, kinds: Collection[str], subject: str | None, since: datetime | None, until: datetime | None
) -> Iterator[Fact]:
    """The facts that match, newest recorded first, read page by page."""
    offset = 0
    kind = next(iter(kinds)) if len(kinds) == 1 else None
    while True:
        query = Query(kind=kind, subject=subject, since=since, until=until, limit=_PAGE, offset=offset)
        page = home.ledger.find(query)
        yield from (fact for fact in page if not kinds or fact.kind in kinds)
        if len(page) < _PAGE:
            return
        offset += _PAGE


def _verdict(fact: Fact) -> str:
    verdict = verdict_of(fact)
    return f"{len(verdict.gates)} gates passed" if verdict.passed else f"failed: {verdict.reason}"


def _model(fact: Fact) -> str:
    metrics = ", ".join(f"{name} {value:.4f}" for name, value in fact.body["metrics"].items())
    return f"version {fact.body['version']}: {metrics}"


def _window(fact: Fact) -> str:
    body = fact.body
    return f"{body['start'][:16].replace('T', ' ')}: {body['predictions']:,} predictions, {body['labelled']:,} labelled"


def _files(fact: Fact) -> str:
    """What changed in a dataset's files."""
    return ", ".join(f"{n:,} {what}" for what, n in fact.body["changed"].items() if n) or "nothing changed"


def _run(fact: Fact) -> str:
    body, state = fact.body, fact.body.get("state", "done")
    told = "".join(f": {line}" for line in body["error"]["message"].splitlines()[:1]) if state == "failed" else ""
    step = "trial" if body["spec"].get("validate") else body["module"].rpartition(".")[2]
    return f"{step}{'' if state == 'done' else ' ' + state} in {body['seconds']:.1f} s{told}"


def _batch(fact: Fact) -> str:
    body = fact.body
    first, *more = body["from"]
    several = f" and {len(more):,} more files" if more else ""
    refused = f", {body['refused']:,} refused" if body["refused"] else ""
    return f"version {body['version']}: {body['rows']:,} rows of {first}{several} -> {body['to']}{refused}"


_TEXTS: dict[str, Callable[[Fact], str]] = {
    "model": _model,
    "verdict": _verdict,
    "window": _window,
    "package": lambda f: f"version {f.body['version']}, {f.body['bytes']:,} bytes",
    "batch": _batch,
    "release": lambda f: f"version {f.body['version']}: {f.body['reason']}",
    "plan": lambda f: f"version {f.body['version']}: {', '.join(f.body['stages']) or 'at once'}",
    "approval": lambda f: f"version {f.body['version']}, as planned in {f.refs['plan']}",
    "rollout": lambda f: f"version {f.body['version']} {f.body['stage']}: {f.body['note'] or f.body['reason']}",
    "acknowledged": lambda f: f"{f.body['fingerprint']} {f.body['note']}".strip(),
    "alert": lambda f: f"{f.body['state']}, {f.body['severity']}: {f.body['text']}",
    "trigger": lambda f: f.body["reason"],
    "reproduced": lambda f: "the same, bit for bit" if f.attributes["equal"] else f.body["difference"],
    "outcome": lambda f: f"{f.body['ending']}: {f.body['note']}",
    "delivery": lambda f: f"{f.body['form']} {f.body['state']}, {f.body['channel']} {f.body['reason']}".strip(),
    "message": lambda f: f"{f.body['form']}: {f.body['title']}",
    "silence": lambda f: f"{f.body['what']} until {f.body['until'][:16].replace('T', ' ')} {f.body['note']}".strip(),
    "change": lambda f: f"{f.body['text']} (now {short(f.body['to'])})",
    "run": _run,
    "data": lambda f: f"version {f.body['number']}, {f.body['bytes']:,} bytes; files: {_files(f)}",
    "return": lambda f: f"version {f.body['number']} again; files: {_files(f)}",
    "replayed": lambda f: f"{f.body['served']:,} served, {f.body['failed']:,} failed",
}
