"""Gates and verdicts: what was demanded, what was found, and whether that is good enough to ship."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from keepfit.home import Home
from keepfit.ledger import Fact, fact

Stage = Literal["data", "code", "model", "package"]


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """One demand and what was found."""

    stage: Stage
    name: str
    passed: bool
    required: str
    found: str
    evidence: dict[str, Any] = {}
    """Figures, rows or slices behind the finding."""
    measured: bool = False
    """Whether it was measured with a clock: on a busy machine it fails by chance, so a failure is never final."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """All gates on one package and the model in it; blocking unless all passed."""

    id: str
    subject: str
    time: datetime
    gates: list[Gate]

    @property
    def passed(self) -> bool:
        return all(g.passed for g in self.gates)

    @property
    def final(self) -> bool:
        """Whether asking again would give the same."""
        return self.passed or not all(g.passed or g.measured for g in self.gates)

    @property
    def reason(self) -> str:
        """Why it does not pass, in one line; empty when it does."""
        return "; ".join(f"{g.name}: {g.found}, required {g.required}" for g in self.gates if not g.passed)


def record_verdict(home: Home, package: Fact, gates: Sequence[Gate], *, key: object, refs: dict[str, str]) -> Verdict:
    """The verdict as a fact; the same key gives the verdict that was recorded first."""
    passed = all(g.passed for g in gates)
    made = fact(
        "verdict",
        package.id,
        time=home.clock.now(),
        key=key,
        actor=home.actor,
        body={"gates": msgspec.to_builtins(list(gates))},
        refs=refs,
        attributes={"passed": float(passed)},
    )
    return verdict_of(home.ledger.append([made])[0])


def verdict_of(found: Fact) -> Verdict:
    """The verdict a fact tells of."""
    return Verdict(
        id=found.id,
        subject=found.subject,
        time=found.time,
        gates=msgspec.convert(found.body["gates"], list[Gate]),
    )
