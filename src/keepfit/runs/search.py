"""Finding runs by what they were made with and what came of them."""

from __future__ import annotations

from collections.abc import Collection

from keepfit.core.errors import UsageError, did_you_mean
from keepfit.home import Home
from keepfit.ledger import Point, Query, Where
from keepfit.runs.condition import parse
from keepfit.runs.run import METRIC, PARAMETER, Run, run_of, series

_WRITTEN = {"metrics.": METRIC, "params.": PARAMETER, "parameters.": PARAMETER}
"""Other ways to write what names begin with."""
_RECENT = 200
"""Newest runs whose names are offered when a name is not known."""


def search(
    home: Home,
    subject: str,
    *,
    module: str | None = None,
    where: str | None = None,
    sort: str | None = None,
    lower_is_better: Collection[str] = (),
    limit: int = 20,
) -> list[Run]:
    """The runs of a subject that meet `where`, newest first, or best first by the metric or parameter `sort`.

    `sort` may end in `asc` or `desc`; without it the greatest is first, or the least for a metric
    that is one of `lower_is_better`. All of it is done inside the ledger. UsageError for a
    condition that makes no sense or a name that no run has.
    """
    base = Query(kind="run", subject=subject, where=(Where("module", "=", module),) if module else ())

    def resolve(name: str) -> str:
        return _attribute(home, base, name)

    conditions = parse(where, resolve) if where else ()
    order, descending = _order(sort, lower_is_better) if sort else (None, True)
    query = Query(
        kind="run",
        subject=subject,
        where=base.where + conditions,
        order=resolve(order) if order else None,
        descending=descending,
        limit=limit,
    )
    return [run_of(found) for found in home.ledger.find(query)]


def curve(home: Home, run: Run, metric: str) -> list[Point]:
    """The values of a metric as the run logged them."""
    return home.ledger.points(series(run.id, metric))


def _order(sort: str, lower_is_better: Collection[str]) -> tuple[str, bool]:
    name, _, way = sort.strip().rpartition(" ")
    if name and way.lower() in ("asc", "desc"):
        return name.strip().strip('`"'), way.lower() == "desc"
    name = sort.strip().strip('`"')
    return name, name.removeprefix("metrics.").removeprefix(METRIC) not in lower_is_better


def _attribute(home: Home, base: Query, name: str) -> str:
    """The attribute that a name means: itself, else a metric, else a parameter, whichever some run has."""
    if name == "who":
        name = "actor"
    for written, meant in _WRITTEN.items():
        if name.startswith(written):
            name = meant + name[len(written) :]
            break
    candidates = [name, METRIC + name, PARAMETER + name]
    for candidate in candidates:
        one = Query(kind="run", subject=base.subject, where=base.where, order=candidate, limit=1)
        if any(candidate in found.attributes for found in home.ledger.find(one)):
            return candidate
    recent = home.ledger.find(Query(kind="run", subject=base.subject, where=base.where, limit=_RECENT))
    known = {n.removeprefix(METRIC).removeprefix(PARAMETER) for found in recent for n in found.attributes}
    raise UsageError(f"no run has `{name}`", hint=did_you_mean(name, known) or "keepfit runs --json")
