"""A verdict is final, unless it failed by the clock alone."""

from __future__ import annotations

from pathlib import Path

from keepfit.checks.check import find_verdict
from keepfit.checks.gate import Gate, record_verdict
from keepfit.engines import Here
from keepfit.home import Home
from keepfit.ledger import fact, open_ledger
from keepfit.objects import open_objects


def gate(*, passed: bool, measured: bool = False) -> Gate:
    return Gate(stage="package", name="g", passed=passed, required="r", found="f", measured=measured)


def test_failures_by_the_clock_are_followed_by_other_verdicts(tmp_path: Path) -> None:
    ledger, objects = open_ledger("sqlite:ledger.db", tmp_path), open_objects("folder:objects", tmp_path)
    home = Home(root=tmp_path, ledger=ledger, objects=objects, engine=Here())
    package = fact("package", "model/m", time=home.clock.now(), key=1)
    key: list[object] = ["package", None]
    assert find_verdict(home, key) is None
    slow, fast = [gate(passed=True), gate(passed=False, measured=True)], [gate(passed=True, measured=True)]
    at = key
    for gates, final in ((slow, False), (slow, False), (fast, True)):
        made = record_verdict(home, package, gates, key=at, refs={})
        found = find_verdict(home, key)
        assert found is not None
        assert (found.id, found.final) == (made.id, final)
        at = [*key, found.id]
    wrong = record_verdict(home, package, [gate(passed=False), *slow], key=["other"], refs={})
    assert wrong.final
    ledger.close()
