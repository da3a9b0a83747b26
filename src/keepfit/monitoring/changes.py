"""What models are made from changes: a fact each time, also when it changes back; and what is not as in production."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal

import msgspec

from keepfit.core.clocks import iso
from keepfit.core.digests import digest_value
from keepfit.core.errors import DataError, NameMoved, NotFound
from keepfit.datasets.version import count_changes, find_version
from keepfit.home import Home
from keepfit.ledger import Fact, Move, fact
from keepfit.models.model import find_model
from keepfit.monitoring.settings import WatchSettings
from keepfit.monitoring.symptom import Symptom
from keepfit.runs.environment import environment_diff, read_environment
from keepfit.runs.run import Plan, Run, find_run

if TYPE_CHECKING:
    from keepfit.releases.release import Release

Kind = Literal["data", "code", "environment"]
SHOWN = 5
"""Files or packages that are named; of more, the number."""


class Ingredient(msgspec.Struct, frozen=True, kw_only=True):
    """Something models are made from, as it is or was."""

    kind: Kind
    subject: str
    """Such as `data/flights` or `code/delay`."""
    is_: str
    """Id of the data version, digest of the code or of the environment."""
    files: Mapping[str, str] = {}
    """Path -> digest, of code."""


def ingredients(name: str, made: Plan | Run) -> list[Ingredient]:
    """What the model `name` is made from by a plan, or was by a run."""
    data = [Ingredient(kind="data", subject=f"data/{d}", is_=id) for d, id in made.data.items()]
    code = Ingredient(kind="code", subject=f"code/{name}", is_=digest_value(made.code), files=made.code)
    return [*data, code, Ingredient(kind="environment", subject=f"environment/{name}", is_=made.environment)]


def note_changes(home: Home, name: str, plan: Plan) -> list[Fact]:
    """Record code or environment that is not as it was noted last (data is, when it is versioned); the new facts."""
    return [made for now in ingredients(name, plan) if now.kind != "data" and (made := _note(home, now))]


def differences(home: Home, name: str, before: Run, plan: Plan) -> list[tuple[Ingredient, str]]:
    """What a plan would make a model from that a run did not, and how it differs."""
    was = {i.subject: i for i in ingredients(name, before)}
    now = [i for i in ingredients(name, plan) if i.subject not in was or was[i.subject].is_ != i.is_]
    return [(i, _told(home, was.get(i.subject), i)) for i in now]


def change_symptoms(
    home: Home, name: str, live: Release, plan: Callable[[], Plan], settings: WatchSettings
) -> Iterator[Symptom]:
    """A symptom for each thing the project asks about that is not as when the champion was made, or has just moved."""
    wanted = set(settings.changes)
    champion = find_model(home, name, live.model)
    if wanted & {"data", "code", "environment"}:
        with contextlib.suppress(DataError, NotFound):  # what is wrong with the data is a symptom of its own
            for now, text in differences(home, name, find_run(home, champion.run), plan()):
                if now.kind in wanted:
                    yield _symptom(now.subject, f"{now.subject} is not what {live} was made from: {text}")
    recent = home.clock.now() - settings.width
    if "release" in wanted and live.time > recent:
        yield _symptom(f"release/{name}", f"{live} went live at {iso(live.time)} by {live.actor or '-'}: {live.reason}")
    newest = find_model(home, name, "challenger")
    if "model" in wanted and newest.time > recent:
        yield _symptom(f"model/{name}", f"{newest} is the new challenger, made at {iso(newest.time)}")


def _symptom(subject: str, text: str) -> Symptom:
    return Symptom(kind="change", place=subject, severity="digest", text=text, hint=f"keepfit log --subject {subject}")


def _note(home: Home, now: Ingredient) -> Fact | None:
    pointer = f"change/{now.subject}"
    newest = home.ledger.name(pointer)
    noted = home.ledger.get(newest) if newest else None
    was = _ingredient(noted) if noted else None
    if was and was.is_ == now.is_:
        return None
    made = fact(
        "change",
        now.subject,
        time=home.clock.now(),
        key=[now.subject, newest, now.is_],
        actor=home.actor,
        body={"kind": now.kind, "to": now.is_, "text": _told(home, was, now)},
        refs={"to": now.is_} if now.kind == "environment" else dict(now.files),
        attributes={"of": now.kind},
    )
    try:
        return home.ledger.append([made], [Move(pointer, newest, made.id)])[0]
    except NameMoved:
        return None  # someone else has noted it


def _ingredient(noted: Fact) -> Ingredient:
    body = noted.body
    files = noted.refs if body["kind"] == "code" else {}
    return Ingredient(kind=body["kind"], subject=noted.subject, is_=body["to"], files=files)


def _told(home: Home, was: Ingredient | None, now: Ingredient) -> str:
    if was is None:
        return "first seen"
    if now.kind == "code":
        paths = {path for path, _ in set(was.files.items()) ^ set(now.files.items())}
        return _few([f"{path} {_how(path, was, now)}" for path in sorted(paths)])
    try:
        if now.kind == "data":
            before, after = find_version(home, was.is_), find_version(home, now.is_)
            counts = count_changes(home, before.tree, after.tree)
            return ", ".join(f"{count:,} files {how}" for how, count in counts.items() if count) or "other files"
        changes = environment_diff(read_environment(home.objects, was.is_), read_environment(home.objects, now.is_))
        return _few([str(change) for change in changes])
    except NotFound:  # objects may have been cleared away; that it changed is known all the same
        return "changed"


def _how(path: str, was: Ingredient, now: Ingredient) -> str:
    return "added" if path not in was.files else "removed" if path not in now.files else "changed"


def _few(texts: list[str]) -> str:
    more = [f"and {len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
    return ", ".join([*texts[:SHOWN], *more])
