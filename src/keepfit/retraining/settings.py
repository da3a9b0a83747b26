"""What the project says of retraining."""

from __future__ import annotations

import msgspec

from keepfit.core.errors import UsageError


class RetrainSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[retrain]` section."""

    when: list[str] = []
    """Any of `performance`, `drift`, `data`, `code`, `every 30d`."""
    at_most: str = "1 per 7d"
    """How often the loop may retrain by itself."""

    @property
    def every(self) -> str | None:
        """The schedule among the wishes, as a duration."""
        return next((w.removeprefix("every ") for w in self.when if w.startswith("every ")), None)

    @property
    def pause(self) -> str:
        """How long the loop waits after one retraining before the next, as a duration."""
        if not self.at_most.startswith("1 per "):
            raise UsageError(f"`{self.at_most}` is not a pace", hint='write at_most = "1 per 7d"')
        return self.at_most.removeprefix("1 per ")
