"""Alerts that are due, sent before a command ends."""

from __future__ import annotations

import contextlib
import sys

from keepfit.alerting.postman import Postman
from keepfit.core.errors import KeepfitError
from keepfit.home import Home
from keepfit.project import Project

PATIENCE = 10.0
"""Seconds that channels may take; what they have not taken by then stays in the outbox."""


def tell(project: Project, home: Home) -> None:
    """Send what is due. What goes wrong with that is said, and does not make the command fail."""
    if not project.alerts.channels:
        return
    try:
        Postman(home, project.name, _warn).send_due(project.alerts, within=PATIENCE)
    except KeepfitError as problem:
        _warn(f"alerts were not sent: {problem.message}")


def _warn(text: str) -> None:
    with contextlib.suppress(OSError):
        print(f"warning: {text}", file=sys.stderr)
