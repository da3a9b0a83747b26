"""Serving on one core: rows and CPU beside the bare HTTP parser, the bare model, and MLServer where it is installed.

Server and model share one core, the client has another. The same model everywhere: HistGradientBoosting, 100 trees,
30 features, not converted; here with everything on: validation, ids, metrics, log.

    KEEPFIT_MLSERVER=/path/to/bin/mlserver    MLServer with mlserver-sklearn, in a venv of its own
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

from keepfit.loadtest.fire import Target, fire
from keepfit.loadtest.load import Figures
from keepfit.loadtest.load import Load as Sent
from keepfit.loadtest.questions import Questions

SERVER, CLIENT = 0, 1
"""The cores."""
FEATURES = 30
ROWS = 256
SECONDS = 3.0
ROUNDS = 3

TOML = """
model = "bench"

[data.rows]
from  = "rows.parquet"
{columns}
label = {{ type = "bool", role = "label" }}

[train]
fit = "model:train"

[check]
brier = {{ at_most = 1.0 }}

[serve]
port = 0
"""
CODE = """
from sklearn.ensemble import HistGradientBoostingClassifier

def train(X, y, seed: int):
    return HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=seed).fit(X, y)
"""
SKELETON = """
import asyncio, httptools, socket, uvloop
BODY = b'{"id":"p-0","prediction":0.5}'
HEAD = b"HTTP/1.1 200 OK\\r\\ncontent-length: %d\\r\\ncontent-type: application/json\\r\\n\\r\\n" % len(BODY)
class Connection(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.parser, self.parts = transport, httptools.HttpRequestParser(self), []
    def data_received(self, data):
        self.parser.feed_data(data)
    def on_body(self, body):
        self.parts.append(body)
    def on_message_complete(self):
        asyncio.get_running_loop().create_task(self.answer(b"".join(self.parts)))
        self.parts = []
    async def answer(self, body):
        self.transport.write(HEAD + BODY)
async def main():
    sock = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{sock.getsockname()[1]}", flush=True)
    await (await asyncio.get_running_loop().create_server(Connection, sock=sock)).serve_forever()
uvloop.run(main())
"""


class Server(NamedTuple):
    """Something that answers, and what its processes cost."""

    url: str
    token: str
    pid: int

    def cpu(self) -> float:
        """CPU seconds of the process and all below it."""
        return sum(_cpu(pid) for pid in _family(self.pid))


class Load(NamedTuple):
    """A way of asking."""

    title: str
    path: str
    body: bytes
    kind: str
    rows: int
    connections: int


class Figure(NamedTuple):
    """Medians over the rounds."""

    rate: float
    """Rows a second of wall clock."""
    cost: float
    """Microseconds of the server's CPU for each row."""
    median: float
    """Milliseconds."""
    p99: float


def main() -> None:
    os.sched_setaffinity(0, {CLIENT})
    values = np.random.default_rng(0).normal(size=(20_000, FEATURES)).round(4)
    names = [f"f{i}" for i in range(FEATURES)]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_project(root, names, values)
        rows = pl.DataFrame(values[:ROWS], names)
        with _skeleton() as bare:
            floor = {load.title: _measure(bare, load) for load in _loads(rows)}
        with _keepfit(root) as server:
            ours = {load.title: _measure(server, load) for load in _loads(rows)}
        print(f"{'':<28} {'rows/s':>9} {'CPU us/row':>11} {'p50 ms':>8} {'p99 ms':>8}   CPU beside bare HTTP and model")
        model = _model(root, values)
        for load in _loads(rows):
            least = floor[load.title].cost + model[load.rows]
            _print(f"keepfit {load.title}", ours[load.title], f"{ours[load.title].cost / least:5.2f} x")
            _print("  bare HTTP, no model", floor[load.title], "")
        for rows_at_once, cost in model.items():
            print(f"  the model alone, {rows_at_once} rows at once: {cost:.1f} us/row, {1e6 / cost:,.0f} rows/s a core")
        _beside_mlserver(root, rows, ours)


def _loads(rows: pl.DataFrame) -> list[Load]:
    one = json.dumps({"rows": rows[:1].to_dicts()}).encode()
    many = json.dumps({"rows": rows.to_dicts()}).encode()
    columns = json.dumps({"columns": rows.to_dict(as_series=False)}).encode()
    stream = io.BytesIO()
    rows.write_ipc_stream(stream)
    arrow = "application/vnd.apache.arrow.stream"
    return [
        Load("1 row, 64 connections", "/predict", one, "application/json", 1, 64),
        Load("1 row, 1 connection", "/predict", one, "application/json", 1, 1),
        Load(f"{ROWS} rows as JSON", "/predict", many, "application/json", ROWS, 4),
        Load(f"{ROWS} columns as JSON", "/predict", columns, "application/json", ROWS, 4),
        Load(f"{ROWS} rows as Arrow", "/predict", stream.getvalue(), arrow, ROWS, 4),
    ]


def _measure(server: Server, load: Load) -> Figure:
    target = Target(server.url, server.token, load.path, load.kind)

    def run(seconds: float) -> Figures:
        figures = fire(target, _Unjudged([load.body], {}), Sent(connections=load.connections, seconds=seconds))
        if figures.failed:
            sys.exit(f"{load.title}: {figures.examples}")
        return figures

    found = []
    run(0.5)
    for _ in range(ROUNDS):
        before = server.cpu()
        figures = run(SECONDS)
        rows = figures.sent * load.rows
        cost = (server.cpu() - before) / rows * 1e6
        found.append((rows / figures.seconds, cost, figures.latency["p50"] * 1e3, figures.latency["p99"] * 1e3))
    return Figure(*(statistics.median(some) for some in zip(*found, strict=True)))


class _Unjudged(Questions):
    """Peers answer in other words: only the status counts."""

    def judge(self, question: int, body: bytes) -> tuple[str, str]:
        return "", ""


def _model(root: Path, values: np.ndarray) -> dict[int, float]:
    """CPU microseconds a row that the model itself takes, on one thread."""
    code = (
        "import pickle, sys, time, numpy as np\n"
        "model = pickle.load(open(sys.argv[1], 'rb'))\n"
        "x = np.load(sys.argv[2])[:int(sys.argv[3])]\n"
        "model.predict_proba(x); costs = []\n"
        "for _ in range(50):\n"
        "    begun = time.process_time(); model.predict_proba(x); costs.append(time.process_time() - begun)\n"
        "print(sorted(costs)[25] / len(x) * 1e6)\n"
    )
    np.save(root / "x.npy", values)
    command = [sys.executable, "-c", code, str(root / "model.pickle"), str(root / "x.npy")]
    run = {n: subprocess.run([*command, str(n)], env=one_thread(), capture_output=True, check=True) for n in (1, ROWS)}
    return {n: float(done.stdout) for n, done in run.items()}


@contextlib.contextmanager
def _keepfit(root: Path) -> Iterator[Server]:
    keepfit = [sys.executable, "-m", "keepfit"]
    done = subprocess.run([*keepfit, "retrain", "--json"], cwd=root, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    with _pinned([*keepfit, "serve"], root) as process:
        file = root / ".keepfit" / "serving" / "endpoint.json"
        _until(file.exists, process)
        yield Server(json.loads(file.read_text())["url"], (root / ".keepfit" / "token").read_text(), process.pid)


@contextlib.contextmanager
def _skeleton() -> Iterator[Server]:
    with _pinned([sys.executable, "-c", SKELETON], Path.cwd(), stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield Server(process.stdout.readline().decode().strip(), "", process.pid)


def _beside_mlserver(root: Path, rows: pl.DataFrame, ours: dict[str, Figure]) -> None:
    """The same rows as one tensor, as MLServer's own clients send them."""
    program = os.environ.get("KEEPFIT_MLSERVER")
    if program is None:
        print("MLServer: skipped; pip install mlserver mlserver-sklearn in a venv, and set KEEPFIT_MLSERVER")
        return
    folder = root / "mlserver"
    folder.mkdir()
    settings = {"http_port": 18080, "grpc_port": 18081, "metrics_port": 18082, "parallel_workers": 0, "debug": False}
    model = {"name": "bench", "implementation": "mlserver_sklearn.SKLearnModel"}
    model |= {"parameters": {"uri": str(root / "model.pickle"), "version": "1"}}
    (folder / "settings.json").write_text(json.dumps({**settings, "host": "127.0.0.1"}))
    (folder / "model-settings.json").write_text(json.dumps(model))
    with _pinned([program, "start", str(folder)], folder, stdout=subprocess.DEVNULL) as process:
        server = Server("http://127.0.0.1:18080", "", process.pid)
        _until(lambda: _answers(f"{server.url}/v2/models/bench/ready"), process)
        for title, some, connections in (
            ("1 row, 64 connections", rows[:1], 64),
            ("1 row, 1 connection", rows[:1], 1),
            (f"{ROWS} rows as JSON", rows, 4),
        ):
            data = [value for row in some.rows() for value in row]
            tensor = {"name": "x", "shape": [some.height, FEATURES], "datatype": "FP64", "data": data}
            body = json.dumps({"inputs": [tensor], "outputs": [{"name": "predict_proba"}]}).encode()
            load = Load(title, "/v2/models/bench/infer", body, "application/json", some.height, connections)
            theirs = _measure(server, load)
            mine = ours[title]
            ratios = f"keepfit: {mine.rate / theirs.rate:.1f} x the rows/s, CPU / {theirs.cost / mine.cost:.1f}"
            _print(f"MLServer {title}", theirs, f"{ratios}, p50 / {theirs.median / mine.median:.1f}")


def write_project(root: Path, names: list[str], values: np.ndarray) -> None:
    label = values[:, 0] + values[:, 1] * values[:, 2] > 0
    pl.DataFrame(values, names).with_columns(label=pl.Series(label)).write_parquet(root / "rows.parquet")
    columns = "\n".join(f'{name} = {{ type = "number" }}' for name in names)
    (root / "keepfit.toml").write_text(TOML.format(columns=columns))
    (root / "model.py").write_text(CODE)
    model = HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=0).fit(values, label)
    (root / "model.pickle").write_bytes(pickle.dumps(model))


@contextlib.contextmanager
def _pinned(command: list[str], cwd: Path, stdout: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        ["taskset", "-c", str(SERVER), *command], cwd=cwd, env=one_thread(), stdout=stdout, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def one_thread() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}


def _until(done: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while not done():
        if process.poll() is not None or time.monotonic() > end:
            sys.exit("the server did not start")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200  # type: ignore[no-any-return]
    except (OSError, urllib.error.URLError):
        return False


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(p for child in children for p in _family(int(child)))]


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _print(title: str, figure: Figure, told: str) -> None:
    rate, cost, median, p99 = figure
    print(f"{title:<28} {rate:>9,.0f} {cost:>11.1f} {median:>8.2f} {p99:>8.2f}   {told}")
