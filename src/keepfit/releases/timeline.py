"""What was released, rolled out, approved and taken back: who, when, why and for how long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import msgspec

from keepfit.home import Home
from keepfit.ledger import Fact, Query
from keepfit.releases.release import Release, who_was_live
from keepfit.releases.rollout import Rollout, list_rollouts

KINDS = ("release", "rollout", "approval")


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One step in the life of a model's versions."""

    id: str
    time: datetime
    actor: str
    version: int
    what: str
    reason: str
    lasted: timedelta | None
    """How long things stayed so; None while they do, and for what takes no time."""


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """Who answered at a time."""

    release: Release
    share: float
    """Of the requests that it answered."""
    rollout: Rollout | None
    """The version beside it, if one was in shadow or canary."""


def timeline(home: Home, name: str, *, limit: int = 50) -> list[Moment]:
    """The newest steps, newest first."""
    found = home.ledger.find(Query(subject=f"release/{name}", limit=100_000))
    return list(_moments([f for f in found if f.kind in KINDS]))[:limit]


def live_at(home: Home, name: str, at: datetime) -> Live | None:
    """Who answered at a time, and which share of the requests; None before the first release."""
    release = who_was_live(home, name, at)
    if release is None:
        return None
    steps = list_rollouts(home, name, until=at + timedelta(microseconds=1), limit=1)
    rollout = steps[0] if steps and steps[0].running else None
    share = 1.0 - rollout.share if rollout else 1.0
    return Live(release=release, share=round(share, 9), rollout=rollout)


def _moments(newest_first: Sequence[Fact]) -> Iterator[Moment]:
    next_of: dict[str, datetime] = {}
    for fact in newest_first:
        over = fact.kind == "approval" or fact.body.get("stage") in ("promoted", "ended")
        until = next_of.get(fact.kind)
        yield Moment(
            id=fact.id,
            time=fact.time,
            actor=fact.actor,
            version=fact.body["version"],
            what=_what(fact),
            reason=fact.body.get("note") or fact.body.get("reason", ""),
            lasted=None if over or until is None else until - fact.time,
        )
        next_of[fact.kind] = fact.time


def _what(fact: Fact) -> str:
    if fact.kind == "approval":
        return "approved"
    if fact.kind == "release":
        return "back in production" if "rejected" in fact.refs else "in production"
    stage = fact.body["stage"]
    running = stage in ("shadow", "canary")
    return str(fact.body["stages"][fact.body["number"]] if running else "taken back" if stage == "ended" else stage)
