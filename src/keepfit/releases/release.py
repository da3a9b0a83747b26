"""Releases: which package answers, since when and why."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from keepfit.core.errors import NameMoved, NotFound, Refused
from keepfit.home import Home
from keepfit.ledger import Fact, Move, Query, fact
from keepfit.serving.endpoint import prove, sync


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
    actor: str
    rejected: str | None = None
    """Of a rollback: id of the model version that was taken back."""

    def __str__(self) -> str:
        return f"{self.model_name}@{self.version}"


def release(home: Home, name: str, package: Fact, *, reason: str) -> Release:
    """Put a package into production; the release that is live already is given back unchanged.

    A running endpoint first loads the package beside the champion and lets it prove itself;
    Refused is raised, and nothing has changed, when it does not. Only then is the release a fact,
    and the endpoint exchanges one for the other.
    """
    before = champion(home, name)
    if before and before.package == package.refs["package"]:
        return before
    version = package.body["version"]
    if refused := prove(home, package.refs["package"], version):
        raise Refused(f"{name}@{version} was not released: the endpoint refused it: {refused}", hint="keepfit check")
    made = _append(home, name, package.refs, version, reason, before)
    sync(home)
    return made


def rollback(home: Home, name: str, *, reason: str) -> Release:
    """Put the newest earlier champion back that was not itself taken back since; NotFound when there is none."""
    now, previous = champion(home, name), next(iter(earlier(home, name)), None)
    if now is None or previous is None:
        raise NotFound(f"`{name}` has no earlier release to go back to", hint="keepfit status")
    made = _append(home, name, _refs(previous), previous.version, reason, now, taken_back=now.model)
    sync(home)
    return made


def earlier(home: Home, name: str) -> list[Release]:
    """Whom a rollback can go back to: the earlier releases of versions that were not taken back, newest first."""
    now = champion(home, name)
    barred = {*rejected(home, name), now.model if now else None}
    return [r for r in list_releases(home, name) if r.model not in barred]


def rejected(home: Home, name: str) -> dict[str, Release]:
    """Model versions that were taken back by a rollback and not released by a person since -> the rollback."""
    found: dict[str, Release] = {}
    for release in reversed(list_releases(home, name)):
        if release.rejected:
            found[release.rejected] = release
        else:
            found.pop(release.model, None)
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


def _append(
    home: Home,
    name: str,
    refs: dict[str, str],
    version: int,
    reason: str,
    before: Release | None,
    *,
    taken_back: str | None = None,
) -> Release:
    subject = f"release/{name}"
    kept = {k: refs[k] for k in ("package", "model")}
    made = fact(
        "release",
        subject,
        time=home.clock.now(),
        key=[subject, kept, before.id if before else None],
        actor=home.actor,
        body={"version": version, "reason": reason},
        refs=kept | ({"previous": before.id} if before else {}) | ({"rejected": taken_back} if taken_back else {}),
        attributes={"version": version},
    )
    try:
        return _release(home.ledger.append([made], [Move(subject, before.id if before else None, made.id)])[0])
    except NameMoved as problem:
        raise Refused(f"`{name}` was released by someone else in the meantime", hint="keepfit status") from problem


def _refs(release: Release) -> dict[str, str]:
    return {"package": release.package, "model": release.model}


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
