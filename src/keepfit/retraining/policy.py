"""What the project says of retraining."""

from __future__ import annotations

import msgspec


class RetrainSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[retrain]` section."""

    when: list[str] = []
    """Any of `performance`, `drift`, `data`, `code`, `every 30d`."""
    at_most: str = "1 per 7d"
    """How often the loop may retrain by itself."""
