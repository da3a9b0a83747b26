"""What models are made from changes: the log says so, an alert stands where the project asks, until it is as before."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import small_project

from keepfit.alerting.alert import open_alerts
from keepfit.cli.opening import open_project
from keepfit.loop import observe, tick

SETTINGS = '\n[watch]\nchanges = ["data", "code", "environment"]\n'


def keepfit(*words: str, cwd: Path) -> Any:
    done = subprocess.run([sys.executable, "-m", "keepfit", *words, "--json"], cwd=cwd, capture_output=True, text=True)
    assert done.returncode in (0, 3), done.stderr
    return json.loads(done.stdout)


def standing(folder: Path) -> dict[str, str]:
    """The changes that stand as alerts after the loop has looked."""
    project, home = open_project(folder)
    tick(project, home, until=lambda state: state.trigger is not None)
    found = {a.fingerprint: a.text for a in open_alerts(home, project.name) if a.kind == "change"}
    assert observe(project, home).told == sorted(found)
    home.ledger.close()
    return found


def test_a_change_is_recorded_and_told_until_it_is_undone(tmp_path: Path) -> None:
    folder = small_project.write(tmp_path / "parcels")
    with (folder / "keepfit.toml").open("a") as file:
        file.write(SETTINGS)
    keepfit("retrain", cwd=folder)
    assert standing(folder) == {}
    code, depots = folder / "parcels.py", folder / "data" / "depots.csv"
    before, table = code.read_text(), depots.read_bytes()

    code.write_text(before.replace("fill_null(0), distance", "fill_null(1), distance"))
    assert standing(folder) == {
        "change/code/parcel": "code/parcel is not what parcel@1 was made from: parcels.py changed"
    }
    pl.DataFrame({"depot": ["north", "south"], "distance": [1.5, 8.0]}).write_csv(depots)
    found = standing(folder)
    assert set(found) == {"change/code/parcel", "change/data/depots"}
    assert found["change/data/depots"].endswith("1 files modified")
    code.write_text(before)
    depots.write_bytes(table)
    assert standing(folder) == {}

    told = [event["text"] for event in keepfit("log", "--subject", "code/parcel", cwd=folder)]
    assert [text.partition(" (")[0] for text in told] == ["parcels.py changed", "parcels.py changed", "first seen"]
    assert [e["kind"] for e in keepfit("log", "--subject", "data/depots", cwd=folder)] == ["return", "data", "data"]
    alerts = [e["text"].partition(",")[0] for e in keepfit("log", "--kind", "alert", cwd=folder)]
    assert alerts == ["resolved", "resolved", "open", "open"]
