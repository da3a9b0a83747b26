"""Will this flight be late? Plain functions: delete keepfit and they still run."""

import polars as pl
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

CATEGORIES = ["carrier", "origin", "dest"]


def features(flights: pl.DataFrame, weather: pl.DataFrame, planes: pl.DataFrame) -> pl.DataFrame:
    """One row per flight; `weather` and `planes` hold, row for row, what was known at its scheduled departure."""
    departure = flights["departure"].dt
    return flights.select(
        *CATEGORIES,
        "distance",
        minute=departure.hour().cast(pl.Int32) * 60 + departure.minute(),
        weekday=departure.weekday(),
        age=departure.year() - planes["built"],
        seats=planes["seats"],
    ).hstack(weather.drop("observed", "origin"))


def train(X: pl.DataFrame, y, seed: int, rate: float = 0.1, iterations: int = 100) -> Pipeline:
    """A gradient-boosted classifier over encoded categories."""
    encode = ColumnTransformer(
        [("category", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), CATEGORIES)],
        remainder="passthrough",
    )
    classify = HistGradientBoostingClassifier(
        learning_rate=rate,
        max_iter=iterations,
        categorical_features=list(range(len(CATEGORIES))),
        random_state=seed,
    )
    return Pipeline([("encode", encode), ("classify", classify)]).fit(X, y)


def fair_to_every_carrier(test: pl.DataFrame) -> bool:
    """No large carrier's flights may be called late twice as often as they are."""
    carriers = test.group_by("carrier").agg(
        pl.len().alias("flights"), pl.col("prediction").mean(), pl.col("late").mean()
    )
    return carriers.filter((pl.col("flights") >= 500) & (pl.col("prediction") > 2 * pl.col("late"))).is_empty()
