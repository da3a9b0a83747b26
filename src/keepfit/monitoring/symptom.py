"""What a monitor has to say."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

SymptomKind = Literal[
    "performance",
    "drift",
    "data",
    "freshness",
    "change",
    "retraining",
    "release",
    "production",
    "service",
    "loop",
]
Severity = Literal["page", "digest"]


class Symptom(msgspec.Struct, frozen=True, kw_only=True):
    """Something is not well. The same fault has the same kind and place, however often it is seen."""

    kind: SymptomKind
    place: str = ""
    """What it concerns: a column, a dataset, a metric."""
    severity: Severity
    text: str
    evidence: dict[str, Any] = {}
    hint: str = ""
    """The command that shows more."""

    @property
    def fingerprint(self) -> str:
        return f"{self.kind}/{self.place}" if self.place else self.kind
