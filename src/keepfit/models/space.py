"""What tuning searches: one dimension per parameter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from keepfit.core.errors import UsageError
from keepfit.runs.training import Range, TuneSettings, Value

_GRID = 5
"""Values that a grid takes of a range without steps."""


class Dimension(msgspec.Struct, frozen=True, kw_only=True):
    """The values that one parameter may take: a range, or `choices`."""

    name: str
    low: float | int = 0
    high: float | int = 0
    log: bool = False
    step: float | int | None = None
    choices: tuple[Value, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether it is a range of whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def holds(self, value: object) -> bool:
        """Whether the value is one of these."""
        if self.choices:
            return any(value == choice and type(value) is type(choice) for choice in self.choices)
        if isinstance(value, bool) or not isinstance(value, int if self.whole else float):
            return False
        return self.low <= value <= self.high

    def levels(self) -> list[Value]:
        """Some values that cover it evenly; all of them where they can be counted by choices or steps."""
        if self.choices:
            return list(self.choices)
        if self.step is not None or (self.whole and not self.log):
            step = self.step or 1
            count = math.floor((self.high - self.low) / step + 1e-9) + 1
            return [self.low + i * step for i in range(count)]
        shares = [i / (_GRID - 1) for i in range(_GRID)]
        if self.log:
            found = [self.low * (self.high / self.low) ** share for share in shares]
        else:
            found = [self.low + share * (self.high - self.low) for share in shares]
        return list(dict.fromkeys(min(self.high, max(self.low, round(v) if self.whole else float(v))) for v in found))


def space(settings: TuneSettings) -> list[Dimension]:
    """The dimensions, in their order; UsageError for one that holds nothing or makes no sense."""
    return [dimension(name, values) for name, values in settings.over.items()]


def dimension(name: str, values: list[Value] | Range) -> Dimension:
    """The dimension of one parameter; UsageError when it holds nothing or makes no sense."""
    if isinstance(values, list):
        if len(values) != 2 or not all(_is_number(v) for v in values):
            return _choices(name, values)
        values = Range(low=values[0], high=values[1])  # type: ignore[arg-type]
    if values.among is not None:
        return _choices(name, values.among)
    low, high = values.low, values.high
    if low is None or high is None:
        raise UsageError(f"the range of `{name}` has no `{'from' if low is None else 'to'}`", hint=_EXAMPLE)
    if isinstance(low, float) or isinstance(high, float) or isinstance(values.step, float):
        low, high = float(low), float(high)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"the range of `{name}` is empty: from {low} to {high}", hint=_EXAMPLE)
    if values.log and low <= 0:
        raise UsageError(f"`{name}` cannot be tried by logarithm from {low}", hint="begin above 0")
    if values.step is not None and (values.log or not 0 < values.step <= high - low):
        raise UsageError(f"`{name}` cannot go by steps of {values.step}", hint="0 < step <= to - from, without log")
    return Dimension(name=name, low=low, high=high, log=values.log, step=values.step)


def within(dimensions: list[Dimension], parameters: Mapping[str, Any]) -> bool:
    """Whether a set of parameters lies in the space."""
    return all(d.name in parameters and d.holds(parameters[d.name]) for d in dimensions)


_EXAMPLE = "write [0.03, 0.3], or { from = 0.001, to = 1, log = true }"


def _choices(name: str, values: list[Value]) -> Dimension:
    if not values:
        raise UsageError(f"there is nothing to try of `{name}`", hint='write ["a", "b"] or [0.03, 0.3]')
    if len({(type(v), v) for v in values}) < len(values):
        raise UsageError(f"a choice of `{name}` is there twice")
    if any(isinstance(v, float) and not math.isfinite(v) for v in values):
        raise UsageError(f"a choice of `{name}` is not a finite number")
    return Dimension(name=name, choices=tuple(values))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
