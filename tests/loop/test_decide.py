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
from keepfit.releases.evidence import Evidence
from keepfit.releases.plan import Plan
from keepfit.releases.release import Rejection, Release
from keepfit.releases.rollout import Rollout, Where
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
    refs = {"champion": "p"}
    return {s: Fact(id=f"{s}-new", kind=s, subject="", time=NOW, body=bodies[s], refs=refs) for s in steps}


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


def test_what_was_held_against_another_champion_is_checked_again() -> None:
    state = State(now=NOW, live=release(), trigger=trigger(), done=done("model", "package", "verdict"))
    other = msgspec.structs.replace(release(), package="another")
    assert only(msgspec.structs.replace(state, live=other)).verb == "check"
    assert only(msgspec.structs.replace(state, live=None)).verb == "check"


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


def test_what_was_taken_back_ends_before_it_is_packaged_again() -> None:
    back = Rejection(time=NOW, actor="ana", reason="late")
    action = only(State(now=NOW, live=release(), trigger=trigger(), done=done("model"), rejected={"model-new": back}))
    assert (action.ending, action.reason) == (
        "barred",
        "version 2 was taken back at 2024-06-01 00:00:00 by ana (late); keepfit release 2",
    )


PASSED = done("model", "package", "verdict")
PLAN = msgspec.convert(
    {
        "model_name": "m",
        "version": 2,
        "model": "model-new",
        "package": "p2",
        "verdict": "v",
        "gates": "",
        "failed": "",
        "champion": "release-1",
        "stages": ["shadow 1h"],
        "key": None,
        "approvals": {},
    },
    Plan,
)


def test_what_waits_for_an_approval_is_released_once_it_is_there() -> None:
    missing = "1 of 1 approvals of m@2 is missing; keepfit approve 2"
    state = State(now=NOW, live=release(), trigger=trigger(), done=PASSED, plan=PLAN, obstacle=missing)
    action = only(state)
    assert (action.ending, action.reason) == ("waiting", missing)
    ended = msgspec.structs.replace(state, trigger=None, last=trigger("waiting"), retrain=RetrainSettings())
    assert decide(ended) == []
    assert only(msgspec.structs.replace(ended, obstacle="")).verb == "release"


def rollout(time: datetime = NOW - DAY, model: str = "model-new", stage: Where = "shadow") -> Rollout:
    return Rollout(
        id="rollout-1",
        model_name="m",
        version=2,
        stage=stage,
        share=0.0,
        key=None,
        number=0,
        stages=["shadow 1h", "canary 5% 1h"],
        begun=time,
        time=time,
        reason="",
        actor="",
        plan="",
        model=model,
        package="",
        champion="release-1",
    )


def test_a_rollout_that_has_begun_ends_its_trigger_and_life_goes_on_beside_it() -> None:
    state = State(now=NOW, live=release(), trigger=trigger(), done=PASSED, plan=PLAN, rollout=rollout(NOW))
    action = only(state)
    assert (action.ending, action.reason) == ("rolling out", "version 2: shadow 1h, canary 5% 1h")
    beside = State(now=NOW, live=release(), last=trigger("rolling out"), rollout=rollout(NOW), due=[NOW - 2 * DAY])
    assert only(beside).verb == "watch"
    wish = RetrainSettings(when=["every 1d"])
    signs = Signs(live=NOW - 90 * DAY)
    calm = msgspec.structs.replace(beside, due=[], last=None, retrain=wish, signs=signs)
    assert decide(calm) == [], "nothing is trained while one is rolled out"
    assert only(msgspec.structs.replace(calm, rollout=None)).verb == "trigger"


def test_a_rollout_comes_before_everything_else() -> None:
    state = State(now=NOW, live=release(), trigger=trigger(), done=done(), rollout=rollout(), due=[NOW - 2 * DAY])
    assert only(state).verb == "train", "no request has come: it waits"
    for seen, verb in (
        (Evidence(rows=10), "advance"),
        (Evidence(rows=10, stopped="NaN"), "stop"),
        (Evidence(rows=10, against=100.0), "stop"),
    ):
        assert only(msgspec.structs.replace(state, seen=seen)).verb == verb
    last = msgspec.structs.replace(state, rollout=msgspec.structs.replace(rollout(), number=1), seen=Evidence(rows=1))
    assert only(last).verb == "promote"
    other = msgspec.structs.replace(last, live=release(model="another"))
    assert only(other).verb == "promote"
    moved = msgspec.structs.replace(release(), id="release-2")
    assert only(msgspec.structs.replace(last, live=moved)).verb == "give up"


def test_a_champion_that_was_stopped_or_is_surely_worse_gives_way() -> None:
    state = State(
        now=NOW, live=release(), rollout=rollout(stage="promoted"), seen=Evidence(stopped="NaN"), signs=Signs(live=NOW)
    )
    assert decide(state) == [], "there is nobody to give way to"
    before = msgspec.structs.replace(state, earlier=release(model="older"))
    assert (only(before).verb, only(before).reason) == ("take back", "the endpoint stopped it: NaN")
    worse = msgspec.structs.replace(before, seen=Evidence(labelled=9, against=50.0))
    assert only(worse).reason.startswith("it is surely worse: 9 labelled")
    assert decide(msgspec.structs.replace(before, seen=Evidence(against=19.0))) == []


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
