"""Reading the signs: what has changed, or gone wrong, since the champion was made."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from keepfit.alerting.alert import Alert
from keepfit.core.errors import DataError, NotFound
from keepfit.home import Home
from keepfit.models.model import find_model
from keepfit.monitoring.changes import differences
from keepfit.monitoring.watch import list_windows
from keepfit.releases.release import Release
from keepfit.retraining.policy import Signs
from keepfit.retraining.settings import RetrainSettings
from keepfit.runs.run import Plan, find_run

DRIFTED_COLUMNS = 3
"""Drift counts when this many columns have moved; one alone is a matter of the source."""


def read_signs(
    home: Home,
    name: str,
    live: Release | None,
    alerts: Sequence[Alert],
    settings: RetrainSettings,
    plan: Callable[[], Plan],
) -> Signs:
    """The signs the project wants to act on. `plan` says what training would do now; asked only where needed."""
    if live is None:
        return Signs(live=None)
    drifted = [a for a in alerts if a.kind == "drift"]
    seen = list_windows(home, name, limit=1)
    worse = next((s for w in seen for s in w.symptoms if s.kind == "performance" and w.release == live.id), None)
    data = code = None
    if {"data", "code"} & set(settings.when):
        data, code = _changes(home, name, live, plan)
    return Signs(
        live=live.time,
        performance=worse.text if worse else None,
        drift=drifted[0].text if len(drifted) >= DRIFTED_COLUMNS else None,
        data=data,
        code=code,
    )


def _changes(home: Home, name: str, live: Release, plan: Callable[[], Plan]) -> tuple[str | None, str | None]:
    try:
        now = plan()
    except (DataError, NotFound):
        return None, None  # what is wrong with the data is a symptom of its own
    made = find_run(home, find_model(home, name, live.model).run)
    found = {i.subject: text for i, text in differences(home, name, made, now)}
    code = found.get(f"code/{name}")
    data = [subject.removeprefix("data/") for subject in found if subject.startswith("data/")]
    return f"new version of {', '.join(data)}" if data else None, code
