"""Who is told what: the budget holds, nobody is told twice, and nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from keepfit.alerting.alert import Acknowledged, Alert
from keepfit.alerting.due import AGAIN, SEVERE, Due, Standing, due
from keepfit.alerting.message import Message
from keepfit.alerting.settings import AlertSettings
from keepfit.alerting.silence import Silence
from keepfit.core.errors import UsageError

START = datetime(2024, 3, 25, 3, tzinfo=UTC)
"""Some days before clocks change in Berlin."""
HOUR = timedelta(hours=1)
POLICY = AlertSettings(
    to=["$TEAM"],
    digest="08:00 Europe/Berlin",
    pages="3 per week",
    escalate="4h",
    escalate_to=["$BOSS"],
    silence=["drift/hour"],
)
FAULTS = ["performance/auc", "freshness/a", "freshness/b", "drift/wind", "drift/hour", "service/endpoint", "production"]
PAGES = {"performance", "freshness", "service", "production"}


def alert(fault: str, since: datetime, number: int = 0) -> Alert:
    kind = fault.partition("/")[0]
    return Alert(
        id=f"alert-{number}",
        opened=f"alert-{number}",
        state="open",
        fingerprint=fault,
        kind=kind,
        severity="page" if kind in PAGES else "digest",
        text=f"{fault} is bad",
        since=since,
        time=since,
    )


@dataclass
class World:
    """Alerts, and what the policy makes of them; every message that is due is taken for told."""

    policy: AlertSettings = POLICY
    now: datetime = START
    open: dict[str, Alert] = field(default_factory=dict)
    ended: list[Alert] = field(default_factory=list)
    windows: list[set[str]] = field(default_factory=list)
    silences: list[Silence] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    opened: list[Alert] = field(default_factory=list)

    def standing(self) -> Standing:
        return Standing(
            now=self.now,
            open=list(self.open.values()),
            ended=self.ended,
            windows=self.windows,
            messages=self.messages,
            silences=[s for s in self.silences if s.until > self.now],
        )

    def look(self) -> list[Due]:
        found = due(self.policy, self.standing())
        for one in found:
            message = Message(
                id=f"message-{len(self.messages)}",
                form=one.form,
                time=self.now,
                about=[a.id for a in one.about],
                held=[a.id for a in one.held],
                severe=any(a.kind in SEVERE for a in one.about),
            )
            self.messages.insert(0, message)
        return found

    def forms(self) -> list[str]:
        return [d.form for d in self.look()]

    def begin(self, fault: str) -> None:
        if fault not in self.open:
            self.open[fault] = alert(fault, self.now, len(self.opened))
            self.opened.append(self.open[fault])

    def end(self, fault: str) -> None:
        if a := self.open.pop(fault, None):
            self.ended.insert(0, replace(a, id=f"{a.id}-over", state="resolved", time=self.now))

    def acknowledge(self, fault: str) -> None:
        if a := self.open.get(fault):
            self.open[fault] = replace(a, acknowledged=Acknowledged(by="ana", time=self.now))

    def silence(self, what: str, length: timedelta) -> None:
        self.silences.append(Silence(what=what, until=self.now + length, by="ana"))

    def pass_(self, length: timedelta) -> None:
        self.now += length


STEPS = st.one_of(
    st.tuples(st.just("begin"), st.sampled_from(FAULTS)),
    st.tuples(st.just("end"), st.sampled_from(FAULTS)),
    st.tuples(st.just("acknowledge"), st.sampled_from(FAULTS)),
    st.tuples(st.just("silence"), st.sampled_from([*FAULTS, "freshness"]), st.integers(1, 60).map(lambda h: h * HOUR)),
    st.tuples(st.just("pass_"), st.integers(1, 40).map(lambda h: h * HOUR / 2)),
    st.tuples(st.just("window"), st.sets(st.sampled_from(FAULTS))),
)


@settings(max_examples=300)
@given(st.lists(STEPS, max_size=60), st.integers(0, 4))
def test_the_laws(steps: list[tuple[str, Any]], allowed: int) -> None:
    world = World(policy=replace(POLICY, pages=f"{allowed} per week"))
    for verb, *arguments in steps:
        if verb == "window":
            world.windows.insert(0, *arguments)
        else:
            getattr(world, verb)(*arguments)
        world.look()
        assert world.look() == [], "what has been told is not told again"
        _severe_faults_have_paged(world)
    _pages_keep_the_budget(world.messages, allowed)
    _nothing_is_told_twice(world)
    for _ in range(4):  # long enough for every silence to end, and a digest after it
        world.pass_(timedelta(days=1))
        world.look()
    _nothing_is_lost(world)
    _pages_keep_the_budget(world.messages, allowed)


def _pages_keep_the_budget(messages: Sequence[Message], allowed: int) -> None:
    pages = [m for m in reversed(messages) if m.form == "page"]
    for i, page in enumerate(pages):
        before = [p for p in pages[:i] if p.time > page.time - timedelta(days=7)]
        assert page.severe or len(before) < allowed


def _severe_faults_have_paged(world: World) -> None:
    told = {id for m in world.messages if m.form == "page" for id in m.about}
    recent = {
        a.fingerprint
        for a in world.ended
        for m in world.messages
        if m.form == "page" and a.opened in m.about and world.now - m.time < AGAIN
    }
    for a in world.open.values():
        quiet = a.acknowledged or any(s.until > world.now and s.what == a.fingerprint for s in world.silences)
        assert a.kind not in SEVERE or quiet or a.id in told or a.fingerprint in recent


def _nothing_is_told_twice(world: World) -> None:
    for form in ("page", "resolved", "escalation"):
        about = [id for m in world.messages if m.form == form for id in m.about]
        assert len(about) == len(set(about)), form
    paged = {id for m in world.messages if m.form == "page" for id in m.about}
    held = {id for m in world.messages for id in m.held}
    assert not paged & held, "what the digest tells as beyond the budget does not page later"
    resolved = {id.removesuffix("-over") for m in world.messages if m.form == "resolved" for id in m.about}
    assert resolved <= paged, "only whom a page woke hears that it is over"


def _nothing_is_lost(world: World) -> None:
    told = {id for m in world.messages for id in m.about}
    for a in world.opened:
        if a.fingerprint != "drift/hour":
            assert {a.id, f"{a.id}-over"} & told, a.fingerprint
    for a in world.ended:
        if a.fingerprint != "drift/hour":
            assert a.id in told, "nor that it is over"


def test_a_noisy_fault_pages_when_enough_windows_show_it() -> None:
    world = World(windows=[{"performance/auc"}, set(), set()])
    world.begin("performance/auc")
    assert world.forms() == []
    world.windows.insert(0, set())
    assert world.forms() == []
    world.windows.insert(0, {"performance/auc"})
    assert world.forms() == ["page"], "2 of the last 3"
    world.pass_(HOUR)
    world.end("performance/auc")
    assert world.forms() == ["resolved"]


def test_beyond_the_budget_the_digest_tells_and_says_so() -> None:
    world = World(policy=replace(POLICY, pages="1 per week"))
    world.begin("freshness/a")
    assert world.forms() == ["page"]
    world.begin("freshness/b")
    world.begin("service/endpoint")
    (page,) = world.look()
    assert [a.fingerprint for a in page.about] == ["service/endpoint"]
    world.pass_(6 * HOUR)
    digest = next(d for d in world.look() if d.form == "digest")
    assert [a.fingerprint for a in digest.held] == ["freshness/b"]
    world.pass_(timedelta(days=8))
    assert "page" not in world.forms()


def test_it_escalates_when_nobody_acknowledges() -> None:
    world = World()
    world.begin("freshness/a")
    world.begin("freshness/b")
    assert world.forms() == ["page"], "one message for both"
    world.acknowledge("freshness/a")
    world.pass_(3.9 * HOUR)
    assert "escalation" not in world.forms()
    world.pass_(0.2 * HOUR)
    (late,) = [d for d in world.look() if d.form == "escalation"]
    assert [a.fingerprint for a in late.about] == ["freshness/b"]
    world.end("freshness/b")
    assert [d.escalated for d in world.look() if d.form == "resolved"] == [True]


def test_an_acknowledged_fault_pages_nobody_and_a_silenced_one_later() -> None:
    world = World()
    world.begin("freshness/a")
    world.begin("freshness/b")
    world.acknowledge("freshness/a")
    world.silence("freshness/b", HOUR)
    assert world.forms() == []
    world.pass_(HOUR)
    (page,) = world.look()
    assert [a.fingerprint for a in page.about] == ["freshness/b"]


def test_a_digest_tells_what_is_new_once_and_what_nobody_acknowledges_every_day() -> None:
    world = World(now=datetime(2024, 3, 25, 7, tzinfo=UTC))  # 08:00 in Berlin
    day = timedelta(days=1)
    world.begin("drift/wind")
    assert world.look() == [], "it was not there yet when the digest was due"
    world.pass_(day)
    assert world.forms() == ["digest"]
    assert world.look() == []
    world.pass_(day)
    assert world.look() == []
    world.end("drift/wind")
    world.begin("freshness/a")
    assert world.forms() == ["page"]
    told = []
    for _ in range(2):
        world.pass_(day)
        told += [{a.fingerprint for a in d.about} for d in world.look() if d.form == "digest"]
        assert world.look() == []
    assert told == [{"freshness/a", "drift/wind"}, {"freshness/a"}]


def test_what_comes_and_goes_pages_once_an_hour() -> None:
    world = World()
    pages = 0
    for _ in range(12):
        world.begin("service/endpoint")
        pages += "page" in world.forms()
        world.pass_(HOUR / 12)
        world.end("service/endpoint")
        world.pass_(HOUR / 12)
    assert pages == 2


@pytest.mark.parametrize(
    ("now", "slot"),
    [
        ("2024-03-30T06:59+00:00", "2024-03-29T07:00+00:00"),
        ("2024-03-30T07:00+00:00", "2024-03-30T07:00+00:00"),
        ("2024-03-31T05:59+00:00", "2024-03-30T07:00+00:00"),
        ("2024-03-31T06:00+00:00", "2024-03-31T06:00+00:00"),  # the clocks have changed
    ],
)
def test_the_digest_is_due_by_the_clock_on_the_wall(now: str, slot: str) -> None:
    assert POLICY.slot(datetime.fromisoformat(now)) == datetime.fromisoformat(slot)


@pytest.mark.parametrize("text", ["8:00 Europe/Berlin", "24:00", "08:00 Europe/Berln", "08:00 ../etc/passwd", ""])
def test_a_digest_time_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a time"):
        AlertSettings(digest=text).slot(START)
