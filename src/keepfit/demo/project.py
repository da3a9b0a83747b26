"""The demo's project folder: a normal project on real flights, to read, change and run again."""

from __future__ import annotations

from pathlib import Path

from keepfit.core.files import write_file
from keepfit.demo.flights_data import write_flights

_FLIGHTS = Path(__file__).parent / "flights"


def write_project(folder: Path) -> Path:
    """Write project and data into `folder`; files that are there already, changed or not, are left alone."""
    for source in sorted(_FLIGHTS.rglob("*")):
        target = folder / source.relative_to(_FLIGHTS)
        if source.suffix in (".py", ".toml") and not target.exists():
            write_file(target, source.read_bytes())
    write_flights(folder / "data")
    return folder
