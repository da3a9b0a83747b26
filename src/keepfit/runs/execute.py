"""Executing a plan in a clean process, once: a plan whose key is known is not run again."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from keepfit.core.digests import canonical, digest_value
from keepfit.core.errors import (
    ContractBroken,
    DataError,
    KeepfitError,
    NotEnoughData,
    PackageError,
    StoreError,
    UserCodeError,
)
from keepfit.core.files import locked
from keepfit.datasets.version import checkout, find_version
from keepfit.engines import Outcome, Step
from keepfit.home import Home
from keepfit.ledger import fact
from keepfit.ledger.fact import fact_id
from keepfit.objects import read
from keepfit.runs.environment import CACHE, environment, pinned
from keepfit.runs.evidence import Evidence, completed, gather
from keepfit.runs.hear import Heard, Hearing
from keepfit.runs.machine import LEFT
from keepfit.runs.run import METRIC, PARAMETER, Plan, Run, State, indexed, run_of, series

_PRINTED = 50
"""Lines that are kept of what a failed run printed."""
_ERRORS = {e.code: e for e in (ContractBroken, DataError, NotEnoughData, UserCodeError, PackageError, StoreError)}


def execute(
    home: Home, plan: Plan, *, prepare: Callable[[Path], None] | None = None, heard: Heard | None = None
) -> Run:
    """The run of this plan: found when its key is known and its outputs are there, made otherwise.

    The step runs in a process of its own, in a folder that holds `spec.json`, the plan's
    `code/` and `data/`, and leaves its results in `out/`. Two callers with the same plan share
    one execution. `heard` is told of what the step logs, as it comes; when it gives True, the step
    is ended and the run is `pruned`. Raises what the step raised (UserCodeError, DataError ...);
    the run is then recorded as failed, and run again when it is asked for again. Raises StoreError when
    the disk refuses.
    """
    if known := find_known(home, plan):
        return known
    with locked(home.folder / "work" / f"{plan.key[:16]}.lock"):
        if known := find_known(home, plan):
            return known
        folder = home.folder / "work" / plan.key[:16]
        shutil.rmtree(folder, ignore_errors=True)
        try:
            try:
                lay_out(home, plan, folder)
                if prepare:
                    prepare(folder)
            except OSError as problem:
                told = f"the step's folder cannot be made: {problem.strerror or problem}"
                raise StoreError(told, where=str(folder.parent), hint=f"df -h {folder.parent}") from problem
            return _run(home, plan, folder, heard)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def find_known(home: Home, plan: Plan) -> Run | None:
    """The run of a plan that has been run before, if all its outputs are still there."""
    found = home.ledger.get(_id(plan))
    if (
        found is None
        or not found.body["outputs"]
        or not all(home.objects.has(d) for d in found.body["outputs"].values())
    ):
        return None
    return run_of(found, known=True)


def keep_code(home: Home, root: Path, files: Sequence[Path]) -> dict[str, str]:
    """Keep code files (relative to root) as objects; path -> digest."""
    return {path.as_posix(): home.objects.put(root / path) for path in files}


def keep_environment(home: Home, code: Mapping[str, str]) -> str:
    """Keep the description of this environment, as far as this code can need it, as an object; its digest."""
    texts = [read(home.objects, digest) for path, digest in code.items() if path.endswith(".py")]
    return home.objects.put(canonical(environment(texts, cache=home.folder / CACHE)))


def lay_out_code(home: Home, code: dict[str, str], folder: Path) -> None:
    """Write code files out below a folder."""
    for name, digest in code.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(read(home.objects, digest))


def lay_out(home: Home, plan: Plan, folder: Path) -> None:
    """What a step finds in its folder: `spec.json`, `code/`, `data/` and an empty `out/`."""
    (folder / "out").mkdir(parents=True)
    (folder / "spec.json").write_bytes(msgspec.json.encode(plan.spec))
    lay_out_code(home, plan.code, folder / "code")
    for name, id in plan.data.items():
        checkout(home.objects, find_version(home, id), folder / "data" / name)


class _End(NamedTuple):
    """How a step ended."""

    state: State
    key: object
    seconds: float
    outputs: Mapping[str, str] = {}
    error: Mapping[str, str | None] = {}


def _run(home: Home, plan: Plan, folder: Path, heard: Heard | None) -> Run:
    step = Step(module=plan.module, folder=folder, environment=pinned(plan.threads, plan.seed))
    hearing, evidence = Hearing(folder, home.clock, heard), gather(home, plan.code)
    began, started = home.clock.now(), time.monotonic()
    ticket = home.engine.submit(step)
    try:
        with hearing.live(lambda: home.engine.cancel(ticket)):
            outcome = home.engine.result(ticket)
    except BaseException:
        home.engine.cancel(ticket)
        raise
    hearing.finish()
    seconds = time.monotonic() - started
    evidence = completed(evidence, home, folder, plan.environment)
    if hearing.stopped:
        return _record(home, plan, hearing, evidence, _End("pruned", [plan.key, "pruned"], seconds))
    if outcome.exit_code != 0 or not (folder / LEFT).exists():
        problem = failure(plan, folder, outcome)
        if isinstance(problem, StoreError):
            raise problem  # no fault of the run's: it will be run again
        error = {"code": problem.code, "message": problem.message, "where": problem.where, "hint": problem.hint}
        error["printed"] = "\n".join(outcome.log.splitlines()[-_PRINTED:])
        _record(home, plan, hearing, evidence, _End("failed", [plan.key, began], seconds, error=error))
        raise problem
    outputs = {p.name: home.objects.put(p) for p in sorted((folder / "out").iterdir())}
    return _record(home, plan, hearing, evidence, _End("done", plan.key, seconds, outputs))


def failure(plan: Plan, folder: Path, outcome: Outcome) -> KeepfitError:
    try:
        told = msgspec.json.decode((folder / "error.json").read_bytes(), type=dict[str, str | None])
    except (OSError, msgspec.DecodeError):
        ending = f"signal {-outcome.exit_code}" if outcome.exit_code < 0 else f"exit code {outcome.exit_code}"
        tail = "\n".join(outcome.log.splitlines()[-20:])
        if "No space left on device" in tail:
            return StoreError("the disk is full", where=str(folder.parent), hint=f"df -h {folder.parent}")
        early = "" if outcome.exit_code else " before it was done"
        return UserCodeError(f"{plan.module.rpartition('.')[2]} ended with {ending}{early}:\n{tail}".rstrip(":\n"))
    error = _ERRORS.get(told["code"] or "", UserCodeError)
    return error(told["message"] or "", where=told["where"], hint=told["hint"])


def _record(home: Home, plan: Plan, hearing: Hearing, evidence: Evidence, end: _End) -> Run:
    parameters = hearing.parameters | plan.parameters
    found = fact(
        "run",
        plan.subject,
        time=home.clock.now(),
        key=end.key,
        actor=home.actor,
        body={
            "key": plan.key,
            "state": end.state,
            "module": plan.module,
            "spec": plan.spec,
            "code": plan.code,
            "data": plan.data,
            "seed": plan.seed,
            "threads": plan.threads,
            "seconds": round(end.seconds, 3),
            "outputs": dict(end.outputs),
            "parameters": parameters,
            "curves": {name: len(points) for name, points in hearing.curves.items()},
            "error": dict(end.error),
            "evidence": msgspec.to_builtins(evidence),
        },
        refs={"environment": plan.environment, **evidence.refs, **{f"data/{n}": id for n, id in plan.data.items()}},
        attributes={
            "state": end.state,
            "seconds": round(end.seconds, 3),
            "module": plan.module,
            "actor": home.actor,
            "family": plan.family,
            "code": digest_value(plan.code),
            "environment": plan.environment,
            **{f"data.{name}": id for name, id in plan.data.items()},
            **{PARAMETER + name: indexed(value) for name, value in parameters.items()},
            **{METRIC + name: value for name, value in hearing.metrics.items()},
        },
    )
    for name, points in hearing.curves.items():
        home.ledger.record(series(found.id, name), points)
    return run_of(home.ledger.append([found])[0])


def _id(plan: Plan) -> str:
    return fact_id("run", plan.key)
