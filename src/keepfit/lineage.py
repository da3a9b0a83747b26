"""Where something came from: the chain of facts behind a prediction, release, model or run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from keepfit.core.clocks import iso
from keepfit.core.digests import digest_file, short
from keepfit.core.errors import NotFound
from keepfit.datasets.version import find_version
from keepfit.home import Home
from keepfit.ledger import Fact, Query, Where
from keepfit.models.model import find_model, summary_of
from keepfit.project import Project
from keepfit.runs.environment import read_environment
from keepfit.runs.run import Run, find_run
from keepfit.serving.log import find_prediction


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One link of the chain."""

    kind: str
    id: str
    text: str
    detail: dict[str, Any] = {}


def why(project: Project, home: Home, reference: str) -> list[Link]:
    """The chain from a prediction id, release, package, model (`delay@3`, `champion`) or run back to its sources.

    Also from a file that a batch wrote, by what is in it.

    Raises NotFound when nothing goes by that name.
    """
    found = home.ledger.get(reference) or _batch_of(home, Path(reference))
    if found is None:
        prediction = find_prediction(home.folder / "serving" / "log", reference)
        if prediction:
            release = _fact(home, prediction["release"])
            return [_prediction(prediction), _release(release), *_model(project, home, release.refs["model"])]
        return _model(project, home, find_model(home, project.name, reference).id)
    if found.kind in ("release", "rollout"):
        return [_release(found), *_model(project, home, found.refs["model"])]
    if found.kind == "run":
        return _run(home, find_run(home, found.id))
    if "model" in found.refs or found.kind == "model":
        first = [] if found.kind == "model" else [_plain(found)]
        return [*first, *_model(project, home, found.id if found.kind == "model" else found.refs["model"])]
    return [_plain(found)]


def _batch_of(home: Home, file: Path) -> Fact | None:
    """The batch whose output has the content of this file."""
    if not file.is_file():
        return None
    written = Where("output", "=", digest_file(file))
    return next(iter(home.ledger.find(Query(kind="batch", where=(written,), limit=1))), None)


def _prediction(row: dict[str, Any]) -> Link:
    text = f"{row['prediction']} for {row['event_time']:%Y-%m-%d %H:%M}, answered at {row['time']:%Y-%m-%d %H:%M:%S}"
    return Link(kind="prediction", id=row["id"], text=text, detail={k: v for k, v in row.items() if v is not None})


def _release(fact: Fact) -> Link:
    way = "live" if fact.kind == "release" else fact.body["stage"]
    text = f"version {fact.body['version']} {way} since {iso(fact.time)} by {fact.actor or '-'}: {fact.body['reason']}"
    return Link(kind=fact.kind, id=fact.id, text=text, detail={"package": fact.refs["package"]})


def _model(project: Project, home: Home, id: str) -> list[Link]:
    model = find_model(home, project.name, id)
    metrics = ", ".join(f"{m} {v:.4f}" for m, v in model.metrics.items())
    return [
        Link(kind="model", id=model.id, text=f"{model}: {metrics}", detail={"object": model.model}),
        *_run(home, find_run(home, model.run)),
    ]


def _run(home: Home, run: Run) -> list[Link]:
    environment = read_environment(home.objects, run.environment)
    links = [Link(kind="run", id=run.id, text=_run_text(home, run), detail={"key": run.key, "spec": run.spec})]
    for id in run.data.values():
        data = find_version(home, id)
        text = f"{data}: {data.files:,} files, {data.bytes:,} bytes, first versioned {iso(data.time)}"
        links.append(Link(kind="data", id=id, text=text, detail=msgspec.to_builtins(data)))
    for path, digest in run.code.items():
        links.append(Link(kind="code", id=short(digest), text=path, detail={"object": digest}))
    if git := run.evidence.git:
        text = f"on {git.branch or 'no branch'}, " + ("with changes that were not committed" if git.dirty else "as is")
        links.append(Link(kind="commit", id=short(git.commit), text=text, detail=msgspec.to_builtins(git)))
    text = f"Python {environment.python} on {environment.platform}, {len(environment.packages)} packages"
    links.append(
        Link(kind="environment", id=short(run.environment), text=text, detail=msgspec.to_builtins(environment))
    )
    return links


def _run_text(home: Home, run: Run) -> str:
    if "summary.json" not in run.outputs:
        return f"ran {iso(run.time)} in {run.seconds:.1f} s"
    summary = summary_of(home, run)
    span = f" from {summary.train_from:%Y-%m-%d} to {summary.train_until:%Y-%m-%d}" if summary.train_from else ""
    model = summary.model_class.rpartition(".")[2]
    return f"{model} on {summary.train_rows:,} rows{span}, tested on {summary.test_rows:,}, {iso(run.time)}"


def _plain(fact: Fact) -> Link:
    return Link(kind=fact.kind, id=fact.id, text=f"{fact.subject}, {iso(fact.time)}", detail=fact.body)


def _fact(home: Home, id: str) -> Fact:
    found = home.ledger.get(id)
    if found is None:
        raise NotFound(f"the ledger has no `{id}`, which something rests on", hint="keepfit status")
    return found
