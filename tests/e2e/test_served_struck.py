"""What an endpoint acknowledged survives its end, however it ends; a loop that is killed goes on where it was."""

from __future__ import annotations

import json
import os
import random
import shutil
import threading
import time
from pathlib import Path
from urllib.error import HTTPError

import pytest
from commands import KEEPFIT, ask, prepare, running, shipped, written
from judge import look
from undisturbed import kinds, places

from keepfit.serving.records import Records
from keepfit.testing.faults import strike

STRIKES = int(os.environ.get("KEEPFIT_STRIKES", "3").replace("all", "60"))

pytestmark = pytest.mark.slow


def test_labels_that_were_acknowledged_survive_a_kill(tmp_path: Path) -> None:
    chance, place = random.Random(7), shutil.copytree(prepare(shipped, places(tmp_path)), tmp_path / "place")
    folder, told, before = place / "parcels", dict[str, bool](), look(place)
    for _ in range(STRIKES):
        (folder / ".keepfit" / "serving" / "endpoint.json").unlink(missing_ok=True)
        teller = threading.Thread(target=tell, args=[folder, told])
        teller.start()
        strike([*KEEPFIT, "serve"], "kill", at=chance.randrange(150, 600), cwd=folder)
        teller.join()
        with Records(folder / ".keepfit" / "serving" / "records.db") as records:
            assert told.items() <= records.labels_of(list(told)).items()
        assert look(place) == before
    assert len(told) > 5 * STRIKES
    with running([*KEEPFIT, "serve"], folder) as again:
        assert again("/predict", {"rows": [ROW]})["predictions"]


ROW = {"sent": "2024-02-01T00:00:00", "depot": "north", "weight": 1.0}


def tell(folder: Path, told: dict[str, bool]) -> None:
    """Tell the truth about ever new predictions until nobody listens; keep what was acknowledged."""
    for number in range(100_000):
        try:
            answer = ask(folder, "/predict", {"rows": [ROW]}, patience=0 if number else 180)
            id, label = answer["predictions"][0]["id"], number % 3 == 0
            ask(folder, "/labels", {"labels": [{"id": id, "label": label}]}, patience=0)
        except HTTPError:
            continue
        except OSError:
            return
        told[id] = label


def test_a_loop_that_is_killed_goes_on(tmp_path: Path) -> None:
    chance, place = random.Random(7), shutil.copytree(prepare(written, places(tmp_path)), tmp_path / "place")
    folder, before = place / "parcels", look(place)
    up = [*KEEPFIT, "up", "--every", "1s"]
    for _ in range(STRIKES):
        struck = strike(up, "kill", at=chance.randrange(1, 400), cwd=folder)
        assert "Traceback" not in struck.stderr
        found = look(place)
        assert not found.wrong and before.facts.items() <= found.facts.items()
        before = found
    with running([*KEEPFIT, "up", "--every", "1s"], folder) as asked:
        deadline = time.monotonic() + 300
        while "release" not in kinds(look(place)):
            assert time.monotonic() < deadline
            time.sleep(1)
        assert asked("/predict", {"rows": [ROW]})["predictions"]
    found = look(place)
    assert not found.wrong and before.facts.items() <= found.facts.items()
    done = [kind for kind, _ in found.facts.values()]
    assert [done.count(kind) for kind in ("model", "package", "release")] == [1, 1, 1], json.dumps(done)
