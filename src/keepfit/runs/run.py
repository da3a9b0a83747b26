"""A run: something made from code, data, parameters and environment; its key is the digest of all four."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from keepfit.core.digests import digest_bytes
from keepfit.core.errors import NotFound
from keepfit.home import Home
from keepfit.ledger import Fact
from keepfit.runs.evidence import Evidence


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be run. Plans with the same key give the same result."""

    subject: str
    module: str
    """The step, as a Python module."""
    spec: dict[str, Any]
    """All the step is told, apart from code and data."""
    code: dict[str, str]
    """Path -> object digest of each code file."""
    data: dict[str, str]
    """Dataset name -> id of its version."""
    environment: str
    """Object digest of the environment."""
    seed: int = 0
    threads: int = 1

    @property
    def key(self) -> str:
        return digest_bytes(msgspec.json.encode([1, self]))  # in order: the order of columns can matter


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run that ended well."""

    id: str
    key: str
    subject: str
    time: datetime
    spec: dict[str, Any]
    code: dict[str, str]
    data: dict[str, str]
    environment: str
    seconds: float
    outputs: dict[str, str]
    """File name -> object digest of everything the step left."""
    evidence: Evidence = Evidence()
    known: bool = False
    """True when it had been run before and was not run again."""


def run_of(found: Fact, *, known: bool = False) -> Run:
    """The run a fact tells of."""
    return Run(
        id=found.id,
        key=found.body["key"],
        subject=found.subject,
        time=found.time,
        spec=found.body["spec"],
        code=found.body["code"],
        data=found.body["data"],
        environment=found.refs["environment"],
        seconds=found.body["seconds"],
        outputs=found.body["outputs"],
        evidence=msgspec.convert(found.body.get("evidence", {}), Evidence),
        known=known,
    )


def plan_of(home: Home, run: Run) -> Plan:
    """The plan that a run was made by; NotFound when the ledger does not have it."""
    found = home.ledger.get(run.id)
    if found is None:
        raise NotFound(f"there is no run `{run.id}`", hint="keepfit status")
    return Plan(
        subject=run.subject,
        module=found.body["module"],
        spec=run.spec,
        code=run.code,
        data=run.data,
        environment=run.environment,
        seed=found.body["seed"],
        threads=found.body["threads"],
    )


def find_run(home: Home, id: str) -> Run:
    """The run with this id; NotFound when there is none."""
    found = home.ledger.get(id)
    if found is None or found.kind != "run":
        raise NotFound(f"there is no run `{id}`", hint="keepfit status")
    return run_of(found)
