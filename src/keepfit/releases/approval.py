"""Approvals: that somebody said yes to one plan, signed.

What is signed is the whole plan - the package's digest, the verdict and what it found, the champion, the
stages - and the name of who approves. An approval written into the ledger by hand, moved to another plan or
put under another name does not count: its signature does not fit. A signature tells which key signed, this
machine's or a trusted one; whoever may use a key may call themselves by any name, unless the project names
the key together with the person (`ana:KEY`).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import msgspec

from keepfit.core.digests import canonical
from keepfit.core.errors import PackageError, Refused
from keepfit.home import Home
from keepfit.ledger import Fact, Query, Where, fact
from keepfit.models.model import ModelVersion
from keepfit.packages.sign import opened, own_key, sign, signer
from keepfit.releases.plan import Plan, record_plan
from keepfit.releases.settings import Approvals
from keepfit.runs.run import find_run

TYPE = "application/vnd.keepfit.approval+json"


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's yes to a plan."""

    id: str
    plan: str
    version: int
    actor: str
    key: str
    """Id of the key it is signed with."""
    time: datetime
    void: str = ""
    """Why it does not count, if so."""


def approve(home: Home, plan: Plan, authors: Collection[str]) -> Approval:
    """Say yes to a plan in the name of whoever acts; Refused when theirs would not count, or it may not ship."""
    if plan.failed:
        raise Refused(f"{plan} may not ship: {plan.failed}", hint="keepfit check")
    key = home.folder / "key"
    if void := _void(plan.approvals, home.actor, own_key(key).id, authors):
        raise Refused(f"{plan} cannot be approved by {home.actor}: {void}", hint="keepfit plan")
    record_plan(home, plan)
    envelope = sign(_payload(plan, home.actor), key, TYPE)
    made = fact(
        "approval",
        f"release/{plan.model_name}",
        time=home.clock.now(),
        key=[plan.id, home.actor, signer(envelope).id],
        actor=home.actor,
        body={"version": plan.version, "envelope": envelope.decode()},
        refs={"plan": plan.id, "package": plan.package, "model": plan.model, "verdict": plan.verdict},
        attributes={"version": plan.version, "plan": plan.id},
    )
    return _approval(home, plan, home.ledger.append([made])[0], authors)


def list_approvals(home: Home, plan: Plan, authors: Collection[str]) -> list[Approval]:
    """Every yes to a plan, oldest first, and whether it counts."""
    where = (Where("plan", "=", plan.id),)
    found = home.ledger.find(Query(kind="approval", subject=f"release/{plan.model_name}", where=where, limit=1000))
    return [_approval(home, plan, f, authors) for f in reversed(found)]


def missing(plan: Plan, approvals: Collection[Approval]) -> int:
    """How many people have yet to say yes."""
    return max(0, plan.approvals.count - len({a.actor for a in approvals if not a.void}))


def authors_of(home: Home, model: ModelVersion) -> set[str]:
    """Who made a model: whoever trained and registered it, and who made the commit that it was trained on."""
    run, registered = find_run(home, model.run), home.ledger.get(model.id)
    git = run.evidence.git
    return {run.actor, registered.actor if registered else "", *(git.author if git else [])} - {""}


def _approval(home: Home, plan: Plan, found: Fact, authors: Collection[str]) -> Approval:
    envelope = str(found.body["envelope"]).encode()
    try:
        id = signer(envelope).id
        signed = opened(envelope, home.folder / "key", TYPE) == _payload(plan, found.actor)
        void = _void(plan.approvals, found.actor, id, authors) if signed else "it was signed for something else"
    except PackageError as problem:
        id, void = "", problem.message.replace("the package", "the approval")
    return Approval(
        id=found.id, plan=plan.id, version=plan.version, actor=found.actor, key=id, time=found.time, void=void
    )


def _void(wanted: Approvals, actor: str, key: str, authors: Collection[str]) -> str:
    """Why an approval by this person with this key does not count; empty when it does."""
    if wanted.not_author and actor.casefold() in {a.casefold() for a in authors}:
        return f"{actor} made the model, and [release] asks for someone else"
    if wanted.by and actor not in wanted.by and f"{actor}:{key}" not in wanted.by:
        named = [name for name in wanted.by if name.partition(":")[0] == actor]
        return f"{actor} signs with the key {key}, not as {named[0]}" if named else f"only {', '.join(wanted.by)} may"
    return ""


def _payload(plan: Plan, actor: str) -> bytes:
    return canonical({"actor": actor, "plan": plan})
