"""What gateway and scorer say to each other: msgpack messages behind their length, over a socket pair."""

from __future__ import annotations

from typing import Any

import msgspec

LENGTH = 4
_ENCODER = msgspec.msgpack.Encoder()


class Score(msgspec.Struct, frozen=True, tag="score", array_like=True):
    """Gateway: answer these rows (columns in the order of the signature's inputs)."""

    columns: msgspec.Raw


class AddRows(msgspec.Struct, frozen=True, tag="add", array_like=True):
    """Gateway: these rows of a side dataset are new (columns in the dataset's order)."""

    dataset: str
    columns: msgspec.Raw


class ReloadRows(msgspec.Struct, frozen=True, tag="reload", array_like=True):
    """Gateway: read all online rows again."""


class Ready(msgspec.Struct, frozen=True, tag="ready", array_like=True):
    """Scorer: loaded, and the golden rows came out bit for bit."""

    load_ns: int
    proof_ns: int
    together: bool
    """Whether rows may be scored together: one by one gives the same answers."""


class Unfit(msgspec.Struct, frozen=True, tag="unfit", array_like=True):
    """Scorer: this package cannot answer, and why."""

    reason: str


class Scored(msgspec.Struct, frozen=True, tag="scored", array_like=True):
    """Scorer: an answer per row, None where there is none; failed rows with a number of ROW_PROBLEMS."""

    values: list[Any]
    failed: dict[int, int]
    cpu: float
    """Seconds of CPU that it took."""
    sides: bytes = msgspec.msgpack.encode([])
    """What was joined to the rows: packed columns for each side dataset, as msgpack."""


ToScorer = Score | AddRows | ReloadRows
FromScorer = Ready | Unfit | Scored

decode_to_scorer = msgspec.msgpack.Decoder(ToScorer).decode
decode_from_scorer = msgspec.msgpack.Decoder(FromScorer).decode


def frame(message: ToScorer | FromScorer) -> bytes:
    """The message as it goes over the socket."""
    body = _ENCODER.encode(message)
    return len(body).to_bytes(LENGTH, "little") + body
