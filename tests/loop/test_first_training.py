"""A first training that is refused: somebody is paged, it is not repeated for nothing, and it is when it may help."""

from __future__ import annotations

import csv
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keepfit.alerting.alert import open_alerts
from keepfit.cli.run import run
from keepfit.cli.status import screen
from keepfit.core.clocks import ReplayClock
from keepfit.home import Home
from keepfit.infra.scaffold import scaffold
from keepfit.ledger import Query
from keepfit.loop import tick
from keepfit.project import home, load_project
from keepfit.releases.release import Release, champion
from keepfit.releases.rollback import rollback
from keepfit.retraining.policy import RETRY
from keepfit.retraining.trigger import open_trigger, triggers
from keepfit.status import status


def settings(root: Path, check: str, retrain: str = "") -> None:
    text = (root / "keepfit.toml").read_text()
    start = text.index("[check]")
    (root / "keepfit.toml").write_text(f"{text[:start]}[check]\n{check}\n[serve]\nport = 0\n{retrain}")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    lot = random.Random(1)
    rows = [[x := lot.randint(0, 9), lot.random(), int(x > 4)] for _ in range(300)]
    with (tmp_path / "shop.csv").open("w", newline="") as target:
        csv.writer(target).writerows([["a", "b", "churned"], *rows])
    scaffold(tmp_path / "shop.csv", tmp_path / "shop")
    toml = tmp_path / "shop" / "keepfit.toml"
    toml.write_text(toml.read_text().replace("iterations = 100", "iterations = 5"))
    return tmp_path / "shop"


def look(root: Path, kept: Home) -> list[str | None]:
    """One look of the daemon's; the endings of all trainings so far, oldest first."""
    tick(load_project(root), kept)
    return [t.ending for t in reversed(triggers(kept, "shop"))]


def test_it_is_told_and_tried_again_only_when_that_may_help(root: Path) -> None:
    settings(root, "auc = { at_least = 1.01 }")
    clock = ReplayClock(datetime.now(UTC))
    kept = home(load_project(root), clock=clock)
    assert look(root, kept) == ["refused"]
    (alert,) = open_alerts(kept, "shop")
    assert (alert.severity, alert.fingerprint) == ("page", "production")
    assert "version 1 refused, nothing is in production: auc: " in alert.text
    told = status(load_project(root), kept)
    assert told.next[0].startswith("train at ")
    assert "version 1 refused, nothing is in production" in screen(told)
    clock.advance(clock.now() + 3 * RETRY)
    assert look(root, kept) == ["refused"], "the same model would be refused for the same reason"

    settings(root, 'auc = { at_least = 0.5 }\np99 = { at_most = "0.001ms" }')
    assert look(root, kept) == ["refused", "refused"], "other settings may let it through"
    assert look(root, kept) == ["refused", "refused"], "not again and again"
    clock.advance(clock.now() + RETRY)
    assert look(root, kept) == ["refused"] * 3, "only its time was wrong, which is measured anew"
    assert len(kept.ledger.find(Query(kind="verdict"))) == 3
    assert (
        len([r for r in kept.ledger.find(Query(kind="run")) if r.attributes["module"] == "keepfit.checks.trial"]) == 3
    )

    settings(root, "auc = { at_least = 0.5 }")
    assert run("release", ["shop@1", "--project", str(root), "--json"]) == 0
    assert open_alerts(kept, "shop") == []

    code = root / "shop.py"
    code.write_text(f"{code.read_text()}\n# another model\n")
    retrain = ["--project", str(root), "--json"]
    assert run("retrain", retrain) == 0
    back = rollback(kept, "shop", reason="worse")
    assert isinstance(back, Release) and back.version == 1
    assert run("retrain", retrain) == 3, "a model that was rolled back is not released by the loop"
    live = champion(kept, "shop")
    assert live and live.version == 1
    told = status(load_project(root), kept)
    assert told.last and "version 2 was taken back at " in told.last.note
    assert run("release", ["shop@2", "--project", str(root), "--json"]) == 0
    kept.ledger.close()


def test_a_training_that_fails_tells_where_and_shows_no_other_figures(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings(root, "auc = { at_least = 0.5 }")
    code = root / "shop.py"
    good = code.read_text()
    assert run("retrain", ["--project", str(root)]) == 0
    assert "shop@1 on its test:" in capsys.readouterr().out
    line = good[: good.index("def train(")].count("\n") + 2
    head, tail = good[: good.index("def train(")], good[good.index("def train(") :]
    signature, _, body = tail.partition("\n")
    code.write_text(f"{head}{signature}\n    import sys; sys.exit(0)\n{body}")
    assert run("retrain", ["--project", str(root)]) == 1
    told = capsys.readouterr().out
    assert f"failed: the code ended the process with `sys.exit(0)` (at shop.py:{line})" in told
    assert "on its test" not in told
    kept = home(load_project(root))
    acted: list[str] = []
    open_trigger(kept, "shop", "because", triggers(kept, "shop")[0])
    tick(load_project(root), kept, lambda action, state: acted.append(f"{action.ending or action.verb}"))
    assert acted == ["train", "failed"]
    kept.ledger.close()
