"""Taking a version back."""

from __future__ import annotations

from keepfit.core.errors import NotFound
from keepfit.home import Home
from keepfit.releases.release import Release, champion, take_back
from keepfit.releases.rollout import Rollout, end, find_rollout
from keepfit.serving.endpoint import sync


def rollback(home: Home, name: str, *, reason: str, to: int | None = None) -> Release | Rollout:
    """Take back what came last: a rollout that is running, which leaves the champion, or else the champion itself.

    The newest earlier champion that was not itself taken back takes its place; NotFound when there is none.
    What is taken back is barred: only a person releases it again. With `to`, that version takes its place, and
    when it is the champion already nothing is taken back: this can be said again after it was cut off.
    """
    rollout = find_rollout(home, name)
    if rollout and rollout.running:
        return end(home, rollout, note=reason)
    live = champion(home, name)
    if live is None:
        raise NotFound(f"nothing of `{name}` is in production", hint="keepfit status")
    made = live if live.version == to else take_back(home, live, reason=reason, to=to)
    sync(home)
    return made
