"""When to train again: the project's wishes held against the signs."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from keepfit.core.clocks import duration
from keepfit.retraining.settings import RetrainSettings
from keepfit.retraining.trigger import Trigger

RETRY = timedelta(minutes=10)
"""How long to wait after a training that came to nothing, while nothing is in production."""


class Signs(msgspec.Struct, frozen=True, kw_only=True):
    """What speaks for training again."""

    live: datetime | None
    """Since when the champion has been in production."""
    stuck: bool = False
    """Whether training again would come to the same refusal: code, data and settings are what they were."""
    performance: str | None = None
    """The alert on performance, in words."""
    drift: str | None = None
    data: str | None = None
    code: str | None = None


def reason_to_train(settings: RetrainSettings, signs: Signs, last: Trigger | None, now: datetime) -> str | None:
    """Why to train now, or None. Pure: the same arguments give the same answer."""
    if signs.live is None:
        again = last is None or (now - last.time >= RETRY and not signs.stuck)
        return "nothing is in production" if again else None
    if last and now - last.time < duration(settings.pause):
        return None
    for wish in ("performance", "drift", "data", "code"):
        told = getattr(signs, wish)
        if wish in settings.when and told:
            return f"{wish}: {told}"
    if settings.every and now - (last.time if last else signs.live) >= duration(settings.every):
        return f"schedule: every {settings.every}"
    return None
