"""Where a project keeps everything: one ledger, one store of objects, one engine, one clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from keepfit.core.clocks import Clock, WallClock
from keepfit.engines import Engine
from keepfit.ledger import Ledger
from keepfit.objects import Objects


@dataclass(frozen=True, kw_only=True)
class Home:
    """What every verb needs to work: the project's folder and its stores."""

    root: Path
    """The project's folder, where keepfit.toml and the user's code are."""
    ledger: Ledger
    objects: Objects
    engine: Engine
    actor: str = ""
    """Who is acting, as written into facts."""
    clock: Clock = field(default_factory=WallClock)

    @property
    def folder(self) -> Path:
        """What keepfit keeps on this machine; nothing in it is written by hand."""
        return self.root / FOLDER


FOLDER = ".keepfit"

LEDGER = "sqlite:.keepfit/ledger.db"
OBJECTS = "folder:.keepfit/objects"
"""Where they are unless the project says otherwise."""
