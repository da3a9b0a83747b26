"""From what the user named to the run behind it."""

from __future__ import annotations

from typing import Any

import msgspec

from keepfit.core.errors import NotFound, UsageError
from keepfit.home import Home
from keepfit.ledger import Fact
from keepfit.models.model import find_model
from keepfit.runs.run import Run, find_run
from keepfit.serving.log import find_prediction


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where something came from."""

    run: Run
    package: str = ""
    """Object digest of the archive, where one was named or had answered."""
    prediction: dict[str, Any] | None = None
    """The logged row of the prediction that was named."""


def origin(home: Home, name: str, reference: str) -> Origin:
    """The run behind a run, model (`delay@3`, `champion`), package, release, verdict or prediction id.

    `name` is the project's model. Raises NotFound when nothing goes by that name, UsageError when
    no run that can be done again made it.
    """
    found = home.ledger.get(reference)
    prediction = None
    if found is None:
        prediction = find_prediction(home.folder / "serving" / "log", reference)
        if prediction is None:
            found = _fact(home, find_model(home, name, reference).id)
        else:
            found = _fact(home, prediction["release"])
    run = _run(home, found)
    if not run.data or not run.outputs:
        raise UsageError(
            f"`{run.id}` is not a training run that ended well: there is nothing to make again",
            hint="name a model, or a training run",
        )
    package = found.refs.get("package", "")
    if found.kind == "verdict":
        package = _fact(home, package).refs["package"]
    return Origin(run=run, package=package, prediction=prediction)


def _run(home: Home, found: Fact) -> Run:
    if found.kind == "run":
        return find_run(home, found.id)
    if "run" in found.refs:
        return find_run(home, found.refs["run"])
    if "model" in found.refs:
        return _run(home, _fact(home, found.refs["model"]))
    raise UsageError(
        f"`{found.id}` is a {found.kind}, which no run made", hint="name a run, model, package, release or prediction"
    )


def _fact(home: Home, id: str) -> Fact:
    found = home.ledger.get(id)
    if found is None:
        raise NotFound(f"the ledger has no `{id}`, which something rests on", hint="keepfit verify")
    return found
