"""From the rows of a request to their answers, whatever language both are in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from keepfit.packages.package import Manifest
from keepfit.serving.batch import Ask, Prediction
from keepfit.serving.desired import Release
from keepfit.serving.http import Reply, Request
from keepfit.serving.lane import Lane
from keepfit.serving.problems import UNAVAILABLE, Problem, Rejection, rejection
from keepfit.serving.residents import Residents
from keepfit.serving.settings import ServeSettings
from keepfit.serving.signature import Rows, Signature
from keepfit.serving.wire import height

Read = Callable[[Signature], Rows]
"""The rows of a request, as a model with this signature takes them; raises Rejection."""


class Answered(NamedTuple):
    """The answers to a request, and who gave them."""

    manifest: Manifest
    release: Release
    route: str
    """`champion`, or `previous`: the champion before, because it was asked or because the champion could not answer."""
    answers: Sequence[Prediction | Problem]
    """For each row of the request in their order; a row may fail alone."""

    def all_good(self) -> Sequence[Prediction]:
        """The answers where a dialect has no word for a row that failed: Rejection with the first problem then."""
        for answer in self.answers:
            if isinstance(answer, Problem):
                raise _failed([answer])
        return self.answers  # type: ignore[return-value]


class Answering:
    """What every dialect asks."""

    def __init__(self, residents: Residents, name: str, settings: ServeSettings) -> None:
        self.residents = residents
        self.name = name
        self.max_rows = settings.max_rows
        self._max_waiting = settings.max_waiting

    async def champion(self) -> Lane:
        """The champion; Rejection 503 when there is none."""
        lane = self.residents.champion or await self.residents.wait()
        if lane is None:
            raise rejection(503, "no-model", "no model is live yet", hint="keepfit release")
        return lane

    async def answer(self, request: Request, read: Read, *, only: Lane | None = None) -> Answered:
        """Answers of the champion (or who stands in for it), or of this lane only.

        Rejection: whatever `read` raises, 503 when too many rows wait, 422 or 503 when no row has an answer.
        """
        champion = self.residents.champion or await self.champion()
        lane = only or champion
        package = champion.release.package
        rows = read(lane.signature)
        if self.residents.rows_waiting + height(rows.good) > self._max_waiting:
            raise rejection(503, "busy", "too many rows are waiting for an answer: try again")
        ask = Ask(rows.good, read, ids=rows.ids, logged=b"log=off" not in request.query, pinned=only is not None)
        self.residents.put(ask, lane)
        await ask.done
        answers = _merged(ask.answers, rows.bad) if rows.bad else ask.answers
        if ask.release is None or not any(isinstance(answer, Prediction) for answer in answers):
            raise _failed(answers)
        route = "champion" if ask.release.package == package else "previous"
        return Answered(lane.manifest, ask.release, route, answers)


def explained(request: Request, answered: Answered, reply: Reply) -> Reply:
    """The reply; with headers that say who answered, when the request asks `?explain=route`."""
    if b"explain=route" not in request.query:
        return reply
    release = answered.release
    told = {"keepfit-route": answered.route, "keepfit-version": str(release.version), "keepfit-release": release.id}
    return reply._replace(headers=(*reply.headers, *((name.encode(), value.encode()) for name, value in told.items())))


def _merged(answers: Sequence[Prediction | Problem], bad: dict[int, Problem]) -> list[Prediction | Problem]:
    """The answers of the good rows and the problems of the bad, in the order of the request."""
    good = iter(answers)
    return [bad[row] if row in bad else next(good) for row in range(len(answers) + len(bad))]


def _failed(answers: Sequence[Prediction | Problem]) -> Rejection:
    if UNAVAILABLE in answers:
        return Rejection(503, UNAVAILABLE)
    return Rejection(422, next(answer for answer in answers if isinstance(answer, Problem)))
