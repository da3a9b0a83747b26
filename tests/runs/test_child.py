"""A step's process has done its work when it says so, not when it ends without an error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from fake_engine import home_with

from keepfit.core.errors import StoreError, UserCodeError
from keepfit.engines import Here
from keepfit.home import Home
from keepfit.ledger import Query, fact
from keepfit.runs.execute import execute, find_known
from keepfit.runs.run import Plan

CHECKS = {
    "exit": "import sys\n\ndef ok(rows):\n    sys.exit(0)\n",
    "full": "def ok(rows):\n    raise OSError(28, 'No space left on device')\n",
    "rust": "import polars as pl\n\ndef ok(rows):\n    raise pl.exceptions.ComputeError('no (os error 28)')\n",
    "gone": "import os\n\ndef ok(rows):\n    os._exit(0)\n",
}


def judging(home: Home, module: str) -> Plan:
    """A judging step with a check of the user's."""
    return Plan(
        subject="model/m",
        module="keepfit.checks.judge",
        spec={"test": "", "champion": None, "also": [f"{module}:ok"]},
        code={f"{module}.py": home.objects.put(CHECKS[module].encode())},
        data={},
        environment=home.objects.put(b'{"python": "", "platform": "", "packages": {}}'),
    )


def prepare(folder: Path) -> None:
    pl.DataFrame({"keepfit prediction": [0.5]}).write_parquet(folder / "test.parquet")


@pytest.mark.parametrize(
    ("module", "message", "where"),
    [
        ("exit", r"ended the process with `sys\.exit\(0\)`", "exit.py:4"),
        ("gone", "judge ended with exit code 0 before it was done", None),
    ],
)
def test_code_that_ends_the_process_has_failed(tmp_path: Path, module: str, message: str, where: str | None) -> None:
    home, _ = home_with(tmp_path, lambda parameters, log: None)
    home = replace(home, engine=Here())
    with pytest.raises(UserCodeError, match=message) as caught:
        execute(home, judging(home, module), prepare=prepare)
    assert caught.value.where == where
    assert [f.body["state"] for f in home.ledger.find(Query(kind="run"))] == ["failed"]


@pytest.mark.parametrize(("module", "where"), [("full", "full.py:2"), ("rust", "rust.py:4")])
def test_a_disk_that_fills_under_the_code_is_not_the_fault_of_the_code(tmp_path: Path, module: str, where: str) -> None:
    home, _ = home_with(tmp_path, lambda parameters, log: None)
    home = replace(home, engine=Here())
    with pytest.raises(StoreError, match="the disk refuses: No space left on device") as caught:
        execute(home, judging(home, module), prepare=prepare)
    assert caught.value.where == where
    assert home.ledger.find(Query(kind="run")) == [], "it will be run again"


def test_a_run_that_left_nothing_is_not_known(tmp_path: Path) -> None:
    home, _ = home_with(tmp_path, lambda parameters, log: None)
    plan = judging(home, "exit")
    made = fact("run", plan.subject, time=home.clock.now(), key=plan.key, body={"outputs": {}}, actor="ana")
    home.ledger.append([made])
    assert find_known(home, plan) is None
