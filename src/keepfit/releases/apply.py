"""Doing what is planned, and what stands against it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec

from keepfit.core.clocks import iso
from keepfit.core.errors import Refused
from keepfit.home import Home
from keepfit.releases.approval import list_approvals, missing
from keepfit.releases.plan import Plan, record_plan
from keepfit.releases.release import Release, champion, record_release, refuse_unproven, rejected
from keepfit.releases.rollout import Rollout, begin, find_rollout
from keepfit.serving.endpoint import sync


class Obstacle(msgspec.Struct, frozen=True, kw_only=True):
    """Something that speaks against a plan."""

    text: str
    hint: str
    blocks: bool = True
    """Whether nothing is released while it stands; otherwise it is only to be known."""


def obstacles(home: Home, plan: Plan, authors: Collection[str]) -> Iterator[Obstacle]:
    """What stands against a plan, by the facts alone."""
    if plan.failed:
        yield Obstacle(text=f"{plan} may not ship: {plan.failed}", hint=f"keepfit check {plan.version}")
    live, rollout = champion(home, plan.model_name), find_rollout(home, plan.model_name)
    if (live.id if live else None) != plan.champion:
        yield Obstacle(text=f"{live or 'nothing'} is in production now", hint=f"keepfit plan {plan.version}")
    elif live and live.package == plan.package:
        yield Obstacle(text=f"{plan} is in production already", hint="keepfit status")
    if rollout and rollout.running:
        yield Obstacle(text=f"{rollout} is being rolled out: {rollout.stages[rollout.number]}", hint="keepfit rollback")
    given = list_approvals(home, plan, authors) if plan.approvals.count else []
    if lacking := missing(plan, given):
        void = "".join(f"; {a.actor}'s does not count: {a.void}" for a in given if a.void)
        told = f"{lacking} of {plan.approvals.count} approvals of {plan} {'is' if lacking == 1 else 'are'} missing"
        yield Obstacle(text=told + void, hint=f"keepfit approve {plan.version}")
    if back := rejected(home, plan.model_name).get(plan.model):
        told = f"{plan} was taken back at {iso(back.time)} by {back.actor or '-'} ({back.reason})"
        yield Obstacle(text=told, hint="releasing it lets it in again", blocks=False)


def apply(home: Home, plan: Plan, authors: Collection[str], *, reason: str) -> Release | Rollout:
    """Release what is planned, or begin its rollout; what is done already is given back.

    Refused, and nothing has changed, when something stands against it, or a running endpoint, which
    loads it first, finds that it does not answer as it should.
    """
    live, rollout = champion(home, plan.model_name), find_rollout(home, plan.model_name)
    if live and live.package == plan.package:
        return live
    if rollout and rollout.running and rollout.package == plan.package:
        return rollout
    for obstacle in obstacles(home, plan, authors):
        if obstacle.blocks:
            raise Refused(f"{plan} is not released: {obstacle.text}", hint=obstacle.hint)
    refuse_unproven(home, plan.model_name, plan.package, plan.version)
    record_plan(home, plan)
    if plan.stages and live:
        return begin(home, plan, live, reason=reason)
    refs = {"package": plan.package, "model": plan.model}
    made = record_release(home, plan.model_name, refs, plan.version, reason, live)
    sync(home)
    return made
