"""What the project says of the endpoint."""

from __future__ import annotations

import msgspec

from keepfit.core.clocks import duration


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
    hang: str = "10s"
    """How long the model may work on one batch before its process is ended and started anew."""
    patience: str = "2s"
    """How long requests wait for a champion that is restarting before the previous champion answers them."""

    @property
    def hang_seconds(self) -> float:
        return duration(self.hang).total_seconds()

    @property
    def patience_seconds(self) -> float:
        return duration(self.patience).total_seconds()
