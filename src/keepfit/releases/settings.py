"""What the project says of releases."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Literal

import msgspec

from keepfit.core.clocks import duration
from keepfit.core.errors import UsageError

Kind = Literal["shadow", "canary"]

_STAGE = re.compile(r"(?P<kind>\w+)(?:\s+(?P<share>\d+(?:\.\d+)?)\s*%)?(?:\s+(?P<ends>.+))?")
_ROWS = re.compile(r"([\d_]+) rows?")
_HINT = 'write "shadow 1h", "canary 5% 1d", "canary 5% 2000 rows" or "canary 5% 2000 rows or 7d"'


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a rollout, and what ends it: whichever comes first of so many answers and so much time."""

    kind: Kind
    share: float = 0.0
    """Of the requests that the challenger answers, from 0 to 1; none in shadow."""
    rows: int | None = None
    time: timedelta | None = None


def read_stage(text: str) -> Stage:
    """The stage that a text such as `canary 5% 1h` means; UsageError when it means none."""
    match = _STAGE.fullmatch(text.strip())
    if match is None or match["kind"] not in ("shadow", "canary"):
        raise UsageError(f"`{text}` is no stage of a release", hint=_HINT)
    kind: Kind = "canary" if match["kind"] == "canary" else "shadow"
    share = float(match["share"] or 0) / 100
    if kind == "canary" and not 0 < share <= 1:
        raise UsageError(f"`{text}` does not say which share of the requests, from 0% to 100%", hint=_HINT)
    if kind == "shadow" and match["share"]:
        raise UsageError(f"`{text}`: in shadow every request is mirrored and none answered", hint='write "shadow 1h"')
    if not match["ends"]:
        raise UsageError(f"`{text}` does not say when it ends", hint=_HINT)
    rows = time = None
    for end in match["ends"].split(" or "):
        if counted := _ROWS.fullmatch(end.strip()):
            rows = int(counted[1])
        else:
            time = duration(end)
    if rows == 0 or time == timedelta():
        raise UsageError(f"`{text}` ends before it begins", hint=_HINT)
    return Stage(kind=kind, share=share, rows=rows, time=time)


class Approvals(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who has to say yes before a version is released."""

    count: int = 1
    """How many people."""
    by: list[str] = []
    """Only these, if any are named; `ana:KEY` only when she signs with that key, which `keepfit approve` tells."""
    not_author: bool = False
    """Whoever trained the model, or made the commit that it was trained on, does not count."""


class ReleaseSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[release]` section."""

    automatic: bool = True
    """Release what passes its checks without asking; otherwise `keepfit release` does."""
    stages: list[str] = []
    """What a new version goes through before it is the champion: `shadow 1h`, `canary 5% 2000 rows`,
    `canary 50% 2000 rows or 7d`; released at once if there are none."""
    key: str | None = None
    """Input by whose value a canary's requests are chosen, so that a customer is always answered by the same version;
    if unset, they are drawn by lot."""
    blocks: str | None = None
    """Time whose labelled answers count as one in the test of a challenger's loss (`1d` where the rows of a day go
    right or wrong together); row by row if unset."""
    approvals: int | Approvals = 0
    """How many people must approve a release, or `{ count = 1, by = ["ana", "bo"], not_author = true }`."""

    @property
    def approved_by(self) -> Approvals:
        """Who has to approve, in full."""
        return Approvals(count=self.approvals) if isinstance(self.approvals, int) else self.approvals
