"""A run done again from what was kept: code, data and environment; all it makes is held against the record."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from keepfit.core.digests import digest_file, short
from keepfit.core.errors import DamagedObject, KeepfitError, NotFound, StoreError
from keepfit.core.files import locked
from keepfit.datasets.tree import tree_files
from keepfit.datasets.version import find_version
from keepfit.engines import Step
from keepfit.home import Home
from keepfit.objects import read
from keepfit.packages.unpack import verified
from keepfit.reproduction.answer import answer_again
from keepfit.reproduction.difference import first_difference
from keepfit.reproduction.origin import Origin, origin
from keepfit.reproduction.proof import How, Output, Proof, record_proof
from keepfit.runs.environment import CACHE, Environment, complete, environment_diff, pinned, read_environment
from keepfit.runs.execute import failure, lay_out
from keepfit.runs.machine import LEFT, Machine, machine_diff
from keepfit.runs.rebuild import rebuild
from keepfit.runs.run import Plan, Run, plan_of

Where = Literal["auto", "current", "rebuild"]
Told = Callable[[str], None]


class _Bench(msgspec.Struct, kw_only=True):
    """What a reproduction works with."""

    home: Home
    folder: Path
    told: Told
    plan: Plan
    how: How = "current"
    python: str | None = None
    """The interpreter of the rebuilt environment."""
    packages: int = 0
    changes: list[str] = []


def reproduce(
    home: Home, name: str, reference: str, *, where: Where = "auto", told: Told = lambda text: None
) -> tuple[Proof, bytes]:
    """The proof that what `reference` names comes out the same again, or where and why it does not; its envelope.

    The run is done again in a clean process and a folder of its own, which are gone afterwards; in
    this environment where it is the recorded one (`where="current"`: in any case), else in one that
    is rebuilt (`"rebuild"`: in any case). Names, known runs and the project stay as they are; a
    `reproduced` fact tells of it. Where it could not be done at all, the proof says why, the
    envelope is empty, and nothing is recorded. Raises NotFound when nothing goes by that name, StoreError
    when the disk refuses.
    """
    found = origin(home, name, reference)
    work = home.folder / "work"
    with locked(work / f"reproduce-{found.run.id}.lock"):
        folder = work / f"reproduce-{found.run.id}"
        shutil.rmtree(folder, ignore_errors=True)  # of one that was killed
        bench = _Bench(home=home, folder=folder, told=told, plan=plan_of(home, found.run))
        try:
            proof = _try(bench, found, reference, where)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return record_proof(home, proof, found.run) if proof.outputs else (proof, b"")


def _try(bench: _Bench, found: Origin, reference: str, where: Where) -> Proof:
    started = time.monotonic()
    outputs: list[Output] = []
    machine = problem = None
    try:
        outputs, machine = _make_again(bench, found, where)
    except KeepfitError as raised:
        if isinstance(raised, StoreError) and not isinstance(raised, DamagedObject):
            raise  # a full disk says nothing of the run
        problem = raised
    proof = Proof(
        reference=reference,
        run=found.run.id,
        subject=found.run.subject,
        outputs=outputs,
        how=bench.how,
        environment=found.run.environment,
        packages=bench.packages,
        changes=bench.changes,
        machine=machine,
        seconds=round(time.monotonic() - started, 3),
        difference=f"it cannot be made again: {problem.message}" if problem else "",
        cause=_environment_cause(bench) or (problem.where or "" if problem else ""),
        hint=problem.hint or "" if problem else "",
    )
    if problem or proof.equal:
        return msgspec.structs.replace(proof, cause=proof.cause if problem else "")
    return _explained(bench, proof, found.run)


def _make_again(bench: _Bench, found: Origin, where: Where) -> tuple[list[Output], Machine | None]:
    _choose_environment(bench, found.run, where)
    folder = bench.folder / "run"
    _restore(bench, folder)
    bench.told(f"running {found.run.id} again")
    _step(bench, bench.plan.module, folder)
    made = folder / "out"
    names = sorted(found.run.outputs.keys() | {p.name for p in made.iterdir()})
    outputs = [_output(name, found.run.outputs.get(name, ""), made / name) for name in names]
    if found.package:
        _, manifest = verified(read(bench.home.objects, found.package), bench.home.folder / "key")
        inside = [name for name in manifest.members if name in found.run.outputs]
        outputs += [
            msgspec.structs.replace(
                _output(name, manifest.members[name], made / name), name=f"{name} in the package", sha256=""
            )
            for name in inside
        ]
    if found.prediction:
        bench.told(f"answering {found.prediction['id']} again")
        place = bench.folder / "answer"
        place.mkdir()
        outputs.append(
            answer_again(
                bench.home,
                found.package,
                found.prediction,
                made,
                place,
                step=lambda module, folder: _step(bench, module, folder),
            )
        )
    return outputs, _machine(folder)


def _choose_environment(bench: _Bench, run: Run, where: Where) -> None:
    wanted = _wanted(bench.home, run)
    bench.told("comparing the environment with the recorded one")
    whole = complete(cache=bench.home.folder / CACHE)
    here = {name: package for name, package in whole.packages.items() if name in wanted.packages}
    changes = environment_diff(wanted, msgspec.structs.replace(whole, packages=here))
    bench.packages = len(wanted.packages)
    if where == "current" or (where == "auto" and not changes):
        bench.changes = [str(change) for change in changes]
        return
    bench.how = "rebuilt"
    place = bench.folder / "environment"
    python = rebuild(bench.home, wanted, run.evidence.sources, place, told=bench.told)
    bench.python = str(python)


def _wanted(home: Home, run: Run) -> Environment:
    """What the run had: the packages of its key, and those it was seen to import beyond them."""
    named = read_environment(home.objects, run.environment)
    if not run.evidence.beyond:
        return named
    whole = read_environment(home.objects, run.evidence.installed).packages
    beyond = {name: whole[name] for name in run.evidence.beyond if name in whole}
    return msgspec.structs.replace(named, packages=dict(sorted({**named.packages, **beyond}.items())))


def _restore(bench: _Bench, folder: Path) -> None:
    """Code and data as they were; DamagedObject or NotFound, naming the file, when they cannot be had."""
    trees = {name: find_version(bench.home, id).tree for name, id in bench.plan.data.items()}
    files = [(f"code/{path}", digest) for path, digest in bench.plan.code.items()]
    files += [
        (f"data/{name}/{f.path}", f.digest)
        for name, tree in trees.items()
        for f in tree_files(bench.home.objects, tree)
    ]
    bench.told(f"restoring {len(files)} files of code and data")
    for path, digest in files:
        if not bench.home.objects.has(digest):
            raise NotFound(f"the object of `{path}`, `{short(digest)}`, is missing", hint="keepfit verify")
    lay_out(bench.home, bench.plan, folder)
    for path, digest in files:
        if digest_file(folder / path) != digest:
            raise DamagedObject(f"the object of `{path}`, `{short(digest)}`, is damaged", hint="keepfit verify")


def _step(bench: _Bench, module: str, folder: Path) -> None:
    """Run a step as the run ran; raises what it raised."""
    plan = bench.plan
    step = Step(module=module, folder=folder, python=bench.python, environment=pinned(plan.threads, plan.seed))
    ticket = bench.home.engine.submit(step)
    try:
        outcome = bench.home.engine.result(ticket)
    except BaseException:
        bench.home.engine.cancel(ticket)
        raise
    if outcome.exit_code != 0:
        raise failure(plan, folder, outcome)


def _output(name: str, recorded: str, path: Path) -> Output:
    if not path.exists():
        return Output(name=name, recorded=recorded, made=None)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Output(name=name, recorded=recorded, made=digest_file(path), sha256=sha256)


def _machine(folder: Path) -> Machine | None:
    try:
        found = msgspec.json.decode((folder / LEFT).read_bytes(), type=Machine)
    except (OSError, msgspec.MsgspecError):
        return None
    return msgspec.structs.replace(found, modules=[])


def _explained(bench: _Bench, proof: Proof, run: Run) -> Proof:
    """The proof with its first difference and the likely cause."""
    wrong = [o for o in proof.outputs if o.must and not o.equal]
    files = [o for o in wrong if o.name in run.outputs and o.made]
    told = f"{wrong[0].name}: {wrong[0].recorded} before, {wrong[0].made or 'nothing'} now"
    for output in sorted(files, key=lambda o: not o.name.endswith(".parquet")):
        made = (bench.folder / "run" / "out" / output.name).read_bytes()
        told = f"{output.name}: {first_difference(output.name, read(bench.home.objects, output.recorded), made)}"
        break
    cause, hint = _cause(bench, proof, run, files)
    return msgspec.structs.replace(proof, difference=told, cause=cause, hint=hint)


def _cause(bench: _Bench, proof: Proof, run: Run, files: Sequence[Output]) -> tuple[str, str]:
    """Why it may have come out otherwise, and what to do; done once more to see whether it repeats at all."""
    if not files and run.spec.get("sides"):
        return "the side rows joined to it have been replaced since, or are not kept any more", ""
    if not files:
        return "what was logged or packaged is not what this run made", f"keepfit why {proof.reference}"
    if changed := _environment_cause(bench):
        return changed, f"keepfit reproduce {proof.reference} --environment rebuild"
    bench.told("running it once more, to see whether it repeats here")
    folder = bench.folder / "again"
    lay_out(bench.home, bench.plan, folder)
    _step(bench, bench.plan.module, folder)
    if any(not _output(o.name, o.made or "", folder / "out" / o.name).equal for o in files):
        return (
            "it does not repeat here either: something in the code is not seeded, or asks the clock",
            "use the `seed` that your fit function is given",
        )
    if proof.machine and run.evidence.machine:
        changes = machine_diff(run.evidence.machine, proof.machine)
        if changes:
            return "another machine: " + ", ".join(map(str, changes)), "reproduce it on such a machine"
    if bench.plan.threads > 1:
        return (
            f"{bench.plan.threads} threads: some libraries add up in another order each time",
            "set threads = 1 under [train] in keepfit.toml",
        )
    return "unknown: it repeats here, in the recorded environment, on such a machine", "keepfit verify"


def _environment_cause(bench: _Bench) -> str:
    return "another environment: " + ", ".join(bench.changes) if bench.changes else ""
