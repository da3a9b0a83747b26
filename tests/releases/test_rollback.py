"""Rolled back is rolled back: neither the loop nor another rollback brings a rejected model back; a person can."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepfit.core.errors import NotFound
from keepfit.engines import Here
from keepfit.home import Home
from keepfit.ledger import Fact, fact, open_ledger
from keepfit.objects import open_objects
from keepfit.releases.release import champion, rejected, release, rollback


@pytest.fixture
def home(tmp_path: Path) -> Home:
    ledger = open_ledger("sqlite:.keepfit/ledger.db", tmp_path)
    objects = open_objects("folder:.keepfit/objects", tmp_path)
    return Home(root=tmp_path, ledger=ledger, objects=objects, engine=Here(), actor="ana")


def package(home: Home, version: int) -> Fact:
    refs = {"package": f"package-{version}", "model": f"model-{version}"}
    return fact("package", "model/m", time=home.clock.now(), key=version, body={"version": version}, refs=refs)


def versions(home: Home) -> int | None:
    live = champion(home, "m")
    return live.version if live else None


def test_what_was_rejected_is_told_until_a_person_releases_it(home: Home) -> None:
    for version in (1, 2):
        release(home, "m", package(home, version), reason="better")
    assert rejected(home, "m") == {}
    rollback(home, "m", reason="late flights missed")
    (back,) = rejected(home, "m").items()
    assert (back[0], back[1].version, back[1].actor, back[1].reason) == ("model-2", 1, "ana", "late flights missed")
    release(home, "m", package(home, 2), reason="by hand")
    assert (versions(home), rejected(home, "m")) == (2, {})


def test_rolling_back_again_goes_further_back_and_never_to_what_was_rejected(home: Home) -> None:
    for version in (1, 2, 3):
        release(home, "m", package(home, version), reason="better")
    assert [rollback(home, "m", reason="no").version for _ in range(2)] == [2, 1]
    with pytest.raises(NotFound, match="no earlier release"):
        rollback(home, "m", reason="no")
    release(home, "m", package(home, 4), reason="better")
    assert rollback(home, "m", reason="no").version == 1
    release(home, "m", package(home, 3), reason="by hand")
    release(home, "m", package(home, 5), reason="better")
    assert rollback(home, "m", reason="no").version == 3
