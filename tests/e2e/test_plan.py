"""What was planned and approved is what is released, from the command line, without an endpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import small_project

from keepfit.cli.run import run

RELEASE = """
[release]
stages    = ["shadow 1h", "canary 5% 100 rows"]
key       = "depot"
approvals = { count = 1, not_author = true }
"""


class Command:
    """Runs commands on a project in this process, in somebody's name."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._capsys, self._monkeypatch = folder, capsys, monkeypatch

    def __call__(self, verb: str, *words: str, code: int = 0, actor: str = "ana") -> Any:
        self._monkeypatch.setenv("KEEPFIT_ACTOR", actor)
        given = run(verb, [*words, "--json", "--project", str(self._folder)])
        told = self._capsys.readouterr()
        assert given == code, told.out + told.err
        return json.loads(told.out)


def against(plan: Any) -> list[str]:
    return [obstacle["text"] for obstacle in plan["against"] if obstacle["blocks"]]


def test_what_was_planned_and_approved_is_what_is_released(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small_project.write(tmp_path / "parcels")
    keepfit = Command(folder, capsys, monkeypatch)
    toml, code = folder / "keepfit.toml", folder / "parcels.py"
    keepfit("retrain")
    toml.write_text(small_project.TOML + RELEASE)
    code.write_text(code.read_text() + "\n# another version\n")

    waiting = keepfit("retrain")
    assert waiting["ending"] == "waiting"
    assert waiting["note"] == "1 of 1 approvals of parcel@2 is missing; keepfit approve 2"
    plan = keepfit("plan", "2", code=3)
    assert against(plan) == ["1 of 1 approvals of parcel@2 is missing"]
    assert plan["plan"]["stages"] == ["shadow 1h", "canary 5% 100 rows"]
    assert "another version" in plan["comparison"]["others"][0]["code"]
    refused = keepfit("release", "2", code=3)["error"]
    assert (refused["code"], refused["hint"]) == ("refused", "keepfit approve 2")
    assert "ana made the model" in keepfit("approve", "2", code=3)["error"]["message"]

    assert keepfit("approve", plan["id"], actor="bo")["missing"] == 0
    assert against(keepfit("plan", "2")) == []
    toml.write_text((small_project.TOML + RELEASE).replace("5%", "50%"))
    changed = keepfit("release", "--plan", plan["id"], code=3)["error"]["message"]
    assert "the stages: shadow 1h, canary 5% 100 rows -> shadow 1h, canary 50% 100 rows" in changed
    assert against(keepfit("plan", "2", code=3)) == ["1 of 1 approvals of parcel@2 is missing"]

    toml.write_text(small_project.TOML + RELEASE)
    begun = keepfit("release", "--plan", plan["id"], "--reason", "new plane")
    assert (begun["version"], begun["stage"], begun["key"], begun["reason"]) == (2, "shadow", "depot", "new plane")
    assert keepfit("release", "2")["id"] == begun["id"]
    live = keepfit("who-was-live")
    assert (live["version"], live["share"], live["rollout"]["version"]) == (1, 1.0, 2)
    status = keepfit("status")
    assert status["waits"].startswith("shadow 1h ends at ")
    assert keepfit("why", begun["id"])[0]["kind"] == "rollout"
    assert against(keepfit("plan", "2", code=3)) == ["parcel@2 is being rolled out: shadow 1h"]

    ended = keepfit("rollback", "--reason", "customers complain")
    assert (ended["stage"], ended["version"]) == ("ended", 2)
    told = keepfit("releases")
    assert [(m["version"], m["what"], m["actor"]) for m in told] == [
        (2, "taken back", "ana"),
        (2, "shadow 1h", "ana"),
        (2, "approved", "bo"),
        (1, "in production", "ana"),
    ]
    assert keepfit("retrain", code=3)["ending"] == "barred"
    again = keepfit("plan", "2", "--at-once", code=3)
    assert [o["blocks"] for o in again["against"]] == [True, False]
    keepfit("approve", again["id"], actor="bo")
    assert keepfit("release", "--plan", again["id"])["previous"] == live["id"]
    assert keepfit("plan", "plan-none", code=1)["error"]["code"] == "not-found"
    assert keepfit("release", "--plan", "plan-none", code=1)["error"]["hint"] == "keepfit plan"
