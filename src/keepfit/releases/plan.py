"""A plan: what a release would do, and all that this rests on. What was planned is what is applied, or nothing is."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from keepfit.checks.gate import Verdict
from keepfit.core.digests import digest_value
from keepfit.core.errors import NotFound
from keepfit.home import Home
from keepfit.ledger import Fact, fact
from keepfit.ledger.fact import fact_id
from keepfit.releases.release import Release
from keepfit.releases.settings import Approvals, ReleaseSettings


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What would be released in place of what, by which way, and who has to say yes."""

    model_name: str
    version: int
    model: str
    """Id of the model version."""
    package: str
    """Object digest of the archive."""
    verdict: str
    """Id of the verdict on it."""
    gates: str
    """Digest of what that verdict found."""
    failed: str
    """Why it may not ship; empty when it may."""
    champion: str | None
    """Id of the release in production."""
    stages: list[str]
    key: str | None
    approvals: Approvals
    at_once: bool = False
    """Whether the stages that the project asks for are left out."""

    @property
    def id(self) -> str:
        """Follows from all of it: two plans with the same id are the same."""
        return fact_id("plan", self)

    def __str__(self) -> str:
        return f"{self.model_name}@{self.version}"


def make_plan(
    live: Release | None, package: Fact, verdict: Verdict, settings: ReleaseSettings, *, at_once: bool = False
) -> Plan:
    """The plan for a package. With nothing in production there is nothing to be careful of: no stages."""
    return Plan(
        model_name=package.subject.removeprefix("model/"),
        version=package.body["version"],
        model=package.refs["model"],
        package=package.refs["package"],
        verdict=verdict.id,
        gates=digest_value(verdict.gates),
        failed=verdict.reason,
        champion=live.id if live else None,
        stages=[] if at_once or live is None else settings.stages,
        key=settings.key,
        approvals=settings.approved_by,
        at_once=at_once,
    )


def record_plan(home: Home, plan: Plan) -> Plan:
    """Keep a plan, so that it can be named; the same plan is kept once."""
    refs = {"package": plan.package, "model": plan.model, "verdict": plan.verdict}
    made = fact(
        "plan",
        f"release/{plan.model_name}",
        time=home.clock.now(),
        key=plan,
        actor=home.actor,
        body=msgspec.to_builtins(plan),
        refs=refs | ({"champion": plan.champion} if plan.champion else {}),
        attributes={"version": plan.version},
    )
    home.ledger.append([made])
    return plan


def find_plan(home: Home, id: str) -> Plan:
    """The plan with this id; NotFound when there is none."""
    found = home.ledger.get(id)
    if found is None or found.kind != "plan":
        raise NotFound(f"there is no plan `{id}`", hint="keepfit plan")
    return msgspec.convert(found.body, Plan)


def differences(old: Plan, new: Plan) -> Iterator[str]:
    """What is not as it was planned, in words."""
    words = {
        "version": "the version",
        "package": "the package",
        "champion": "what is in production",
        "stages": "the stages",
        "key": "the key of the canary",
        "approvals": "who must approve",
        "at_once": "whether stages are left out",
    }
    for field, what in words.items():
        before, now = getattr(old, field), getattr(new, field)
        if before != now:
            yield f"{what}: {_said(before)} -> {_said(now)}"
    if (old.verdict, old.gates, old.failed) != (new.verdict, new.gates, new.failed):
        yield f"the verdict: {old.verdict} -> {new.verdict}" + (f" ({new.failed})" if new.failed else "")


def _said(value: object) -> str:
    if isinstance(value, Approvals):
        named = f" of {', '.join(value.by)}" if value.by else ""
        return f"{value.count}{named}{', not the author' if value.not_author else ''}"
    return ", ".join(value) or "none" if isinstance(value, list) else str(value)
