"""Rolled back is rolled back: neither the loop nor another rollback brings a rejected model back; a person can."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepfit.core.errors import NotFound
from keepfit.engines import Here
from keepfit.home import Home
from keepfit.ledger import open_ledger
from keepfit.objects import open_objects
from keepfit.releases.release import Release, champion, record_release, rejected
from keepfit.releases.rollback import rollback


@pytest.fixture
def home(tmp_path: Path) -> Home:
    ledger = open_ledger("sqlite:.keepfit/ledger.db", tmp_path)
    objects = open_objects("folder:.keepfit/objects", tmp_path)
    return Home(root=tmp_path, ledger=ledger, objects=objects, engine=Here(), actor="ana")


def release(home: Home, version: int) -> Release:
    refs = {"package": f"package-{version}", "model": f"model-{version}"}
    return record_release(home, "m", refs, version, "better", champion(home, "m"))


def versions(home: Home) -> int | None:
    live = champion(home, "m")
    return live.version if live else None


def test_what_was_rejected_is_told_until_a_person_releases_it(home: Home) -> None:
    for version in (1, 2):
        release(home, version)
    assert rejected(home, "m") == {}
    rollback(home, "m", reason="late flights missed")
    (back,) = rejected(home, "m").items()
    assert (back[0], back[1].actor, back[1].reason) == ("model-2", "ana", "late flights missed")
    release(home, 2)
    assert (versions(home), rejected(home, "m")) == (2, {})


def test_rolling_back_again_goes_further_back_and_never_to_what_was_rejected(home: Home) -> None:
    for version in (1, 2, 3):
        release(home, version)
    assert [rollback(home, "m", reason="no").version for _ in range(2)] == [2, 1]
    with pytest.raises(NotFound, match="no earlier release"):
        rollback(home, "m", reason="no")
    release(home, 4)
    assert rollback(home, "m", reason="no").version == 1
    release(home, 3)
    release(home, 5)
    assert rollback(home, "m", reason="no").version == 3


def test_who_stands_in_was_never_taken_back(home: Home) -> None:
    kept = [release(home, version) for version in (1, 2, 3)]
    assert [r.previous for r in kept] == [None, kept[0].id, kept[1].id]
    back = rollback(home, "m", reason="no")
    assert isinstance(back, Release)
    assert (back.version, back.previous) == (2, kept[0].id), "not the version that was just taken back"
    assert release(home, 4).previous == back.id


def test_going_back_to_a_version_can_be_said_again(home: Home) -> None:
    for version in (1, 2, 3):
        release(home, version)
    assert [rollback(home, "m", reason="no", to=1).version for _ in range(2)] == [1, 1]
    assert list(rejected(home, "m")) == ["model-3"]
    with pytest.raises(NotFound, match="no version 3 that was live"):
        rollback(home, "m", reason="no", to=3)
    assert versions(home) == 1
