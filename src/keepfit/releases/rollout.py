"""A rollout: a version on its way to being the champion, stage by stage; what it has come to is one fact for each step.

The name `rollout/<model>` points at the newest. Whoever was killed in between finds there how far it has
come, and the endpoint follows it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from keepfit.core.clocks import iso
from keepfit.core.errors import NameMoved, Refused
from keepfit.home import Home
from keepfit.ledger import Fact, Move, Query, fact
from keepfit.releases.evidence import Evidence, Reference
from keepfit.releases.plan import Plan
from keepfit.releases.release import Release, record_release
from keepfit.releases.settings import Stage, read_stage
from keepfit.serving.endpoint import sync

PROBATION = timedelta(days=7)
"""How long after it was promoted a champion may still be found worse than the one before, and be taken back."""

Where = Literal["shadow", "canary", "promoted", "ended"]
Verb = Literal["wait", "advance", "promote", "stop", "give up"]


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """How far a version has come."""

    id: str
    model_name: str
    version: int
    stage: Where
    share: float
    """Of the requests that the version answers."""
    key: str | None
    """Input by which they are chosen; by lot if None."""
    number: int
    """Which of the stages, from 0."""
    stages: list[str]
    begun: datetime
    time: datetime
    """When this step was taken."""
    before: int = 0
    """Answers of the version before this stage, in the log that the stage writes."""
    reason: str
    """Why the version is released."""
    note: str = ""
    """Why this step was taken."""
    reference: Reference | None = None
    """Once promoted: the loss of the champion before, as labelled in the rollout."""
    actor: str
    plan: str
    model: str
    package: str
    champion: str
    """Id of the release that it is held against."""

    @property
    def running(self) -> bool:
        return self.stage in ("shadow", "canary")

    @property
    def now(self) -> Stage:
        """The stage it is in, or was in last."""
        return read_stage(self.stages[self.number])

    def __str__(self) -> str:
        return f"{self.model_name}@{self.version}"


class Step(msgspec.Struct, frozen=True):
    """What becomes of a rollout, and why."""

    verb: Verb
    reason: str


def next_step(rollout: Rollout, seen: Evidence, live: str | None, now: datetime) -> Step:
    """What to do with a running rollout. Pure: the same arguments give the same answer.

    A stage ends when its time is over or its answers are there, and nothing speaks against the version. One
    without a single answer waits; one with few goes on, and says how few.
    """
    if live != rollout.champion:
        return Step("give up", "another version was released meanwhile")
    if seen.stopped:
        return Step("stop", f"the endpoint stopped it: {seen.stopped}")
    if seen.worse:
        return Step("stop", f"it is surely worse than the champion: {seen.told}")
    stage, text = rollout.now, rollout.stages[rollout.number]
    rows = seen.rows - rollout.before
    over = stage.time is not None and now - rollout.time >= stage.time
    enough = stage.rows is not None and rows >= stage.rows
    so_far = f"{rows:,} answers, {seen.told}"
    if not (over or enough):
        ends = [f"at {iso(rollout.time + stage.time)}"] if stage.time else []
        ends += [f"after {stage.rows:,} answers"] if stage.rows else []
        return Step("wait", f"{text} ends {' or '.join(ends)}; so far {so_far}")
    if rows <= 0:
        return Step("wait", f"{text} is over, but no request has come: what nobody has asked does not go on")
    last = rollout.number + 1 == len(rollout.stages)
    return Step("promote" if last else "advance", f"{text} is over with nothing against it: {so_far}")


def on_probation(rollout: Rollout, live: Release, now: datetime) -> bool:
    """Whether the champion came by this rollout, and so lately that it is still held against the one before."""
    return rollout.stage == "promoted" and live.model == rollout.model and now - rollout.time < PROBATION


def find_rollout(home: Home, name: str) -> Rollout | None:
    """The newest rollout, running or not."""
    id = home.ledger.name(f"rollout/{name}")
    found = home.ledger.get(id) if id else None
    return rollout_of(found) if found else None


def list_rollouts(home: Home, name: str, *, until: datetime | None = None, limit: int = 100_000) -> list[Rollout]:
    """Every step of every rollout, newest first."""
    query = Query(kind="rollout", subject=f"release/{name}", until=until, limit=limit)
    return [rollout_of(f) for f in home.ledger.find(query)]


def begin(home: Home, plan: Plan, live: Release, *, reason: str) -> Rollout:
    """Begin what is planned; Refused when another rollout has begun meanwhile."""
    last, now = find_rollout(home, plan.model_name), home.clock.now()
    first = Rollout(
        id="",
        model_name=plan.model_name,
        version=plan.version,
        stage="ended",
        share=0.0,
        key=plan.key,
        number=0,
        stages=plan.stages,
        begun=now,
        time=now,
        reason=reason,
        actor=home.actor,
        plan=plan.id,
        model=plan.model,
        package=plan.package,
        champion=live.id,
    )
    return _enter(home, last, first, 0, "", before=0)


def advance(home: Home, rollout: Rollout, seen: Evidence, *, note: str) -> Rollout:
    """Go on with the next stage."""
    number = rollout.number + 1
    same = read_stage(rollout.stages[number]).kind == rollout.now.kind
    return _enter(home, rollout, rollout, number, note, before=seen.rows if same else 0)


def promote(home: Home, rollout: Rollout, live: Release, seen: Evidence, *, note: str) -> Release:
    """Make the version the champion."""
    made, move = _step(home, rollout, rollout, stage="promoted", share=1.0, note=note, reference=seen.reference)
    refs = {"package": rollout.package, "model": rollout.model}
    name, version = rollout.model_name, rollout.version
    released = record_release(home, name, refs, version, rollout.reason, live, beside=[(made, move)])
    sync(home)
    return released


def end(home: Home, rollout: Rollout, *, note: str, bar: bool = True) -> Rollout:
    """Take the version back: the champion stays, and answers all requests again. Barred, only a person lets it in."""
    made, move = _step(home, rollout, rollout, stage="ended", share=0.0, note=note, bar=bar)
    return _append(home, made, move)


def rollout_of(found: Fact) -> Rollout:
    """The step a fact tells of."""
    refs = {role: found.refs[role] for role in ("plan", "model", "package", "champion")}
    own = {"id": found.id, "time": found.time, "actor": found.actor}
    return msgspec.convert({**found.body, **refs, **own, "model_name": found.subject.removeprefix("release/")}, Rollout)


def _enter(home: Home, last: Rollout | None, rollout: Rollout, number: int, note: str, *, before: int) -> Rollout:
    stage = read_stage(rollout.stages[number])
    made, move = _step(
        home, last, rollout, stage=stage.kind, share=stage.share, number=number, note=note, before=before
    )
    return _append(home, made, move)


def _step(
    home: Home, last: Rollout | None, rollout: Rollout, *, bar: bool = False, **changed: Any
) -> tuple[Fact, Move]:
    """The fact of a step after `last`, and the move of the name."""
    subject, pointer = f"release/{rollout.model_name}", f"rollout/{rollout.model_name}"
    body = msgspec.to_builtins(msgspec.structs.replace(rollout, **changed))
    refs = {role: body.pop(role) for role in ("plan", "model", "package", "champion")}
    for own in ("id", "time", "actor", "model_name"):
        del body[own]
    held = last.id if last else None
    made = fact(
        "rollout",
        subject,
        time=home.clock.now(),
        key=[pointer, held, rollout.plan, body["stage"], body["number"]],
        actor=home.actor,
        body=body,
        refs=refs | ({"previous": held} if held else {}) | ({"rejected": rollout.model} if bar else {}),
        attributes={"version": rollout.version, "stage": body["stage"]},
    )
    return made, Move(pointer, held, made.id)


def _append(home: Home, made: Fact, move: Move) -> Rollout:
    try:
        (kept,) = home.ledger.append([made], [move])
    except NameMoved as problem:
        name = made.subject.removeprefix("release/")
        raise Refused(
            f"the rollout of `{name}` was moved on by someone else meanwhile", hint="keepfit status"
        ) from problem
    sync(home)
    return rollout_of(kept)
