"""A file predicted with the champion: the rows that the endpoint takes, and no others."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest

from keepfit import steps
from keepfit.cli.run import run
from keepfit.core.errors import ContractBroken, DataError, NotFound
from keepfit.infra.scaffold import scaffold
from keepfit.models.model import find_model
from keepfit.predicting.file import predict_file
from keepfit.project import home, load_project

NAMES = ['a "quoted" name', "prediction", "plan"]


def rows_file(path: Path, rows: list[list[object]], *more: str) -> Path:
    with path.open("w", newline="") as target:
        csv.writer(target).writerows([[*NAMES, *more], *rows])
    return path


def test_a_file_is_predicted_as_the_endpoint_would(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lot = random.Random(1)
    rows = [[x := lot.randint(0, 9), lot.random(), "abc"[i % 3], int(x > 4)] for i in range(300)]
    root = tmp_path / "shop"
    scaffold(rows_file(tmp_path / "shop.csv", rows, "churned"), root)
    text = (root / "keepfit.toml").read_text()
    text = text[: text.index("[check]")] + "[check]\nauc = { at_least = 0.5 }\n[serve]\nport = 0\n"
    (root / "keepfit.toml").write_text(text.replace("iterations = 100", "iterations = 5"))
    project = load_project(root)
    kept = home(project)
    package = steps.package(kept, steps.train(project, kept)[0])
    plan = steps.plan_release(project, kept, package, steps.check(project, kept, package))
    steps.release(kept, plan, reason="test")

    good = rows_file(tmp_path / "new.csv", [[9, 0.25, "a"], [0, 0.5, "new"]])
    found = predict_file(kept, "shop", good)
    assert found["prediction (input)"].to_list() == [0.25, 0.5]
    assert found["prediction"][0] > found["prediction"][1]
    with pytest.raises(ContractBroken, match=r"new\.csv\.a \"quoted\" name: >= 0, but 1 rows \(50\.0%\); line 3: -1"):
        predict_file(kept, "shop", rows_file(good, [[1, 0.5, "a"], [-1, 0.5, "a"]]))
    with pytest.raises(DataError, match=r"`new\.csv` has no rows"):
        predict_file(kept, "shop", rows_file(good, []))
    with pytest.raises(NotFound) as caught:
        find_model(kept, "shop", "shop@99")
    assert (caught.value.message, caught.value.hint) == ("there is no version 99 of `shop`", "versions: 1")
    kept.ledger.close()

    assert run("predict", [str(good), "--project", str(root), "--out", str(tmp_path / "no" / "o.csv")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    (tmp_path / "o.csv").mkdir()
    assert run("predict", [str(good), "--project", str(root), "--out", str(tmp_path / "o.csv")]) == 2
    assert "is a folder" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
