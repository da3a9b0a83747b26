"""What the project says of the endpoint."""

from __future__ import annotations

import msgspec


class ServeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[serve]` section."""

    host: str = "127.0.0.1"
    port: int = 8080
    """0 takes any free port."""
    hosts: list[str] = []
    """Further names clients may call the endpoint by (exact Host headers)."""
    max_rows: int = 10_000
    """Rows in one request."""
    max_body: int = 16_000_000
    """Bytes in one request."""
    max_waiting: int = 10_000
    """Rows waiting for an answer before the endpoint says 503."""
