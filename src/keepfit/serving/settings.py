"""What the project says of the endpoint."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec

from keepfit.core.clocks import duration


class Limits(NamedTuple):
    """What the endpoint takes upon itself."""

    body: int = 16_000_000
    """Bytes in one body."""
    body_seconds: float = 30.0
    """How long a client may take to send it."""
    requests: int = 1024
    """Requests being received or answered at once."""

    @property
    def held(self) -> int:
        """Bytes of all bodies that came in pieces and have no answer yet."""
        return 16 * self.body


class GuardLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ends a model that is on trial (shadow, canary, or new as champion) at once."""

    errors: float = 0.01
    """Share of requests to which it may have no answer although the model beside it has one."""
    not_finite: int = 0
    """Rows for which it may give no finite number although the model beside it does."""
    slower: float = 4.0
    """A batch is too slow when it takes so many times as long as 99 in 100 of the other model's; one in ten may be."""
    slow: str = "20ms"
    """A batch that takes no longer than this is never too slow."""
    memory: float = 4.0
    """How many times as much memory as at first its process may hold."""
    restarts: int = 2
    """How many times more than the model beside it its process may die."""
    bake: str = "1h"
    """How long a new champion is on trial beside the one before, which answers what the new one cannot; `0s` for not
    at all."""

    @property
    def slow_seconds(self) -> float:
        return duration(self.slow).total_seconds()

    @property
    def bake_seconds(self) -> float:
        return duration(self.bake).total_seconds()


class ServeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[serve]` section."""

    host: str = "127.0.0.1"
    port: int = 8080
    """0 takes any free port."""
    grpc: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    """The port at which the Open Inference Protocol is spoken over gRPC; `pip install 'keepfit[grpc]'`."""
    hosts: list[str] = []
    """Further names clients may call the endpoint by (exact Host headers)."""
    max_rows: int = 10_000
    """Rows in one request."""
    max_body: int = 16_000_000
    """Bytes in one request; all that are being answered may have sixteen times as many before the endpoint says 503."""
    max_requests: int = 1024
    """Requests at once before the endpoint says 429."""
    body_within: str = "30s"
    """How long a client may take to send one request before the endpoint says 408."""
    max_waiting: int = 10_000
    """Rows waiting for an answer before the endpoint says 503."""
    key: str | None = None
    """Input column by which labels may be delivered (`{"key": ..., "label": ...}`), such as an order number."""
    hang: str = "10s"
    """How long the model may work on one batch before its process is ended and started anew."""
    start_within: str = "25s"
    """How long a new model may take to load and prove itself before it is refused."""
    memory: str = "50%"
    """The most memory a model's process may take: `500MB`, or a share of the machine's. Above, it is started anew."""
    patience: str = "2s"
    """How long requests wait for a champion that is restarting before the previous champion answers them."""

    guard: GuardLimits = GuardLimits()
    """When the endpoint stops a model that is on trial, without asking anybody."""

    @property
    def limits(self) -> Limits:
        """What HTTP needs to know of these."""
        return Limits(self.max_body, duration(self.body_within).total_seconds(), self.max_requests)

    @property
    def hang_seconds(self) -> float:
        return duration(self.hang).total_seconds()

    @property
    def patience_seconds(self) -> float:
        return duration(self.patience).total_seconds()

    @property
    def start_seconds(self) -> float:
        return duration(self.start_within).total_seconds()
