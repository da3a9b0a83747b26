"""From the rows of a request to their answers, whatever language both are in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from keepfit.packages.package import Manifest
from keepfit.serving.batch import Ask, Prediction
from keepfit.serving.contest import Contest, read_again
from keepfit.serving.desired import Release
from keepfit.serving.http import Reply, Request
from keepfit.serving.lane import Lane
from keepfit.serving.problems import MODEL_FAILED, UNAVAILABLE, Problem, Rejection, rejection
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
    """`champion`; `previous`: the champion before, because the champion could not answer; `canary`: a challenger that
    answers a share; `version`: the one that was asked for."""
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
        rows = read(lane.signature)
        if self.residents.rows_waiting + height(rows.good) > self._max_waiting:
            raise rejection(503, "busy", "too many rows are waiting for an answer: try again")
        logged = b"log=off" not in request.query
        if only is None and self.residents.contests:
            contests = self.residents.contests
            lane, ask = await self._among(contests, champion, rows, read, logged)
            if contests[0].stage == "shadow" and contests[0].takes(rows):  # once this answer is on its way
                mirror = contests[0].mirror
                asyncio.get_running_loop().call_soon(mirror, rows.good, read, ask.answers, logged)
        else:
            route = "champion" if only is None else "version"
            ask = Ask(rows.good, read, ids=rows.ids, logged=logged, pinned=only is not None, route=route)
            self.residents.put(ask, lane)
            await ask.done
        answers = _merged(ask.answers, rows.bad) if rows.bad else ask.answers
        if ask.release is None or not any(isinstance(answer, Prediction) for answer in answers):
            raise _failed(answers)
        return Answered(lane.manifest, ask.release, ask.route, answers)

    async def _among(
        self, contests: Sequence[Contest], champion: Lane, rows: Rows, read: Read, logged: bool
    ) -> tuple[Lane, Ask]:
        """Who answers while a model is on trial, and what it was asked: what that one fails on and another does not,
        the other answers.

        Each is asked for the whole request, so that an answer is of one version, and under the
        same ids, so that of a prediction that is in the log twice the later one is what was answered.
        """
        good = rows.good
        ids = rows.ids or self.residents.ids(height(good))
        lane = champion
        for contest in contests:
            if contest.stage == "shadow" or not contest.takes(rows):
                continue
            lane, route = contest.tried, "champion" if contest.tried is champion else contest.stage
            ask = Ask(good, read, ids=ids, logged=logged, route=route, trial=True)
            if (block := read_again(good, read, lane, of=champion)) is None:
                ask.answer(0, [MODEL_FAILED] * ask.size, None)
            elif lane.ready:
                ask.restart(block)
                lane.put(ask)
                await ask.done
            if UNAVAILABLE not in ask.answers:
                if all(isinstance(answer, Prediction) for answer in ask.answers):
                    lane.tally.requests += 1
                    return lane, ask
                _, other = await self._instead(contest.trusted, champion, Ask(good, read, ids=ids, logged=False))
                if not contest.settle(ask.answers, other.answers):  # it is the rows that are to blame
                    return lane, ask
            lane = contest.trusted
        return await self._instead(lane, champion, Ask(good, read, ids=ids, logged=logged))

    async def _instead(self, lane: Lane, champion: Lane, ask: Ask) -> tuple[Lane, Ask]:
        """Let a trusted model answer rows that were read as the champion takes them; which one that is by now."""
        residents = self.residents
        lane = lane if lane in (residents.champion, residents.previous) else await self.champion()
        block = read_again(ask.block, ask.read, lane, of=champion)
        if block is None:
            ask.give_up()
            return lane, ask
        ask.restart(block)
        if lane is residents.previous:
            ask.route = "previous"
            residents.metrics.previous_answers += ask.size if ask.logged else 0
        residents.put(ask, lane)
        await ask.done
        return lane, ask


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
