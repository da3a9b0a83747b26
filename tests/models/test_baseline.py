"""The baseline that production is compared with: the training rows as they would have been asked, labelled or not."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl

from keepfit.datasets.dataset import Column, Dataset
from keepfit.datasets.profile import Profile
from keepfit.models.spec import TrainSpec
from keepfit.models.train import train

CODE = """
from sklearn.linear_model import LogisticRegression


def features(flights):
    if FAILS and flights["tail"].null_count() == flights.height:
        raise ValueError("no tail")
    return flights.select("distance")


def fit(X, y):
    return LogisticRegression().fit(X, y)
"""
FLIGHTS = Dataset(
    name="flights",
    source="flights.parquet",
    columns={
        "at": Column(type="timestamp", role="event time"),
        "tail": Column(type="text"),
        "distance": Column(type="number"),
        "late": Column(type="bool", role="label"),
    },
)
START = datetime(2013, 1, 1)
ROWS = 400


def baseline(folder: Path, code: str) -> Profile:
    """Of ten days of which every twentieth flight was cancelled: it has no label, and no tail number."""
    cancelled = [i % 20 == 7 for i in range(ROWS)]
    (folder / "data" / "flights").mkdir(parents=True)
    pl.DataFrame(
        {
            "at": [START + timedelta(hours=0.6 * i) for i in range(ROWS)],
            "tail": [None if c else "N1" for c in cancelled],
            "distance": [float(i % 11) for i in range(ROWS)],
            "late": [None if c else i % 11 > 5 for i, c in enumerate(cancelled)],
        }
    ).write_parquet(folder / "data" / "flights" / "flights.parquet")
    (folder / "code").mkdir()
    (folder / "code" / "flights.py").write_text(code)
    (folder / "out").mkdir()
    spec = TrainSpec(
        task="binary",
        main=FLIGHTS,
        sides=[],
        fit="flights:fit",
        features="flights:features",
        parameters={},
        seed=0,
        trust=[],
        known=None,
        start=None,
        test_from=START + timedelta(days=8),
        test_share=0.2,
    )
    (folder / "spec.json").write_bytes(msgspec.json.encode(spec))
    train(folder)
    return msgspec.json.decode((folder / "out" / "baseline.json").read_bytes(), type=Profile)


def test_rows_that_never_get_a_label_are_in_it_and_their_answers_too(tmp_path: Path) -> None:
    found = baseline(tmp_path, f"FAILS = False\n{CODE}")
    assert (found.rows, len(found.blocks)) == (320, 8)
    missing = {c.name: c.missing for c in found.columns}
    assert missing["tail"] == 16
    assert missing["prediction"] == 0


def test_rows_that_the_users_code_fails_on_are_not(tmp_path: Path) -> None:
    found = baseline(tmp_path, f"FAILS = True\n{CODE}")
    assert (found.rows, len(found.blocks)) == (304, 8)
