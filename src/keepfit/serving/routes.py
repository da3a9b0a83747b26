"""What can be asked of the endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from keepfit.core.errors import KeepfitError, did_you_mean
from keepfit.datasets.dataset import Column
from keepfit.serving.batch import Ask, Prediction
from keepfit.serving.desired import Release
from keepfit.serving.explain import clip
from keepfit.serving.frames import AddRows, ReloadRows
from keepfit.serving.http import TEXT, Reply, Request, Route, reply
from keepfit.serving.labels import Labels, read_labels
from keepfit.serving.lane import Lane
from keepfit.serving.log import Log
from keepfit.serving.metrics import Metrics
from keepfit.serving.problems import UNAVAILABLE, Problem, Rejection, rejection
from keepfit.serving.records import Records
from keepfit.serving.residents import Residents
from keepfit.serving.rows import online_rows
from keepfit.serving.settings import ServeSettings
from keepfit.serving.wire import nullable


class Failed(msgspec.Struct, frozen=True):
    """In place of a prediction, for a row that failed alone."""

    error: Problem


class Answer(msgspec.Struct, frozen=True):
    """The answer to /predict."""

    model: str
    version: int
    release: str
    predictions: list[Prediction | Failed]


class Routes:
    """The handlers, and what they need."""

    def __init__(
        self, residents: Residents, records: Records, log: Log, *, metrics: Metrics, name: str, settings: ServeSettings
    ) -> None:
        self._residents = residents
        self._records = records
        self._labels = Labels(records)
        self._log = log
        self._metrics = metrics
        self._name = name
        self._settings = settings

    def table(self) -> dict[str, Route]:
        """Path -> handlers."""
        return {
            "/predict": Route({"POST": self.predict}),
            "/labels": Route({"POST": self.labels}),
            "/rows/*": Route({"PUT": self.rows}),
            "/health/live": Route({"GET": self.live}, open=True),
            "/health/ready": Route({"GET": self.ready}, open=True),
            "/model": Route({"GET": self.model}),
            "/metrics": Route({"GET": self.metrics}),
            "/control/sync": Route({"POST": self.sync}),
            "/control/prove": Route({"POST": self.prove}),
        }

    async def predict(self, request: Request) -> Reply:
        lane = self._residents.champion or await self._champion()
        rows = lane.signature.decode(request.body, self._settings.max_rows)
        if self._residents.rows_waiting + len(rows.good) > self._settings.max_waiting:
            raise rejection(503, "busy", "too many rows are waiting for an answer: try again")
        ask = Ask(rows.good, request.body, ids=rows.ids, logged=request.query != b"log=off")
        self._residents.put(ask, lane)
        await ask.done
        answers = _merged(ask.answers, rows.bad) if rows.bad else ask.answers
        if ask.release is None or not any(isinstance(answer, Prediction) for answer in answers):
            raise _none_good(answers)
        predictions = [answer if isinstance(answer, Prediction) else Failed(answer) for answer in answers]
        return reply(Answer(lane.manifest.model, ask.release.version, ask.release.id, predictions))

    async def labels(self, request: Request) -> Reply:
        lane = await self._champion()
        labels = read_labels(request.body, lane.manifest.task)
        await self._labels.store(labels)
        return reply({"stored": len(labels)})

    async def rows(self, request: Request) -> Reply:
        lane = await self._champion()
        name = request.path.removeprefix("/rows/")
        if name not in lane.sides:
            hint = did_you_mean(name, lane.sides)
            raise rejection(404, "no-dataset", f"the model joins no dataset `{clip(name)}`", hint=hint)
        side, signature = lane.sides[name]
        rows = signature.decode(request.body, self._settings.max_rows)
        if rows.bad:
            raise Rejection(422, next(iter(rows.bad.values())))
        await asyncio.to_thread(self._records.store_rows, name, online_rows(side, rows.good))
        self._residents.tell(AddRows(name, msgspec.Raw(signature.pack(rows.good))))
        return reply({"stored": len(rows.good)})

    async def live(self, request: Request) -> Reply:
        return reply({"live": True})

    async def ready(self, request: Request) -> Reply:
        lane = self._residents.champion
        ready = lane is not None and (lane.ready or (self._residents.previous or lane).ready)
        return reply({"ready": ready}, status=200 if ready else 503)

    async def model(self, request: Request) -> Reply:
        return reply(self._told())

    async def metrics(self, request: Request) -> Reply:
        residents = self._residents
        gauges = {"rows_waiting": float(residents.rows_waiting)}
        if residents.champion is not None:
            gauges["live_version"] = float(residents.champion.release.version)
        return Reply(200, self._metrics.text(gauges).encode(), (TEXT,))

    async def sync(self, request: Request) -> Reply:
        """Make live what the ledger wants, write the log out, take up online rows that others stored."""
        problems = []
        for work in (self._residents.follow(now=True), asyncio.to_thread(self._log.flush), self._reload()):
            try:
                await work
            except KeepfitError as problem:
                problems.append(problem.message)
        return reply({**self._told(), "problems": problems})

    async def prove(self, request: Request) -> Reply:
        """Load a package beside what is live, and say why it will not do, if it won't."""
        try:
            candidate = msgspec.json.decode(request.body, type=Release)
        except msgspec.MsgspecError as problem:
            raise rejection(400, "body", f"this names no package: {problem}") from None
        return reply({"refused": await self._residents.prove(candidate)})

    async def _reload(self) -> None:
        if await asyncio.to_thread(self._records.changed_elsewhere):
            self._residents.tell(ReloadRows())

    async def _champion(self) -> Lane:
        lane = await self._residents.wait()
        if lane is None:
            raise rejection(503, "no-model", "no model is live yet", hint="keepfit release")
        return lane

    def _told(self) -> dict[str, Any]:
        residents = self._residents
        told: dict[str, Any] = {"model": self._name, "version": None, "release": None, "previous": None}
        if residents.champion is not None:
            manifest = residents.champion.manifest
            told |= _resident(residents.champion)
            told["inputs"] = {name: _described(column) for name, column in manifest.inputs.items()}
            told["outputs"] = {"task": manifest.task, "label": manifest.label, "levels": manifest.levels}
            told["sides"] = {side.name: list(side.columns) for side in manifest.sides}
        if residents.previous is not None:
            told["previous"] = _resident(residents.previous)
        told["refused"] = residents.refused
        return told


def _resident(lane: Lane) -> dict[str, Any]:
    proof = lane.proof
    return {
        "version": lane.release.version,
        "release": lane.release.id,
        "package": lane.release.package,
        "ready": lane.ready,
        "load_ns": proof.load_ns if proof else None,
        "proof_ns": proof.proof_ns if proof else None,
        "batches": proof.together if proof else None,
        "pid": lane.pid,
    }


def _described(column: Column) -> dict[str, Any]:
    kept = ("type", "at_least", "at_most", "levels")
    told = {key: value for key in kept if (value := getattr(column, key)) is not None}
    return {**told, "null": nullable(column)}


def _merged(answers: Sequence[Prediction | Problem], bad: dict[int, Problem]) -> list[Prediction | Problem]:
    """The answers of the good rows and the problems of the bad, in the order of the request."""
    good = iter(answers)
    return [bad[row] if row in bad else next(good) for row in range(len(answers) + len(bad))]


def _none_good(answers: Sequence[Prediction | Problem]) -> Rejection:
    if UNAVAILABLE in answers:
        return Rejection(503, UNAVAILABLE)
    return Rejection(422, next(answer for answer in answers if isinstance(answer, Problem)))
