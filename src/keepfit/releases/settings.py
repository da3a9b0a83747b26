"""What the project says of releases."""

from __future__ import annotations

import msgspec


class ReleaseSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[release]` section."""

    automatic: bool = True
    """Release what passes its checks without asking; otherwise `keepfit release` does."""
