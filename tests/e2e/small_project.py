"""A small project whose year fits into seconds: a shop's parcels, a weather feed, a fixed list of depots."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

START = datetime(2024, 1, 1)
DAYS = 40
A_DAY = 60

TOML = """
model = "parcel"

[data.parcels]
from     = "data/parcels.parquet"
sent     = { type = "timestamp", role = "event time" }
depot    = { type = "category", missing = 0 }
weight   = { type = "number", at_least = 0 }
late     = { type = "bool", role = "label", known_after = "24h" }

[data.weather]
from     = "data/weather.parquet"
seen     = { type = "timestamp", role = "event time" }
depot    = { type = "category", role = "key" }
wind     = { type = "number" }

[data.depots]
from     = "data/depots.csv"
depot    = { type = "category", role = "key", unique = true }
distance = { type = "number" }

[train]
features = "parcels:features"
fit      = "parcels:train"
window   = "21d"
test     = "last 7d"

[check]
auc   = { at_least = 0.5, versus_champion = -0.05 }
brier = { better_than = "base rate" }

[serve]
port = 0

[retrain]
when    = ["every 7d"]
at_most = "1 per 7d"
"""

CODE = """
import polars as pl
from sklearn.linear_model import LogisticRegression


def features(parcels: pl.DataFrame, weather: pl.DataFrame, depots: pl.DataFrame) -> pl.DataFrame:
    return parcels.select("weight", wind=weather["wind"].fill_null(0), distance=depots["distance"].fill_null(0))


def train(X: pl.DataFrame, y, seed: int):
    return LogisticRegression(random_state=seed).fit(X, y)
"""


def write(folder: Path) -> Path:
    """The project, with data that a model can learn from and that changes half way."""
    (folder / "data").mkdir(parents=True)
    random = np.random.default_rng(3)
    rows = DAYS * A_DAY
    sent = sorted(START + timedelta(minutes=int(m)) for m in random.integers(0, DAYS * 1440, rows))
    depot, weight = random.choice(["north", "south", "west"], rows), random.exponential(5, rows).round(3)
    hours = [START + timedelta(hours=h) for h in range(-24, DAYS * 24)]
    weather = pl.DataFrame(
        {
            "seen": [h for h in hours for _ in range(3)],
            "depot": ["north", "south", "west"] * len(hours),
            "wind": random.gamma(2, 3, 3 * len(hours)).round(3),
        }
    )
    parcels = pl.DataFrame({"sent": sent, "depot": depot, "weight": weight})
    wind = parcels.join_asof(weather.sort("seen"), left_on="sent", right_on="seen", by="depot", check_sortedness=False)[
        "wind"
    ].to_numpy()
    changed = np.array([s >= START + timedelta(days=DAYS // 2) for s in sent])
    risk = np.where(changed, 0.1 * weight + 0.15 * wind - 2, 0.3 * weight + 0.15 * wind - 3)
    late = random.random(rows) < 1 / (1 + np.exp(-risk))
    parcels.with_columns(late=late).write_parquet(folder / "data" / "parcels.parquet")
    weather.write_parquet(folder / "data" / "weather.parquet")
    pl.DataFrame({"depot": ["north", "south", "west"], "distance": [12.5, 80.0, 31.0]}).write_csv(
        folder / "data" / "depots.csv"
    )
    (folder / "keepfit.toml").write_text(TOML)
    (folder / "parcels.py").write_text(CODE)
    return folder
