"""Gates on a package: it loads in a fresh process, repeats its golden rows bit for bit, and answers in time."""

from __future__ import annotations

from pathlib import Path

import msgspec

from keepfit.checks.gate import Gate
from keepfit.checks.requirement import CheckSettings
from keepfit.checks.trial import Trial, TrialSpec
from keepfit.core.clocks import duration, iso
from keepfit.core.errors import KeepfitError, PackageError, UserCodeError
from keepfit.home import Home
from keepfit.ledger import Fact
from keepfit.loadtest.demand import demand
from keepfit.models.formats import PICKLE, model_file
from keepfit.objects import read
from keepfit.packages.unpack import unpack
from keepfit.runs.execute import execute, keep_environment
from keepfit.runs.run import Plan, Run, find_run

QUICK = 0.01
"""Seconds: an answer that takes no longer is never too slow beside the champion's."""


def check_package(home: Home, package: Fact, settings: CheckSettings, *, champion: str | None = None) -> list[Gate]:
    """Whether the package repeats its golden rows, in the time and memory it may take."""
    made = find_run(home, package.refs["run"])
    plan = _plan(home, package.refs["package"], made, settings)
    try:
        run, found = _tried(home, plan)
        clocked = _clocked(home, found, plan, settings, champion)
        if run.known and not all(gate.passed for gate in clocked):
            again = {**plan.spec, "again": iso(home.clock.now())}  # the machine may have been busy
            _, found = _tried(home, msgspec.structs.replace(plan, spec=again))
            clocked = _clocked(home, found, plan, settings, champion)
    except (PackageError, UserCodeError) as problem:
        return [_gate("golden rows", False, "bit for bit", problem.message)]
    return [_gate("golden rows", True, "bit for bit", f"{found.golden_rows} rows equal"), *_format(made), *clocked]


def _plan(home: Home, package: str, made: Run, settings: CheckSettings) -> Plan:
    spec = TrialSpec(package=package, load=settings.loads, memory=settings.memory, within=settings.trial_within)
    return Plan(
        subject=made.subject,
        module="keepfit.checks.trial",
        spec=msgspec.to_builtins(spec),
        code={},
        data={},
        environment=keep_environment(home, made.code),
    )


def _clocked(home: Home, found: Trial, plan: Plan, settings: CheckSettings, champion: str | None) -> list[Gate]:
    """The gates that a busy machine may fail by chance."""
    gates = []
    if limit := settings.p99:
        evidence = {"p50": found.p50, "p99": found.p99, "load": found.load, "memory": found.memory}
        passed = found.p99 <= duration(limit.at_most).total_seconds()
        gates.append(_gate("p99 of one row", passed, f"<= {limit.at_most}", _ms(found.p99), **evidence))
    if champion:
        gates += _beside(home, found, plan, settings, champion)
    for text, figures in zip(settings.loads, found.loads, strict=True):
        wanted = demand(text)
        told = _ms(figures.latency[wanted.name]) if figures.latency else "no answer"
        if figures.failed:
            told += f", {figures.failed:,} of {figures.sent:,} requests failed: {'; '.join(figures.examples[:1])}"
        gate = _gate(f"{wanted.name} under load", wanted.met(figures), text.removeprefix(wanted.name).strip(), told)
        gates.append(msgspec.structs.replace(gate, evidence=msgspec.to_builtins(figures)))
    return [msgspec.structs.replace(gate, measured=True) for gate in gates]


def _beside(home: Home, found: Trial, plan: Plan, settings: CheckSettings, champion: str) -> list[Gate]:
    """Whether an answer takes many times as long as the champion's; nothing when that cannot be tried any more."""
    spec = {**plan.spec, "package": champion, "load": []}
    try:
        _, theirs = _tried(home, msgspec.structs.replace(plan, spec=spec))
    except KeepfitError:
        return []
    times = found.p50 / theirs.p50
    required = f"<= {settings.slower:g} x the champion's {_ms(theirs.p50)}"
    passed = times <= settings.slower or found.p50 <= QUICK
    return [_gate("time of one row", passed, required, f"{times:.1f} x, {_ms(found.p50)}", p50=found.p50)]


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


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _gate(name: str, passed: bool, required: str, found: str, **evidence: float) -> Gate:
    return Gate(stage="package", name=name, passed=passed, required=required, found=found, evidence=evidence)
