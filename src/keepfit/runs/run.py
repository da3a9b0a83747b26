"""A run: something made from code, data, parameters and environment; its key is the digest of all four."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from keepfit.core.digests import digest_bytes
from keepfit.core.errors import NotFound
from keepfit.home import Home
from keepfit.ledger import Fact
from keepfit.runs.evidence import Evidence

State = Literal["done", "failed", "pruned"]
METRIC = "metric."
PARAMETER = "param."
"""What the attributes of a run's metrics and parameters begin with."""


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

    @property
    def parameters(self) -> dict[str, Any]:
        """What the user's function is given by name."""
        return dict(self.spec.get("parameters", {}))

    @property
    def family(self) -> str:
        """The key that plans have in common when only their parameters' values differ."""
        spec = self.spec | {"parameters": sorted(self.parameters)}
        return msgspec.structs.replace(self, spec=spec).key


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run that has ended; only one that is done has outputs, and is found by its key."""

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
    state: State = "done"
    """`failed`: it raised. `pruned`: it was ended early, for others do better."""
    actor: str = ""
    parameters: dict[str, Any] = {}
    """Those given, and the defaults of the user's function."""
    metrics: dict[str, float] = {}
    """Final values: those of the test, and what the user's function logged or gave back."""
    curves: dict[str, int] = {}
    """Name -> number of values kept of each logged metric; see `curve`."""
    error: dict[str, str | None] = {}
    """Code, message, where and hint of what a failed run raised, and the last it `printed`."""


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
        state=found.body.get("state", "done"),
        actor=found.actor,
        parameters=found.body.get("parameters", {}),
        metrics={n[len(METRIC) :]: float(v) for n, v in found.attributes.items() if n.startswith(METRIC)},
        curves=found.body.get("curves", {}),
        error=found.body.get("error", {}),
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


def indexed(value: object) -> float | str:
    """A parameter's value as an attribute: numbers as numbers, truth values as `true` and `false`."""
    if isinstance(value, bool):
        return str(value).lower()
    return float(value) if isinstance(value, int | float) else str(value)


def series(id: str, metric: str) -> str:
    """The ledger's series of a metric that the run with this id logged."""
    return f"run/{id}/{metric}"


def find_run(home: Home, id: str) -> Run:
    """The run with this id; NotFound when there is none."""
    found = home.ledger.get(id)
    if found is None or found.kind != "run":
        raise NotFound(f"there is no run `{id}`", hint="keepfit status")
    return run_of(found)
