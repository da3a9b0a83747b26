"""One model, asked in every way there is: over HTTP, in this process, and for files. The same bits each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import small_project
from test_second_machine import keepfit

import keepfit as package
from keepfit.project import load_project
from keepfit.serving.endpoint import call
from keepfit.serving.gateway import start
from keepfit.serving.log import read_log

ASKED = 50


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = small_project.write(tmp_path_factory.mktemp("project") / "parcels")
    keepfit("retrain", "--reason", "first", cwd=folder)
    return folder


def test_every_way_gives_the_same_bits(project: Path, tmp_path: Path) -> None:
    parcels = pl.read_parquet(project / "data" / "parcels.parquet").tail(ASKED)
    rows = parcels.drop("late")
    rows.write_parquet(tmp_path / "rows.parquet")
    rows.write_csv(tmp_path / "rows.csv")

    model = package.load("parcel", project=project / "data")
    answer = model.predict(rows)
    inside = answer.predictions.tolist()
    assert answer.probabilities is answer.predictions and len(set(inside)) > ASKED / 2
    assert package.load("parcel@1", project=project).predict(rows.to_pandas()).predictions.tolist() == inside

    settings = load_project(project)
    running = start(project, settings.name, settings.serve)
    try:
        body = {"rows": [one | {"sent": one["sent"].isoformat()} for one in rows.to_dicts()]}
        told = call(running.url, running.token, "POST", "/predict", body)["predictions"]
    finally:
        running.stop()
    assert [one["prediction"] for one in told] == inside

    for name in ("rows.parquet", "rows.csv"):
        shown: list[dict[str, Any]] = keepfit("predict", str(tmp_path / name), "--json", cwd=project)
        assert [one["prediction"] for one in shown] == inside
        keepfit("predict", "--batch", str(tmp_path / name), str(tmp_path / "out.parquet"), cwd=project)
        assert pl.read_parquet(tmp_path / "out.parquet")["prediction"].to_list() == inside

    logged = read_log(project / ".keepfit" / "serving" / "log").filter(route="batch")
    assert logged.height == 2 * ASKED and logged["keepfit joined weather"].struct.field("wind").null_count() == 0
    chain = keepfit("why", str(tmp_path / "out.parquet"), cwd=project)
    assert all(word in chain for word in ("batch-", "parcel@1", "parcels.py"))
