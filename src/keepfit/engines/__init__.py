"""Where a step runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keepfit.engines.step import Engine, Outcome, Step

if TYPE_CHECKING:
    from keepfit.engines.here import Here

__all__ = ["Engine", "Here", "Outcome", "Step"]


def __getattr__(name: str) -> object:
    if name == "Here":  # subprocess is paid for by those who run something
        from keepfit.engines.here import Here

        return Here
    raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
