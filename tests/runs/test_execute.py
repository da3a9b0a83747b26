"""A run is recorded with all it was made of and said; one that fails is recorded too, and never taken for a result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_engine import home_with, plan

from keepfit.core.errors import UserCodeError
from keepfit.ledger import Query
from keepfit.runs.execute import execute
from keepfit.runs.log import Log
from keepfit.runs.run import find_run
from keepfit.runs.search import curve


def logs(parameters: dict[str, Any], log: Log) -> None:
    for step in range(3):
        log("loss", 1 / (step + 1), step)
    log.parameters({"rate": 0.1, "epochs": 9})
    log.final({"auc": 0.75, "broken": float("nan")})


def test_a_run_carries_what_it_is_found_by(tmp_path: Path) -> None:
    home, engine = home_with(tmp_path, logs)
    made = execute(home, plan(home, rate=0.5, deep=True))
    assert made.metrics == {"loss": 1 / 3, "auc": 0.75}
    assert made.parameters == {"rate": 0.5, "epochs": 9, "deep": True}
    assert [(p.step, p.value) for p in curve(home, made, "loss")] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    told = home.ledger.find(Query(kind="run"))[0].attributes
    assert (told["param.rate"], told["param.deep"], told["metric.auc"], told["state"]) == (0.5, "true", 0.75, "done")
    again = execute(home, plan(home, rate=0.5, deep=True))
    assert again.known
    assert (again.metrics, again.curves) == (made.metrics, made.curves)
    assert len(engine.ran) == 1


def test_a_failed_run_is_a_fact_and_is_run_again(tmp_path: Path) -> None:
    fails = [True]

    def fit(parameters: dict[str, Any], log: Log) -> None:
        log("loss", 2)
        if fails[0]:
            raise ValueError("no luck")

    home, engine = home_with(tmp_path, fit)
    with pytest.raises(UserCodeError, match="no luck"):
        execute(home, plan(home))
    (fact,) = home.ledger.find(Query(kind="run"))
    failed = find_run(home, fact.id)
    assert (failed.state, failed.outputs, failed.metrics) == ("failed", {}, {"loss": 2.0})
    assert failed.error["code"] == "user-code"
    assert "no luck" in (failed.error["printed"] or "")
    fails[0] = False
    done = execute(home, plan(home))
    assert (done.state, done.known, len(engine.ran)) == ("done", False, 2)
    assert {f.attributes["state"] for f in home.ledger.find(Query(kind="run"))} == {"failed", "done"}


def test_a_run_that_need_not_go_on_is_pruned(tmp_path: Path) -> None:
    home, _ = home_with(tmp_path, logs)
    made = execute(home, plan(home), heard=lambda said: said.step == 1)
    assert (made.state, made.outputs) == ("pruned", {})
    assert [p.step for p in curve(home, made, "loss")] == [0, 1]
    assert execute(home, plan(home)).state == "done", "a pruned run is no result"


def test_families_are_plans_that_differ_in_values_only(tmp_path: Path) -> None:
    home, _ = home_with(tmp_path, logs)
    one, two, three = plan(home, rate=0.1), plan(home, rate=0.2), plan(home, depth=0.1)
    assert one.family == two.family != three.family
    assert one.key != two.key
