"""An approval is of one plan by one name under one key; nothing else counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from releases_kit import place, planned, released

from keepfit.core.errors import Refused
from keepfit.home import Home
from keepfit.ledger import fact
from keepfit.packages.sign import own_key, trust
from keepfit.releases.apply import apply
from keepfit.releases.approval import approve, list_approvals, missing
from keepfit.releases.plan import Plan
from keepfit.releases.release import Release
from keepfit.releases.settings import Approvals

ONE = Approvals()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    kept = place(tmp_path / "here")
    released(kept, 1)
    return kept


def lacking(home: Home, plan: Plan, *authors: str) -> int:
    return missing(plan, list_approvals(home, plan, authors))


def test_nothing_is_released_before_and_it_is_after(home: Home) -> None:
    plan = planned(home, 2, [], ONE)
    with pytest.raises(Refused, match="1 of 1 approvals of m@2 is missing") as caught:
        apply(home, plan, set(), reason="")
    assert caught.value.hint == "keepfit approve 2"
    made = approve(replace(home, actor="bo"), plan, set())
    assert (made.actor, made.key, made.void) == ("bo", own_key(home.folder / "key").id, "")
    assert approve(replace(home, actor="bo"), plan, set()) == made
    assert isinstance(apply(home, plan, set(), reason=""), Release)


def test_it_is_of_this_plan_only(home: Home) -> None:
    plan = planned(home, 2, [], ONE)
    approve(home, plan, set())
    assert lacking(home, plan) == 0
    for changed in ({"package": "another"}, {"verdict": "another"}, {"gates": "another"}, {"stages": ["shadow 1h"]}):
        assert lacking(home, msgspec.structs.replace(plan, **changed)) == 1
    with pytest.raises(Refused, match="may not ship"):
        approve(home, msgspec.structs.replace(plan, failed="auc"), set())


def test_two_people_are_two_names(home: Home) -> None:
    plan = planned(home, 2, [], Approvals(count=2))
    for _ in range(2):
        approve(home, plan, set())
    assert lacking(home, plan) == 1
    approve(replace(home, actor="bo"), plan, set())
    assert lacking(home, plan) == 0


def test_who_may(home: Home) -> None:
    with pytest.raises(Refused, match="only bo may"):
        approve(home, planned(home, 2, [], Approvals(by=["bo"])), set())
    other = Approvals(not_author=True)
    with pytest.raises(Refused, match="ana made the model"):
        approve(home, planned(home, 2, [], other), {"Ana"})
    plan = planned(home, 2, [], other)
    approve(replace(home, actor="bo"), plan, {"Ana"})
    assert lacking(home, plan, "Ana") == 0
    assert lacking(home, plan, "bo") == 1, "as it stands now, not as it stood then"


def test_a_name_may_be_bound_to_a_key(home: Home, tmp_path: Path) -> None:
    key = own_key(home.folder / "key").id
    plan = planned(home, 2, [], Approvals(by=[f"ana:{key}"]))
    with pytest.raises(Refused, match="only ana:"):
        approve(replace(home, actor="bo"), plan, set())
    approve(home, plan, set())
    assert lacking(home, plan) == 0
    elsewhere = replace(place(tmp_path / "elsewhere"), ledger=home.ledger)
    with pytest.raises(Refused, match=f"ana signs with the key .*, not as ana:{key}"):
        approve(elsewhere, plan, set())


def test_what_is_written_by_hand_does_not_count(home: Home) -> None:
    plan = planned(home, 2, [], ONE)
    approve(home, plan, set())
    (own,) = list_approvals(home, plan, set())
    kept = home.ledger.get(own.id)
    assert kept
    other = msgspec.structs.replace(plan, package="another")
    for n, (target, actor) in enumerate([(plan, "bo"), (other, "ana")]):
        forged = fact(
            "approval",
            "release/m",
            time=home.clock.now(),
            key=n,
            actor=actor,
            body=kept.body,
            refs=kept.refs | {"plan": target.id},
            attributes={"version": 2, "plan": target.id},
        )
        home.ledger.append([forged])
    assert lacking(home, other) == 1
    assert [(a.actor, a.void) for a in list_approvals(home, plan, set())] == [
        ("ana", ""),
        ("bo", "it was signed for something else"),
    ]


def test_another_machine_is_believed_when_its_key_is_trusted(home: Home, tmp_path: Path) -> None:
    plan = planned(home, 2, [], ONE)
    elsewhere = replace(place(tmp_path / "elsewhere", "bo"), ledger=home.ledger)
    approve(elsewhere, plan, set())
    (untrusted,) = list_approvals(home, plan, set())
    assert "which is not trusted here" in untrusted.void
    trust(own_key(elsewhere.folder / "key"), home.folder / "key")
    assert lacking(home, plan) == 0
