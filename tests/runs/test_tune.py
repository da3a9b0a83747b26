"""A search is what its runs say: the same when it is interrupted, never the same parameters twice, best found."""

from __future__ import annotations

import random
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from fake_engine import home_with, plan
from hypothesis import given
from hypothesis import strategies as st

from keepfit.core.errors import UsageError, UserCodeError
from keepfit.ledger import Query
from keepfit.models.optuna import importance
from keepfit.models.space import dimension
from keepfit.models.study import Study
from keepfit.models.study_page import study_page
from keepfit.models.tune import tune
from keepfit.runs.log import Log
from keepfit.runs.training import Range, TuneSettings

OVER: dict[str, Any] = {"rate": Range(low=0.001, high=1.0, log=True), "depth": [1, 40], "kind": ["a", "b"]}


def fit(parameters: dict[str, Any], log: Log) -> None:
    score = 1 - abs(parameters["rate"] - 0.1) - 0.01 * abs(parameters["depth"] - 5) - (parameters["kind"] == "a") * 0.1
    log.final({"validation_auc": score})


def search(folder: Path, trials: int, *, fitting: Any = fit, jobs: int = 1, **settings: Any) -> tuple[Study, Any]:
    folder.mkdir(exist_ok=True)
    home, engine = home_with(folder, fitting)
    wanted = TuneSettings(trials=trials, **{"over": OVER, **settings})
    return tune(home, plan(home), wanted, "binary", jobs=jobs), engine


def tried(study: Study) -> list[dict[str, Any]]:
    return [trial.parameters for trial in study.trials]


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_an_interrupted_search_goes_on_as_it_would_have_gone(tmp_path: Path, sampler: Any) -> None:
    whole, _ = search(tmp_path / "whole", 14, sampler=sampler)
    search(tmp_path / "parts", 3, sampler=sampler)
    search(tmp_path / "parts", 11, sampler=sampler)
    parts, engine = search(tmp_path / "parts", 14, sampler=sampler)
    assert tried(parts) == tried(whole)
    assert [t.value for t in parts.trials] == [t.value for t in whole.trials]
    assert len(engine.ran) == 3
    again, engine = search(tmp_path / "parts", 14, sampler=sampler)
    assert (tried(again), engine.ran) == (tried(whole), [])


def test_the_best_is_found_and_importance_told(tmp_path: Path) -> None:
    study, _ = search(tmp_path, 30)
    assert study.best
    assert study.best.value == max(t.value for t in study.trials if t.value is not None)
    assert study.best.parameters["kind"] == "b"
    assert study.best_so_far == sorted(study.best_so_far)
    shares = importance(study, 7)
    assert set(shares) == set(OVER)
    assert sum(shares.values()) == pytest.approx(1)
    page = study_page("<m>", study, shares)
    assert page.count("<svg") == 3
    assert "<m>" not in page


def test_nothing_is_tried_twice_and_a_small_space_is_exhausted(tmp_path: Path) -> None:
    for sampler in ("random", "grid", "tpe"):
        study, engine = search(
            tmp_path / sampler,
            50,
            sampler=sampler,
            over={"depth": [1, 3], "kind": ["a", "b"], "rate": [0.5, 0.25, 0.1]},
        )
        assert len(study.trials) == len(engine.ran) == 18
        assert len({str(p) for p in tried(study)}) == 18


def test_trials_in_parallel_are_as_many_and_all_different(tmp_path: Path) -> None:
    together = threading.Barrier(2)

    def slow(parameters: dict[str, Any], log: Log) -> None:
        together.wait(20)
        fit(parameters, log)

    study, engine = search(tmp_path, 12, fitting=slow, jobs=2)
    assert len(study.trials) == len(engine.ran) == 12
    assert len({str(p) for p in tried(study)}) == 12


def test_failed_trials_count_but_all_failing_is_an_error(tmp_path: Path) -> None:
    chance = random.Random(1)

    def sometimes(parameters: dict[str, Any], log: Log) -> None:
        if len(failed) < 2 and chance.random() < 0.5:
            failed.append(parameters)
            raise ValueError("no luck")
        fit(parameters, log)

    failed: list[dict[str, Any]] = []
    study, _ = search(tmp_path / "some", 8, fitting=sometimes)
    assert [t.state for t in study.trials].count("failed") == len(failed) == 2
    again, engine = search(tmp_path / "some", 8)
    assert (tried(again), engine.ran) == (tried(study), [])

    def always(parameters: dict[str, Any], log: Log) -> None:
        raise ValueError("never")

    with pytest.raises(UserCodeError, match="never"):
        search(tmp_path / "all", 8, fitting=always)


def test_trials_that_do_badly_are_pruned_and_it_does_not_matter_when_they_are_heard(tmp_path: Path) -> None:
    def learning(parameters: dict[str, Any], log: Log) -> None:
        for step in range(20):
            log("auc", (1 - abs(parameters["rate"] - 0.1)) * step / 20, step)
        fit(parameters, log)

    whole, _ = search(tmp_path / "whole", 16, fitting=learning, prune="median")
    states = [t.state for t in whole.trials]
    assert "pruned" in states
    assert "done" in states
    assert all(t.value is None and t.curve for t in whole.trials if t.state == "pruned")
    search(tmp_path / "parts", 9, fitting=learning, prune="median")
    parts, _ = search(tmp_path / "parts", 16, fitting=learning, prune="median")
    assert [(t.parameters, t.state, t.curve) for t in parts.trials] == [
        (t.parameters, t.state, t.curve) for t in whole.trials
    ]
    search(tmp_path / "bands", 6, fitting=learning, prune="hyperband")


def test_the_users_own_metric_and_direction(tmp_path: Path) -> None:
    def own(parameters: dict[str, Any], log: Log) -> None:
        log("loss", parameters["rate"])

    study, _ = search(tmp_path, 10, fitting=own, metric="loss", better="lower")
    assert study.best
    assert study.best.value == min(t.value for t in study.trials if t.value is not None)
    with pytest.raises(UsageError, match="binary model has no `rmse`"):
        search(tmp_path, 10, metric="rmse")


def test_a_broken_store_ends_the_search_and_records_no_failure(tmp_path: Path) -> None:
    home, _ = home_with(tmp_path, fit)

    class Broken(Exception):
        pass

    def breaks(parameters: dict[str, Any], log: Log) -> None:
        raise KeyboardInterrupt

    home.engine.fit = breaks  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        tune(home, plan(home), TuneSettings(trials=5, over=OVER), "binary", jobs=2)
    assert home.ledger.find(Query(kind="run")) == []


def test_without_optuna_the_hint_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match="optuna") as caught:
        search(tmp_path, 3)
    assert caught.value.hint == "pip install 'keepfit[tune]'"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([0.3, 0.03], "is empty"),
        ([3, 3], "is empty"),
        ([], "nothing to try"),
        (["a", "a"], "twice"),
        (Range(low=0, high=1, log=True), "by logarithm"),
        (Range(low=1), "no `to`"),
        (Range(high=1), "no `from`"),
        (Range(low=0, high=1, step=2), "steps of 2"),
        (Range(low=0, high=1, step=0), "steps of 0"),
        (Range(low=1, high=9, step=2, log=True), "steps of 2"),
        (Range(among=[]), "nothing to try"),
    ],
)
def test_ranges_that_hold_nothing_are_told(values: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        dimension("rate", values)


@given(
    low=st.integers(-1000, 1000), span=st.integers(1, 1000), real=st.booleans(), step=st.one_of(st.none(), st.just(1))
)
def test_levels_lie_in_their_dimension(low: int, span: int, real: bool, step: int | None) -> None:
    ends = (float(low), float(low + span)) if real else (low, low + span)
    found = dimension("x", Range(low=ends[0], high=ends[1], step=step))
    levels = found.levels()
    assert all(found.holds(level) for level in levels)
    assert len(set(levels)) == len(levels) >= 2
    assert {levels[0], levels[-1]} == set(ends)
