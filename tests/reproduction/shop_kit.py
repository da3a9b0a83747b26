"""A project of one small table, trained by whatever library a test asks for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

TOML = """
model = "shop"

[data.visits]
from  = "data/visits.csv"
at    = {{ type = "timestamp", role = "event time" }}
spent = {{ type = "number" }}
items = {{ type = "number" }}
hour  = {{ type = "number" }}
back  = {{ type = "bool", role = "label" }}

[train]
features = "shop:features"
fit      = "shop:train"
test     = "last 25%"
threads  = {threads}
seed     = 3
{more}
"""
FEATURES = """
import polars as pl

def features(visits: pl.DataFrame) -> pl.DataFrame:
    return visits.select("spent", "items", each=pl.col("spent") / (pl.col("items") + 1), hour="hour")

"""
FITS = {
    "linear": """
from sklearn.linear_model import LogisticRegression
def train(X: pl.DataFrame, y, seed: int):
    return LogisticRegression(random_state=seed, max_iter=500).fit(X, y)
""",
    "forest": """
from sklearn.ensemble import RandomForestClassifier
def train(X: pl.DataFrame, y, seed: int):
    return RandomForestClassifier(20, random_state=seed, n_jobs=-1).fit(X, y)
""",
    "hist": """
from sklearn.ensemble import HistGradientBoostingClassifier
def train(X: pl.DataFrame, y, seed: int):
    return HistGradientBoostingClassifier(max_iter=20, random_state=seed).fit(X, y)
""",
    "lightgbm": """
import lightgbm
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
def train(X: pl.DataFrame, y, seed: int):
    model = lightgbm.LGBMClassifier(n_estimators=20, subsample=0.8, subsample_freq=1, random_state=seed, verbose=-1)
    return make_pipeline(StandardScaler().set_output(transform="pandas"), model).fit(X, y)
""",
    "xgboost": """
import xgboost
def train(X: pl.DataFrame, y, seed: int):
    return xgboost.XGBClassifier(n_estimators=20, subsample=0.8, colsample_bytree=0.7, random_state=seed).fit(X, y)
""",
    "unseeded": """
import os
from sklearn.ensemble import RandomForestClassifier
def train(X: pl.DataFrame, y):
    return RandomForestClassifier(5, random_state=int.from_bytes(os.urandom(4))).fit(X, y)
""",
    "pickled": """
import numpy as np
class Mean:
    def fit(self, X, y):
        self.share = float(np.mean(y))
        return self
    def predict(self, X):
        return np.zeros(len(X))
    def predict_proba(self, X):
        return np.tile([1 - self.share, self.share], (len(X), 1))
def train(X: pl.DataFrame, y, seed: int):
    return Mean().fit(X, y)
""",
}


def write(folder: Path, fit: str, *, rows: int = 400, threads: int = 1, more: str = "") -> Path:
    """The project in a new folder."""
    (folder / "data").mkdir(parents=True)
    random = np.random.default_rng(1)
    spent = random.exponential(20, rows).round(2)
    items, hour = random.integers(0, 9, rows), random.integers(0, 24, rows)
    risk = 0.05 * spent - 0.2 * items + np.sin(hour) + random.normal(size=rows)
    at = pl.datetime_range(
        pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 1) + pl.duration(minutes=rows - 1), "1m", eager=True
    )
    table = pl.DataFrame({"at": at, "spent": spent, "items": items, "hour": hour, "back": risk > 0.5})
    table.write_csv(folder / "data" / "visits.csv")
    (folder / "keepfit.toml").write_text(TOML.format(threads=threads, more=more))
    (folder / "shop.py").write_text(FEATURES + FITS[fit])
    return folder
