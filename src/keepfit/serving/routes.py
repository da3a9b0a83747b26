"""What can be asked of the endpoint, besides predictions, which have their dialects."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from keepfit.core.errors import KeepfitError, did_you_mean
from keepfit.datasets.dataset import Column
from keepfit.serving.answering import Answering
from keepfit.serving.conduct import Conduct
from keepfit.serving.desired import Release
from keepfit.serving.dialects import invocations, oip, openapi, predict
from keepfit.serving.explain import clip
from keepfit.serving.frames import AddRows, ReloadRows
from keepfit.serving.http import TEXT, Reply, Request, Route, reply
from keepfit.serving.labels import LABEL_TYPES, Labels, new_levels, read_labels
from keepfit.serving.lane import Lane
from keepfit.serving.log import Log
from keepfit.serving.metrics import Metrics, conduct_text
from keepfit.serving.problems import Rejection, rejection
from keepfit.serving.records import Records
from keepfit.serving.residents import Residents
from keepfit.serving.rows import online_rows
from keepfit.serving.settings import ServeSettings
from keepfit.serving.wire import Table, nullable

DIALECTS = (predict, oip, invocations, openapi)
"""The files that say how a prediction may be asked for."""


class Routes:
    """The handlers, and what they need."""

    def __init__(
        self,
        residents: Residents,
        records: Records,
        logs: Sequence[Log],
        *,
        metrics: Metrics,
        name: str,
        settings: ServeSettings,
    ) -> None:
        self._residents = residents
        self.answering = Answering(residents, name, settings)
        self._records = records
        self._labels = Labels(records)
        self._logs = logs
        self._metrics = metrics
        self._name = name
        self._settings = settings

    def table(self) -> dict[str, Route]:
        """Path -> handlers."""
        spoken = {path: route for dialect in DIALECTS for path, route in dialect.routes(self.answering).items()}
        return spoken | {
            "/labels": Route({"POST": self.labels}, takes=LABEL_TYPES),
            "/rows/*": Route({"PUT": self.rows}),
            "/health/live": Route({"GET": self.live}, open=True),
            "/health/ready": Route({"GET": self.ready}, open=True),
            "/model": Route({"GET": self.model}),
            "/metrics": Route({"GET": self.metrics}),
            "/control/sync": Route({"POST": self.sync}),
            "/control/prove": Route({"POST": self.prove}),
            "/control/rollout": Route({"GET": self.rollout}),
        }

    async def labels(self, request: Request) -> Reply:
        lane = await self.answering.champion()
        labels = read_labels(request.body, lane.manifest.task, request.kind, self._settings.key)
        await self._labels.store(labels)
        told: dict[str, Any] = {"stored": len(labels)}
        if new := new_levels(labels, lane.manifest.levels):
            told["new_levels"] = new
        return reply(told)

    async def rows(self, request: Request) -> Reply:
        lane = await self.answering.champion()
        name = request.path.removeprefix("/rows/")
        if name not in lane.sides:
            hint = did_you_mean(name, lane.sides)
            raise rejection(404, "no-dataset", f"the model joins no dataset `{clip(name)}`", hint=hint)
        side, signature = lane.sides[name]
        rows = signature.decode(request.body, self._settings.max_rows)
        if rows.bad:
            raise Rejection(422, next(iter(rows.bad.values())))
        good = list(rows.good) if not isinstance(rows.good, Table) else []  # JSON never comes as a table
        await asyncio.to_thread(self._records.store_rows, name, online_rows(side, good))
        self._residents.tell(AddRows(name, msgspec.Raw(signature.pack(good))))
        return reply({"stored": len(good)})

    async def live(self, request: Request) -> Reply:
        return reply({"live": True})

    async def ready(self, request: Request) -> Reply:
        ready = self._residents.ready
        return reply({"ready": ready}, status=200 if ready else 503)

    async def model(self, request: Request) -> Reply:
        return reply(self._told())

    async def metrics(self, request: Request) -> Reply:
        residents = self._residents
        gauges = {"rows_waiting": float(residents.rows_waiting)}
        if residents.champion is not None:
            gauges["live_version"] = float(residents.champion.release.version)
        conducts: dict[str, Conduct] = {}
        for contest in residents.contests:
            conducts |= contest.standing().by_route()
        page = self._metrics.text(gauges) + (conduct_text(conducts) if conducts else "")
        return Reply(200, page.encode(), (TEXT,))

    async def sync(self, request: Request) -> Reply:
        """Make live what the ledger wants, write the log out, take up online rows that others stored."""
        problems = []
        flushed = [asyncio.to_thread(log.flush) for log in self._logs]
        for work in (self._residents.follow(now=True), *flushed, self._reload()):
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

    async def rollout(self, request: Request) -> Reply:
        """How the models on trial conduct themselves, and which of them were stopped here."""
        return reply({"trials": self._residents.standings()})

    async def _reload(self) -> None:
        if await asyncio.to_thread(self._records.changed_elsewhere):
            self._residents.tell(ReloadRows())

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
        told["challenger"] = None
        if residents.challenger is not None:
            contest = residents.contests[0]
            told["challenger"] = {**_resident(residents.challenger), "stage": contest.stage, "share": contest.share}
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
