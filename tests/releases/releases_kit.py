"""A place for releases: a ledger, no endpoint, and plans that need no model."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from keepfit.core.clocks import ReplayClock
from keepfit.engines import Here
from keepfit.home import Home
from keepfit.ledger import open_ledger
from keepfit.objects import open_objects
from keepfit.releases.plan import Plan
from keepfit.releases.release import Release, champion, record_release
from keepfit.releases.settings import Approvals

NOW = datetime(2024, 6, 1, tzinfo=UTC)
STAGES = ["shadow 1h", "canary 5% 1h", "canary 50% 100 rows"]


def place(root: Path, actor: str = "ana") -> Home:
    """Where facts are kept, on a clock that a test moves."""
    return Home(
        root=root,
        ledger=open_ledger("sqlite:.keepfit/ledger.db", root),
        objects=open_objects("folder:.keepfit/objects", root),
        engine=Here(),
        actor=actor,
        clock=ReplayClock(NOW),
    )


def released(home: Home, version: int) -> Release:
    """A version in production at once."""
    refs = {"package": f"package-{version}", "model": f"model-{version}"}
    return record_release(home, "m", refs, version, "better", champion(home, "m"))


def planned(home: Home, version: int, stages: list[str] = STAGES, approvals: Approvals | None = None) -> Plan:
    """What would be done with a version that passed its checks."""
    live = champion(home, "m")
    return Plan(
        model_name="m",
        version=version,
        model=f"model-{version}",
        package=f"package-{version}",
        verdict=f"verdict-{version}",
        gates="",
        failed="",
        champion=live.id if live else None,
        stages=stages,
        key=None,
        approvals=approvals or Approvals(count=0),
    )
