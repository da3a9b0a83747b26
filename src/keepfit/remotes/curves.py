"""The curves of runs, one a line, as they travel beside the facts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec

from keepfit.core.errors import DamagedObject
from keepfit.ledger import Fact, Ledger, Point
from keepfit.remotes.remote import threads
from keepfit.runs.run import series


class _Curve(msgspec.Struct, array_like=True):
    series: str
    points: list[tuple[int, float | str, datetime]]
    """Step, value, time; JSON knows no number that is not finite, so that these are texts."""


def curves_of(ledger: Ledger, facts: Iterable[Fact]) -> Iterator[bytes]:
    """The curves that runs among the facts have logged."""
    for fact in facts:
        for name in fact.body.get("curves", {}) if fact.kind == "run" else ():
            points = [
                (p.step, p.value if math.isfinite(p.value) else str(p.value), p.time)
                for p in ledger.points(series(fact.id, name))
            ]
            yield msgspec.json.encode(_Curve(series(fact.id, name), points))


def record_curves(ledger: Ledger, lines: Iterable[bytes]) -> None:
    """Keep curves, but for those that are here already; DamagedObject when a line is none."""

    def record(line: bytes) -> None:
        try:
            curve = msgspec.json.decode(line, type=_Curve)
            points = [Point(step, float(value), time) for step, value, time in curve.points]
        except ValueError as problem:
            raise DamagedObject(f"a curve cannot be read: {problem}") from problem
        if not ledger.points(curve.series):
            ledger.record(curve.series, points)

    with threads() as pool:  # those that wait together are written together
        for _ in pool.map(record, lines):
            pass
