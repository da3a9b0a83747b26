"""`decide` and the policy behind it: pure, so every situation can be put on the table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepfit.checks.gate import Gate
from keepfit.ledger import Fact
from keepfit.loop import Action, State, decide
from keepfit.releases.release import Release
from keepfit.retraining.policy import Signs, reason_to_train
from keepfit.retraining.settings import RetrainSettings
from keepfit.retraining.trigger import Trigger

NOW = datetime(2024, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def release(model: str = "model-old", time: datetime = NOW - 40 * DAY) -> Release:
    return Release(
        id="release-1",
        model_name="m",
        version=1,
        time=time,
        reason="",
        model=model,
        package="p",
        previous=None,
        actor="",
    )


def trigger(ending: str | None = None, time: datetime = NOW) -> Trigger:
    return msgspec.convert(
        {"id": "trigger-1", "number": 1, "time": time, "reason": "because", "ending": ending}, Trigger
    )


def done(*steps: str, passed: bool = True) -> dict[str, Fact]:
    gate = Gate(stage="model", name="auc", passed=passed, required=">= 0.7", found="0.65")
    bodies = {"model": {"version": 2}, "package": {"version": 2}, "verdict": {"gates": [msgspec.to_builtins(gate)]}}
    return {s: Fact(id=f"{s}-new", kind=s, subject="", time=NOW, body=bodies[s]) for s in steps}


def only(state: State) -> Action:
    actions = decide(state)
    assert len(actions) == 1
    return actions[0]


@pytest.mark.parametrize(("steps", "verb"), [((), "train"), (("model",), "package"), (("model", "package"), "check")])
def test_a_trigger_is_worked_on_step_by_step(steps: tuple[str, ...], verb: str) -> None:
    assert only(State(now=NOW, live=release(), trigger=trigger(), done=done(*steps))).verb == verb


def test_what_passed_is_released() -> None:
    state = State(now=NOW, live=release(), trigger=trigger(), done=done("model", "package", "verdict"))
    assert only(state).verb == "release"
    assert only(msgspec.structs.replace(state, automatic=False)).ending == "waiting"


def test_what_failed_is_refused_with_the_reason_and_the_champion_stays() -> None:
    state = State(now=NOW, live=release(), trigger=trigger(), done=done("model", "package", "verdict", passed=False))
    action = only(state)
    assert (action.verb, action.ending) == ("end", "refused")
    assert action.reason == "version 2 refused, kept version 1: auc: 0.65, required >= 0.7"


def test_a_release_that_happened_ends_the_trigger() -> None:
    live = release("model-new", NOW)
    assert (
        only(State(now=NOW, live=live, trigger=trigger(), done=done("model", "package", "verdict"))).ending
        == "released"
    )
    older = release("model-new", NOW - DAY)
    assert only(State(now=NOW, live=older, trigger=trigger(), done=done("model"))).ending == "unchanged"


def test_windows_are_watched_before_a_reason_is_sought() -> None:
    state = State(now=NOW, live=release(), due=[NOW - 2 * DAY, NOW - DAY], signs=Signs(live=NOW - 40 * DAY))
    assert [(a.verb, a.window) for a in decide(state)] == [("watch", NOW - 2 * DAY), ("watch", NOW - DAY)]


def test_nothing_in_production_is_a_reason_at_once_but_not_again_and_again() -> None:
    assert only(State(now=NOW)).reason == "nothing is in production"
    failed = trigger("failed", NOW - timedelta(minutes=1))
    assert decide(State(now=NOW, last=failed)) == []
    later = State(now=NOW + timedelta(hours=1), last=failed)
    assert decide(later)
    assert decide(msgspec.structs.replace(later, signs=Signs(live=None, stuck=True))) == []


WISHES = RetrainSettings(when=["performance", "drift", "every 30d"], at_most="1 per 7d")


@pytest.mark.parametrize(
    ("signs", "last", "reason"),
    [
        (Signs(live=NOW - 29 * DAY), None, None),
        (Signs(live=NOW - 30 * DAY), None, "schedule: every 30d"),
        (Signs(live=NOW - 90 * DAY), trigger("refused", NOW - 8 * DAY), None),
        (Signs(live=NOW, performance="worse"), None, "performance: worse"),
        (Signs(live=NOW, performance="worse"), trigger("refused", NOW - 6 * DAY), None),
        (Signs(live=NOW, performance="worse"), trigger("refused", NOW - 7 * DAY), "performance: worse"),
        (Signs(live=NOW, data="new"), None, None),
    ],
)
def test_the_policy(signs: Signs, last: Trigger | None, reason: str | None) -> None:
    assert reason_to_train(WISHES, signs, last, NOW) == reason


@given(
    performance=st.none() | st.just("worse"),
    drifted=st.none() | st.just("moved"),
    since=st.integers(0, 100),
    live=st.integers(0, 100),
)
def test_no_reason_is_good_enough_within_the_pause(
    performance: str | None, drifted: str | None, since: int, live: int
) -> None:
    signs = Signs(live=NOW - live * DAY, performance=performance, drift=drifted)
    last = trigger("refused", NOW - since * DAY)
    if since < 7:
        assert reason_to_train(WISHES, signs, last, NOW) is None
