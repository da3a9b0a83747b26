"""Small real packages for the tests of serving, and gateways in processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import os
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import numpy as np
import polars as pl

from keepfit.core.digests import digest_bytes
from keepfit.core.errors import ServingError
from keepfit.datasets.dataset import Column, Dataset
from keepfit.engines import Here
from keepfit.home import FOLDER, Home
from keepfit.ledger import Fact, Move, fact, open_ledger
from keepfit.models import skops
from keepfit.models.train import PREDICTION, SIDE
from keepfit.objects import open_objects
from keepfit.packages.package import ENVELOPE, Manifest
from keepfit.packages.sign import sign
from keepfit.serving.client import Client
from keepfit.serving.endpoint import call
from keepfit.serving.gateway import Running, start
from keepfit.serving.settings import ServeSettings

MODEL = "toy"
INPUTS = {
    "at": Column(type="timestamp", role="event time"),
    "x": Column(type="number", missing=0, at_least=-1e6, at_most=1e6),
    "note": Column(type="text"),
    "level": Column(type="category", levels=["low", "high"]),
    "place": Column(type="category"),
}
WEATHER = Dataset(
    name="weather",
    source="weather.parquet",
    columns={
        "seen": Column(type="timestamp", role="event time"),
        "place": Column(type="category", role="key", missing=0),
        "temp": Column(type="number"),
    },
)
CODE = """
import os, time
import polars as pl

def features(toys, weather=None):
    for note in toys["note"].drop_nulls():
        if note == "raise":
            raise ValueError("secret words of the model")
        if note == "hang":
            time.sleep(1000)
        if note == "die":
            os._exit(9)
        if note == "slow":
            time.sleep(0.05)
    extra = pl.lit(0.0) if weather is None else weather["temp"].fill_null(0.0)
    huge = pl.when(pl.col("note") == "inf").then(1e6).otherwise(0.0)
    return toys.select(x=pl.col("x") + extra, huge=huge)
"""
SCHEMA = {"x": "Float64", "huge": "Float64"}


def row(x: float, **other: Any) -> dict[str, Any]:
    """A row to predict: version v answers 1000 v + x (+ the weather's temp)."""
    return {"at": "2013-05-02T10:00:00Z", "x": x, "note": None, "level": "low", "place": "EWR", **other}


def open_home(root: Path) -> Home:
    ledger = open_ledger("sqlite:.keepfit/ledger.db", root)
    return Home(root=root, ledger=ledger, objects=open_objects("folder:.keepfit/objects", root), engine=Here())


def package(
    home: Home,
    version: int,
    *,
    code: str = CODE,
    sides: Sequence[Dataset] = (),
    levels: list[str] | None = None,
    wrong: bool = False,
    expected: float | None = None,
    inputs: dict[str, Column] = INPUTS,
) -> str:
    """Put the package of a version into the objects; `wrong` and `expected` change what its golden rows ask."""
    golden = pl.DataFrame(
        {
            "at": [datetime(2013, 5, 1, h) for h in range(12)],
            "x": [float(i) for i in range(12)],
            "n": list(range(12)),
            "note": pl.Series([None] * 12, dtype=pl.String),
            "level": ["low", "high"] * 6,
            "place": ["EWR"] * 12,
        }
    ).select(list(inputs))
    answers: Any = golden["x"].to_numpy() + 1000 * version + (1 if wrong else 0)
    if expected is not None:
        answers = np.full(12, expected)
    model = _linear(version)
    if levels:
        model, answers = _classifier(len(levels)), np.full((12, len(levels)), 0.0)
        answers = model.predict_proba(np.column_stack([golden["x"].to_numpy(), np.zeros(12)]))
    nothing = {"weather": [{"seen": None, "place": None, "temp": 0.0}] * 12}
    schema = pl.Struct({"seen": pl.Datetime("us"), "place": pl.String, "temp": pl.Float64})
    golden = golden.with_columns(
        *(pl.Series(f"{SIDE}{s.name}", nothing[s.name], dtype=schema) for s in sides), pl.Series(PREDICTION, answers)
    )
    table = io.BytesIO()
    golden.write_parquet(table)
    members = {"code/toys.py": code.encode(), "golden.parquet": table.getvalue(), "model.skops": skops.dump(model, [])}
    manifest = Manifest(
        model=MODEL,
        version=version,
        task="multiclass" if levels else "regression",
        main="toys",
        label="y",
        levels=levels,
        inputs=inputs,
        event_time="at" if "at" in inputs else None,
        sides=list(sides),
        features="toys:features",
        feature_schema=SCHEMA,
        pandas=False,
        trust=[],
        refs={},
        members={name: digest_bytes(content) for name, content in members.items()},
    )
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(ENVELOPE, sign(msgspec.json.encode(manifest), home.folder / "key"))
        for name, content in members.items():
            file.writestr(name, content)
    return home.objects.put(archive.getvalue())


def release(home: Home, version: int, digest: str) -> Fact:
    """Record that this package should be live."""
    name = f"release/{MODEL}"
    before = home.ledger.name(name)
    made = fact(
        "release",
        name,
        time=datetime.now(UTC),
        key=[name, before, digest],
        body={"version": version},
        refs={"package": digest, **({"previous": before} if before else {})},
    )
    return home.ledger.append([made], [Move(name, before, made.id)])[0]


def rollout(
    home: Home,
    version: int,
    digest: str,
    stage: str,
    share: float = 1.0,
    key: str | None = None,
    *,
    live: bool = False,
) -> Fact:
    """Record how far a version has come; `live`: it is the champion from now on."""
    name, pointer = f"release/{MODEL}", f"rollout/{MODEL}"
    before, last = home.ledger.name(name), home.ledger.name(pointer)
    made = fact(
        "rollout",
        name,
        time=datetime.now(UTC),
        key=[pointer, last, digest, stage, share],
        body={"version": version, "stage": stage, "share": share, "key": key},
        refs={"package": digest, **({"previous": last} if last else {})},
    )
    facts, moves = [made], [Move(pointer, last, made.id)]
    if live:
        refs = {"package": digest, **({"previous": before} if before else {})}
        key_, body = [name, before, digest], {"version": version}
        facts.append(fact("release", name, time=datetime.now(UTC), key=key_, body=body, refs=refs))
        moves.append(Move(name, before, facts[1].id))
    return home.ledger.append(facts, moves)[0]


@contextlib.contextmanager
def gateway(root: Path, **settings: Any) -> Iterator[Running]:
    """A gateway for the project in `root`, on any free port."""
    running = start(root, MODEL, ServeSettings(port=0, **settings))
    try:
        yield running
    finally:
        running.stop()


def ask(running: Running, method: str, path: str, value: Any = None) -> Any:
    return call(running.url, running.token, method, path, value)


def predict(running: Running, *rows: dict[str, Any]) -> list[Any]:
    return list(ask(running, "POST", "/predict", {"rows": rows})["predictions"])


def sent(running: Running, body: bytes | Any, *, path: str = "/predict", method: str = "POST") -> tuple[int, Any]:
    """Status and parsed body of one request."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)

    async def send() -> tuple[int, bytes]:
        async with Client(running.url, running.token, 1) as client:
            return await client.request(method, path, content)

    status, answer = asyncio.run(send())
    return status, msgspec.json.decode(answer)


class Heard(NamedTuple):
    """An answer, as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


def talk(running: Running, path: str, body: Any = None, kind: str = "application/json", **headers: str) -> Heard:
    """One request: POST with a body (bytes, or a value for JSON), else GET."""
    at = urlsplit(running.url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=30)
    content = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    told |= {"authorization": f"Bearer {running.token}"} | ({"content-type": kind} if kind and body is not None else {})
    try:
        connection.request("GET" if body is None else "POST", path, content, told)
        answer = connection.getresponse()
        return Heard(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def until(done: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Wait for something to become true; give it back."""
    end = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def log_folder(root: Path) -> Path:
    return root / FOLDER / "serving" / "log"


class Load:
    """Clients that ask for single rows all the time, and check every answer."""

    def __init__(self, running: Running, clients: int = 16) -> None:
        self.statuses: dict[int, int] = {}
        self.versions: set[int] = set()
        self.ids: list[str] = []
        self.wrong: list[Any] = []
        self._running = running
        self._clients = clients
        self._stop = False

    async def during(self, work: Callable[[], Any]) -> Any:
        """Keep asking while `work` runs in a thread."""
        async with Client(self._running.url, self._running.token, self._clients) as client:
            tasks = [asyncio.create_task(self._one(client, k)) for k in range(self._clients)]
            try:
                return await asyncio.to_thread(work)
            finally:
                self._stop = True
                await asyncio.gather(*tasks)

    async def _one(self, client: Client, offset: int) -> None:
        x = offset
        while not self._stop:
            x += self._clients
            try:
                status, body = await client.request("POST", "/predict", msgspec.json.encode({"rows": [row(x)]}))
            except ServingError as problem:
                status, body = 0, str(problem).encode()
            self.statuses[status] = self.statuses.get(status, 0) + 1
            await asyncio.sleep(0.01)
            if status != 200:
                self.wrong.append((status, body))
                continue
            answer = msgspec.json.decode(body)
            self.versions.add(answer["version"])
            self.ids.append(answer["predictions"][0]["id"])
            if answer["predictions"][0]["prediction"] != 1000 * answer["version"] + x:
                self.wrong.append((x, answer))


def _linear(version: int) -> Any:
    from sklearn.linear_model import LinearRegression

    model = LinearRegression()
    model.coef_, model.intercept_, model.n_features_in_ = np.array([1.0, 1e305]), 1000.0 * version, 2
    return model


def _classifier(levels: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    x = np.linspace(0, 12, 60)
    return LogisticRegression().fit(np.column_stack([x, np.zeros(60)]), (x * levels / 12.01).astype(int))
