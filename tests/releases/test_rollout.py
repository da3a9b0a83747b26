"""A rollout goes on step by step, whoever is killed, and ends at the first thing that speaks against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from releases_kit import NOW, STAGES, place, planned, released

from keepfit.core.clocks import ReplayClock
from keepfit.core.errors import NotFound, Refused
from keepfit.home import Home
from keepfit.ledger import Fact, Move, Query
from keepfit.releases.apply import apply, obstacles
from keepfit.releases.evidence import Evidence, Reference
from keepfit.releases.plan import differences, find_plan, record_plan
from keepfit.releases.release import Release, champion, earlier, rejected
from keepfit.releases.rollback import rollback
from keepfit.releases.rollout import Rollout, advance, end, find_rollout, next_step, on_probation, promote
from keepfit.releases.timeline import live_at, timeline

HOUR = timedelta(hours=1)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    kept = place(tmp_path)
    released(kept, 1)
    return kept


def later(home: Home, by: timedelta) -> None:
    assert isinstance(home.clock, ReplayClock)
    home.clock.advance(home.clock.now() + by)


def begun(home: Home, version: int = 2) -> Rollout:
    made = apply(home, planned(home, version), set(), reason="better")
    assert isinstance(made, Rollout)
    return made


def live(home: Home) -> Release:
    found = champion(home, "m")
    assert found
    return found


def test_a_good_version_goes_through_all_stages(home: Home) -> None:
    first = begun(home)
    assert (first.stage, first.share, live(home).version) == ("shadow", 0.0, 1)
    assert apply(home, planned(home, 2), set(), reason="again") == first
    later(home, HOUR)
    second = advance(home, first, Evidence(rows=70), note="nothing against it")
    assert (second.stage, second.share, second.before) == ("canary", 0.05, 0)
    later(home, HOUR)
    third = advance(home, second, Evidence(rows=30), note="nothing against it")
    assert (third.share, third.before) == (0.5, 30)
    later(home, HOUR)
    during = home.clock.now()
    later(home, HOUR)
    seen = Evidence(rows=140, reference=Reference(loss=0.2, error=0.01))
    made = promote(home, third, live(home), seen, note="nothing against it")
    last = find_rollout(home, "m")
    assert (made.version, live(home)) == (2, made)
    assert last and last.stage == "promoted" and last.reference == seen.reference
    assert on_probation(last, made, home.clock.now())
    shared = live_at(home, "m", during)
    assert shared and shared.rollout
    assert (shared.release.version, shared.share, shared.rollout.version, shared.rollout.share) == (1, 0.5, 2, 0.5)
    shadowed = live_at(home, "m", NOW)
    assert shadowed and shadowed.rollout and (shadowed.share, shadowed.rollout.share) == (1.0, 0.0)
    now = live_at(home, "m", home.clock.now())
    assert now and (now.release.version, now.share, now.rollout) == (2, 1.0, None)
    told = [(m.what, m.lasted) for m in timeline(home, "m")]
    assert told == [
        ("promoted", None),
        ("in production", None),
        ("canary 50% 100 rows", 2 * HOUR),
        ("canary 5% 1h", HOUR),
        ("shadow 1h", HOUR),
        ("in production", 4 * HOUR),
    ]


def test_a_person_takes_back_what_came_last(home: Home) -> None:
    released(home, 2)
    begun(home, 3)
    ended = rollback(home, "m", reason="customers complain")
    assert isinstance(ended, Rollout) and ended.stage == "ended"
    assert live(home).version == 2
    assert [(m, r.reason) for m, r in rejected(home, "m").items()] == [("model-3", "customers complain")]
    back = rollback(home, "m", reason="no better")
    assert isinstance(back, Release) and back.version == 1
    assert {*rejected(home, "m")} == {"model-2", "model-3"}
    with pytest.raises(NotFound, match="no earlier release"):
        rollback(home, "m", reason="all of it")
    (known,) = [o for o in obstacles(home, planned(home, 3), set())]
    assert "taken back" in known.text and not known.blocks
    begun(home, 3)
    assert {*rejected(home, "m")} == {"model-2"}, "a person has let it in"


def test_nothing_is_moved_twice(home: Home) -> None:
    first = begun(home)
    second = advance(home, first, Evidence(rows=9), note="")
    for again in (lambda: advance(home, first, Evidence(rows=9), note=""), lambda: end(home, first, note="too late")):
        with pytest.raises(Refused, match="someone else"):
            again()
    assert find_rollout(home, "m") == second
    promote(home, second, live(home), Evidence(rows=9), note="")
    with pytest.raises(Refused):
        promote(home, first, live(home), Evidence(), note="")
    assert live(home).version == 2


class _Killed(Exception):
    pass


class _Dying:
    """A ledger whose user is killed before, or after, its n-th append."""

    def __init__(self, ledger: object, at: int, *, after: bool) -> None:
        self._ledger, self._left, self._after = ledger, at, after

    def __getattr__(self, name: str) -> object:
        return getattr(self._ledger, name)

    def append(self, facts: Sequence[Fact], moves: Sequence[Move] = ()) -> list[Fact]:
        self._left -= 1
        if self._left < 0 and not self._after:
            raise _Killed
        made: list[Fact] = self._ledger.append(facts, moves)  # type: ignore[attr-defined]
        if self._left < 0:
            raise _Killed
        return made


def go_on(home: Home) -> None:
    """What the loop does with nothing against the version: from wherever it is to the end."""
    apply(home, planned(home, 2), set(), reason="better") if live(home).version == 1 else None
    while (rollout := find_rollout(home, "m")) and rollout.running:
        step = next_step(rollout, Evidence(rows=1000), live(home).id, home.clock.now() + 2 * HOUR)
        if step.verb == "promote":
            promote(home, rollout, live(home), Evidence(), note=step.reason)
        else:
            assert step.verb == "advance"
            advance(home, rollout, Evidence(rows=0), note=step.reason)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(5))
def test_who_is_killed_goes_on_where_the_facts_end(home: Home, at: int, after: bool) -> None:
    with pytest.raises(_Killed):
        go_on(replace(home, ledger=_Dying(home.ledger, at, after=after)))  # type: ignore[arg-type]
    go_on(home)
    assert live(home).version == 2
    steps = home.ledger.find(Query(kind="rollout", subject="release/m"))
    assert [f.body["stage"] for f in reversed(steps)] == ["shadow", "canary", "canary", "promoted"]
    assert len(home.ledger.find(Query(kind="release", subject="release/m"))) == 2


def test_one_rollout_at_a_time_and_only_what_is_live_is_replaced(home: Home) -> None:
    stale = planned(home, 3)
    begun(home, 2)
    with pytest.raises(Refused, match=r"m@2 is being rolled out: shadow 1h") as caught:
        apply(home, stale, set(), reason="better")
    assert caught.value.hint == "keepfit rollback"
    rollback(home, "m", reason="")
    released(home, 4)
    with pytest.raises(Refused, match="m@4 is in production now"):
        apply(home, stale, set(), reason="better")
    assert next(differences(stale, planned(home, 3))).startswith("what is in production: release-")
    bad = msgspec.structs.replace(planned(home, 5), failed="auc: 0.4, required >= 0.5")
    with pytest.raises(Refused, match="may not ship: auc"):
        apply(home, bad, set(), reason="")


def test_a_plan_is_known_by_all_that_it_rests_on(home: Home) -> None:
    plan = record_plan(home, planned(home, 2))
    assert find_plan(home, plan.id) == plan
    for field in plan.__struct_fields__:
        value = getattr(plan, field)
        other = ["shadow 2h"] if isinstance(value, list) else not value if isinstance(value, bool) else "other"
        changed = msgspec.structs.replace(plan, **{field: other})
        assert changed.id != plan.id
        if field not in ("model_name", "model", "approvals"):
            assert list(differences(plan, changed))
    assert not list(differences(plan, plan))
    with pytest.raises(NotFound, match="there is no plan"):
        find_plan(home, "plan-0")


def test_without_stages_or_a_champion_it_is_released_at_once(home: Home, tmp_path: Path) -> None:
    made = apply(home, planned(home, 2, []), set(), reason="better")
    assert isinstance(made, Release) and live(home) == made
    empty = place(tmp_path / "empty")
    assert isinstance(apply(empty, planned(empty, 1), set(), reason="first"), Release)
    assert earlier(empty, "m") == []


ROLLOUT = Rollout(
    id="rollout-1",
    model_name="m",
    version=2,
    stage="canary",
    share=0.05,
    key=None,
    number=1,
    stages=STAGES,
    begun=NOW,
    time=NOW,
    before=100,
    reason="",
    actor="",
    plan="",
    model="model-2",
    package="",
    champion="release-1",
)
LAST = msgspec.structs.replace(ROLLOUT, number=2)


@pytest.mark.parametrize(
    ("rollout", "seen", "hours", "verb", "told"),
    [
        (ROLLOUT, Evidence(rows=150), 0.5, "wait", "canary 5% 1h ends at 2024-06-01 01:00:00; so far 50 answers"),
        (ROLLOUT, Evidence(rows=150), 1, "advance", "50 answers, 0 labelled"),
        (ROLLOUT, Evidence(rows=100), 100, "wait", "no request has come"),
        (ROLLOUT, Evidence(rows=101), 100, "advance", "1 answers"),
        (LAST, Evidence(rows=199), 100, "wait", "ends after 100 answers"),
        (LAST, Evidence(rows=200), 0, "promote", "nothing against it"),
        (LAST, Evidence(rows=200, stopped="NaN"), 0, "stop", "the endpoint stopped it: NaN"),
        (LAST, Evidence(rows=200, against=20.0), 0, "stop", "surely worse"),
        (LAST, Evidence(rows=200, against=19.9), 0, "promote", ""),
    ],
)
def test_what_becomes_of_it(rollout: Rollout, seen: Evidence, hours: float, verb: str, told: str) -> None:
    step = next_step(rollout, seen, "release-1", NOW + hours * HOUR)
    assert step.verb == verb
    assert told in step.reason


@given(
    number=st.integers(0, 2),
    seen=st.builds(
        Evidence, rows=st.integers(0, 10_000), against=st.floats(0, 100), stopped=st.none() | st.just("slow")
    ),
    hours=st.floats(0, 1000),
    live=st.sampled_from(["release-1", "release-2", None]),
)
def test_it_never_goes_on_with_something_against_it(
    number: int, seen: Evidence, hours: float, live: str | None
) -> None:
    rollout = msgspec.structs.replace(ROLLOUT, number=number, before=0)
    step = next_step(rollout, seen, live, NOW + hours * HOUR)
    if step.verb in ("advance", "promote"):
        assert not seen.stopped and not seen.worse and seen.rows > 0 and live == "release-1"
        assert (step.verb == "promote") == (number == 2)
    if seen.stopped or seen.worse or live != "release-1":
        assert step.verb in ("stop", "give up")
