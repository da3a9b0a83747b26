"""Releases: which package answers, since when and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from keepfit.core.errors import NameMoved, NotFound, Refused
from keepfit.home import Home
from keepfit.ledger import Fact, Move, Query, fact
from keepfit.serving.endpoint import prove


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A package in production from `time` on."""

    id: str
    model_name: str
    version: int
    time: datetime
    reason: str
    model: str
    """Id of the model version."""
    package: str
    """Object digest of the archive."""
    previous: str | None
    """Id of the release whose package answers while this one's cannot; never one that was taken back."""
    actor: str
    rejected: str | None = None
    """Of a rollback: id of the model version that was taken back."""

    def __str__(self) -> str:
        return f"{self.model_name}@{self.version}"


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """That a model version was taken back: when, by whom and why."""

    time: datetime
    actor: str
    reason: str


def refuse_unproven(home: Home, name: str, package: str, version: int) -> None:
    """Have the running endpoint load a package and let it prove itself; Refused when it will not do."""
    if refused := prove(home, package, version):
        raise Refused(f"{name}@{version} was not released: the endpoint refused it: {refused}", hint="keepfit check")


def rejected(home: Home, name: str) -> dict[str, Rejection]:
    """Model versions that were taken back, and not released or rolled out by a person since."""
    found: dict[str, Rejection] = {}
    for made in reversed(home.ledger.find(Query(subject=f"release/{name}", limit=100_000))):
        if model := made.refs.get("rejected"):
            reason = made.body.get("note") or made.body["reason"]
            found[model] = Rejection(time=made.time, actor=made.actor, reason=reason)
        elif made.kind in ("release", "rollout"):
            found.pop(made.refs["model"], None)
    return found


def champion(home: Home, name: str) -> Release | None:
    """The release in production, if any."""
    id = home.ledger.name(f"release/{name}")
    return find_release(home, id) if id else None


def find_release(home: Home, id: str) -> Release:
    """The release with this id; NotFound when there is none."""
    found = home.ledger.get(id)
    if found is None or found.kind != "release":
        raise NotFound(f"there is no release `{id}`", hint="keepfit who-was-live")
    return _release(found)


def list_releases(home: Home, name: str) -> list[Release]:
    """All releases, newest first."""
    query = Query(kind="release", subject=f"release/{name}", limit=100_000)
    return [_release(f) for f in home.ledger.find(query)]


def who_was_live(home: Home, name: str, at: datetime) -> Release | None:
    """The release that answered at a time; None before the first."""
    until = at + timedelta(microseconds=1)
    found = home.ledger.find(Query(kind="release", subject=f"release/{name}", until=until, limit=1))
    return _release(found[0]) if found else None


def record_release(
    home: Home,
    name: str,
    refs: dict[str, str],
    version: int,
    reason: str,
    before: Release | None,
    *,
    beside: Sequence[tuple[Fact, Move]] = (),
) -> Release:
    """A package in production in place of `before`, with the facts and moves `beside` it: all at once or nothing.

    `refs` name `package` and `model`; of a rollback also the model `rejected` and, if there is one, the release
    `previous` that stands in, which otherwise is `before`. Raises Refused when something else has been released
    meanwhile.
    """
    subject, held = f"release/{name}", before.id if before else None
    kept = {role: refs[role] for role in ("package", "model")}
    other = {role: refs[role] for role in ("rejected", "previous") if role in refs}
    if before and "rejected" not in refs:
        other["previous"] = before.id
    made = fact(
        "release",
        subject,
        time=home.clock.now(),
        key=[subject, kept, held],
        actor=home.actor,
        body={"version": version, "reason": reason},
        refs=kept | other,
        attributes={"version": version},
    )
    moves = [Move(subject, held, made.id), *(move for _, move in beside)]
    try:
        return _release(home.ledger.append([made, *(fact for fact, _ in beside)], moves)[0])
    except NameMoved as problem:
        raise Refused(f"`{name}` was released by someone else in the meantime", hint="keepfit status") from problem


def earlier(home: Home, name: str) -> list[Release]:
    """Whom a rollback can go back to: the earlier releases of versions that were not taken back, newest first."""
    now = champion(home, name)
    barred = {*rejected(home, name), now.model if now else None}
    return [r for r in list_releases(home, name) if r.model not in barred]


def take_back(home: Home, live: Release, *, reason: str, to: int | None = None) -> Release:
    """The newest of the earlier releases, or that of the version `to`, in place of `live`.

    Raises NotFound when there is none, and Refused when another has taken its place already.
    """
    good = earlier(home, live.model_name)
    back = next((r for r in good if to in (None, r.version)), None)
    if back is None:
        told = (
            "no earlier release to go back to" if to is None else f"no version {to} that was live and is still trusted"
        )
        raise NotFound(f"`{live.model_name}` has {told}", hint="keepfit releases")
    previous = next((r for r in good if r.model != back.model), None)
    refs = {"package": back.package, "model": back.model, "rejected": live.model}
    refs |= {"previous": previous.id} if previous else {}
    return record_release(home, live.model_name, refs, back.version, reason, live)


def _release(found: Fact) -> Release:
    return Release(
        id=found.id,
        model_name=found.subject.removeprefix("release/"),
        version=found.body["version"],
        time=found.time,
        reason=found.body["reason"],
        model=found.refs["model"],
        package=found.refs["package"],
        previous=found.refs.get("previous"),
        actor=found.actor,
        rejected=found.refs.get("rejected"),
    )
