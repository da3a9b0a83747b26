"""Plain tests of plain functions; keepfit runs them before it lets a model in."""

from datetime import datetime

import flights as ours
import polars as pl


def tables(rows: int) -> dict[str, pl.DataFrame]:
    flights = pl.DataFrame(
        {
            "departure": [datetime(2013, 1, 1 + i % 28, i % 24, 30) for i in range(rows)],
            "carrier": ["UA" if i % 2 else "AA" for i in range(rows)],
            "origin": ["JFK"] * rows,
            "dest": ["LAX"] * rows,
            "tailnum": ["N1"] * rows,
            "distance": [2475.0] * rows,
        }
    )
    observed = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
    weather = pl.DataFrame({"observed": flights["departure"], "origin": flights["origin"]}).with_columns(
        pl.lit(float(i)).alias(name) for i, name in enumerate(observed)
    )
    planes = pl.DataFrame({"tailnum": flights["tailnum"], "built": [2000] * rows, "seats": [180] * rows})
    return {"flights": flights, "weather": weather, "planes": planes}


def test_one_row_of_features_per_flight() -> None:
    found = ours.features(**tables(5))
    assert found.height == 5
    assert found["minute"][1] == 90
    assert found["age"].to_list() == [13] * 5


def test_a_model_learns_what_is_plain_to_see() -> None:
    X = ours.features(**tables(200))
    y = [carrier == "UA" for carrier in X["carrier"]]
    assert ours.train(X, y, seed=1).score(X, y) == 1.0
