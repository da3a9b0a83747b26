"""Gates on a package: it loads in a fresh process, repeats its golden rows bit for bit, and answers in time."""

from __future__ import annotations

from pathlib import Path

import msgspec

from keepfit.checks.gate import Gate
from keepfit.checks.requirement import CheckSettings
from keepfit.checks.trial import Trial
from keepfit.core.clocks import duration, iso
from keepfit.core.errors import PackageError, UserCodeError
from keepfit.home import Home
from keepfit.ledger import Fact
from keepfit.models.formats import PICKLE, model_file
from keepfit.objects import read
from keepfit.packages.unpack import unpack
from keepfit.runs.execute import execute, keep_environment
from keepfit.runs.run import Plan, Run, find_run


def check_package(home: Home, package: Fact, settings: CheckSettings) -> list[Gate]:
    """Whether the package repeats its golden rows, and how long it takes for one row."""
    digest, limit, made = package.refs["package"], settings.p99, find_run(home, package.refs["run"])
    plan = Plan(
        subject=package.subject,
        module="keepfit.checks.trial",
        spec={"package": digest},
        code={},
        data={},
        environment=keep_environment(home, made.code),
    )
    try:
        run, found = _tried(home, plan)
        if run.known and limit and found.p99 > duration(limit.at_most).total_seconds():
            again = {**plan.spec, "again": iso(home.clock.now())}  # the machine may have been busy
            run, found = _tried(home, msgspec.structs.replace(plan, spec=again))
    except (PackageError, UserCodeError) as problem:
        return [_gate("golden rows", False, "bit for bit", problem.message)]
    gates = [_gate("golden rows", True, "bit for bit", f"{found.golden_rows} rows equal"), *_format(made)]
    if limit:
        evidence = {"p50": found.p50, "p99": found.p99, "load": found.load, "memory": found.memory}
        passed = found.p99 <= duration(limit.at_most).total_seconds()
        text = f"{found.p99 * 1000:.1f} ms"
        gate = _gate("p99 of one row", passed, f"<= {limit.at_most}", text, **evidence)
        gates.append(msgspec.structs.replace(gate, measured=True))
    return gates


def _tried(home: Home, plan: Plan) -> tuple[Run, Trial]:
    run = execute(home, plan, prepare=lambda folder: _laid_out(home, plan.spec["package"], folder))
    return run, msgspec.json.decode(read(home.objects, run.outputs["trial.json"]), type=Trial)


def _format(made: Run) -> list[Gate]:
    """A warning, where loading the model runs code."""
    if model_file(made.outputs) != PICKLE:
        return []
    found = "warning: a pickle; whoever loads it runs what is in it"
    return [_gate("model format", True, "no code on load, unless [train] pickle = true", found)]


def _laid_out(home: Home, digest: str, folder: Path) -> None:
    unpack(home, digest, folder / "package")


def _gate(name: str, passed: bool, required: str, found: str, **evidence: float) -> Gate:
    return Gate(stage="package", name=name, passed=passed, required=required, found=found, evidence=evidence)
