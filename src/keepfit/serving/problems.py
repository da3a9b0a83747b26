"""What goes wrong with a request, as its sender is told: never with the text of an exception."""

from __future__ import annotations

import msgspec


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is wrong, where, and what was expected instead."""

    code: str
    message: str
    path: str | None = None
    """JSON path into the body."""
    feature: str | None = None
    expected: str | None = None
    received: str | None = None
    hint: str | None = None

    @property
    def sentence(self) -> str:
        """All of it in one line, for dialects that have one text for an error."""
        told = self.message
        if self.path:
            told += f" at {self.path}"
        if self.expected:
            told += f": expected {self.expected}, received {self.received or 'nothing'}"
        return f"{told} ({self.hint})" if self.hint else told


class Rejection(Exception):
    """A request that is answered with a problem instead of a result."""

    def __init__(self, status: int, problem: Problem) -> None:
        super().__init__(problem.message)
        self.status = status
        self.problem = problem


def rejection(status: int, code: str, message: str, *, hint: str | None = None) -> Rejection:
    """A rejection that concerns the request as a whole."""
    return Rejection(status, Problem(code=code, message=message, hint=hint))


UNAVAILABLE = Problem(code="unavailable", message="the model cannot answer right now: try again")
MODEL_FAILED = Problem(code="model-failed", message="the model raised an error on this row")
NOT_FINITE = Problem(code="not-finite", message="the model gave no finite number for this row")

ROW_PROBLEMS = (MODEL_FAILED, NOT_FINITE)
"""What a scorer may say of a row, by number."""
