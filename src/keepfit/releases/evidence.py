"""What is known of a challenger beside the champion."""

from __future__ import annotations

import msgspec

ALPHA = 0.05
"""Chance of ever taking a challenger for worse that is not."""


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """The loss that a champion is held to."""

    loss: float
    error: float
    """Standard error, as far as there were labels."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a challenger."""

    rows: int = 0
    """Its answers so far, in the log that the present stage writes."""
    labelled: int = 0
    """Those of them whose truth is known, over all stages."""
    loss: float | None = None
    """Its mean loss on them."""
    reference: Reference | None = None
    """The champion's, on the same rows or at the same time."""
    against: float = 1.0
    """The stake of whoever bets that it is worse; 1 at the start."""
    stopped: str | None = None
    """Why the endpoint stopped it, if it did."""

    @property
    def worse(self) -> bool:
        """Whether it is surely worse."""
        return self.against >= 1 / ALPHA

    @property
    def told(self) -> str:
        """In words."""
        if self.loss is None or self.reference is None:
            return f"{self.labelled:,} labelled"
        losses = f"loss {self.loss:.4f} beside {self.reference.loss:.4f}"
        return (
            f"{self.labelled:,} labelled, {losses} (evidence that it is worse: {self.against:.3g} of {1 / ALPHA:.0f})"
        )
