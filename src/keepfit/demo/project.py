"""The demo's project folder: a normal project on real flights, to read, change and run again."""

from __future__ import annotations

import tomllib
from pathlib import Path

from keepfit.core.errors import UsageError
from keepfit.core.files import write_file
from keepfit.demo.flights_data import write_flights
from keepfit.project.project import FILE

_FLIGHTS = Path(__file__).parent / "flights"


def write_project(folder: Path) -> Path:
    """Write project and data into `folder`; files of the demo that are there already, changed or not, are left alone.

    Raises UsageError when the folder holds something else.
    """
    if foreign := _foreign(folder):
        raise UsageError(f"`{folder}` holds {foreign}", hint="keepfit demo --to a-folder-of-its-own")
    for source in sorted(_FLIGHTS.rglob("*")):
        target = folder / source.relative_to(_FLIGHTS)
        if source.suffix in (".py", ".toml") and not target.exists():
            write_file(target, source.read_bytes())
    write_flights(folder / "data")
    return folder


def _foreign(folder: Path) -> str | None:
    """What is in the folder that is not the demo's; None when there is nothing."""
    if not folder.is_dir():
        return "a file" if folder.exists() else None
    settings = folder / FILE
    if settings.exists():
        return None if _names(settings) == _names(_FLIGHTS / FILE) else "a project that is not the demo"
    ours = {p.name for p in _FLIGHTS.iterdir()} | {"data", ".keepfit", "__pycache__"}
    others = sorted(p.name for p in folder.iterdir() if p.name not in ours)
    return f"`{others[0]}`, which is not the demo's" if others else None


def _names(settings: Path) -> tuple[object, object]:
    """What a project calls its model and its main dataset."""
    try:
        found = tomllib.loads(settings.read_text())
    except (OSError, ValueError):
        return None, None
    data = found.get("data")
    return found.get("model"), next(iter(data), None) if isinstance(data, dict) else None
