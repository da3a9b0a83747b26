"""Messages: what people are told, as facts of their own before anyone is told."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

Form = Literal["page", "resolved", "escalation", "digest", "test"]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Something to tell, to whom and in which words."""

    id: str
    """The same each time it is sent: who gets it twice can tell."""
    form: Form
    time: datetime
    about: list[str]
    """Ids of the openings and resolvings of alerts that it tells of."""
    held: list[str] = []
    """Of a digest: those of the alerts that would have been pages, but for the budget."""
    severe: bool = False
    """Of a page: whether it goes out whatever the budget says."""
    channels: list[str] = []
    """Names of the channels it was meant for."""
    title: str = ""
    text: str = ""
    short: str = ""
    """The same for a chat."""
    faults: list[dict[str, Any]] = []
    """The same for programs."""
