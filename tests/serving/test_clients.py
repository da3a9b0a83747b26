"""Clients that nobody here wrote, against a real endpoint."""

from __future__ import annotations

import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from serving_kit import MODEL, ask, gateway, open_home, package, release, row, until

from keepfit.serving.gateway import Running

GUIDE = Path(__file__).parents[2] / "docs" / "serving.md"
ROWS = [row(1.0, note="a"), row(2.0, note="b")]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("project")
    home = open_home(root)
    release(home, 1, package(home, 1))
    release(home, 2, package(home, 2))
    with gateway(root, key="place") as running:
        until(lambda: ask(running, "GET", "/model")["previous"])
        yield running


def needs(module: str, install: str) -> pytest.MarkDecorator:
    """Skips the test where the client is not installed."""
    found = importlib.util.find_spec(module.partition(".")[0]) is not None
    return pytest.mark.skipif(not found, reason=f"pip install {install}")


def script(running: Running, text: str, **environment: str) -> str:
    """What a client's program prints, in a process of its own: its warnings are not ours."""
    at = urlsplit(running.url)
    told = {"URL": running.url, "PLACE": at.netloc, "TOKEN": running.token, "ROWS": repr(ROWS), **environment}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", text],
        env={**os.environ, **told},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


TRITON = """
import os
import numpy as np
import tritonclient.http as triton

bearer = {"Authorization": "Bearer " + os.environ["TOKEN"]}
rows = eval(os.environ["ROWS"])
client = triton.InferenceServerClient(os.environ["PLACE"])
assert client.is_server_live() and client.is_server_ready()
assert client.is_model_ready("toy", headers=bearer) and client.is_model_ready("toy", "1", headers=bearer)
assert "binary_tensor_data" in client.get_server_metadata(headers=bearer)["extensions"]
told = client.get_model_metadata("toy", headers=bearer)
for binary in (True, False):
    inputs = []
    for tensor in told["inputs"]:
        values = [row[tensor["name"]] for row in rows]
        array = np.array(values, np.float64 if tensor["datatype"] == "FP64" else object)
        one = triton.InferInput(tensor["name"], [2], tensor["datatype"])
        one.set_data_from_numpy(array, binary_data=binary)
        inputs.append(one)
    for version in ("", "1"):
        outputs = [triton.InferRequestedOutput(n, binary_data=binary) for n in ("prediction", "id")]
        for wanted in (outputs, None):
            answer = client.infer("toy", inputs, version, outputs=wanted, request_id="mine", headers={**bearer})
            assert answer.get_response()["id"] == "mine"
            assert len(answer.as_numpy("id")) == 2
            print(answer.as_numpy("prediction").tolist())
try:
    client.infer("toy", inputs[1:], headers={**bearer})
except triton.InferenceServerException as problem:
    print(problem.status(), problem.message())
"""


@needs("tritonclient", "'tritonclient[http]'")
def test_tritons_client(running: Running) -> None:
    *answers, error = script(running, TRITON).splitlines()
    assert answers == ["[2001.0, 2002.0]", "[2001.0, 2002.0]", "[1001.0, 1002.0]", "[1001.0, 1002.0]"] * 2
    assert error.startswith("422 the feature `at` is missing at $.inputs.at")


MLFLOW = """
import os
import pandas as pd
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

host, port = os.environ["PLACE"].split(":")
client = ScoringServerClient(host, port)
client.ping()
rows = pd.DataFrame(eval(os.environ["ROWS"]))
print(client.invoke(rows).get_predictions()[0].tolist())
print(client.invoke(rows.assign(at=pd.to_datetime(rows["at"])), params={"a": 1}).get_predictions()[0].tolist())
print(client.get_version())
try:
    client.invoke(rows.assign(x="one"))
except Exception as problem:
    print(problem)
"""


@needs("mlflow", "mlflow-skinny fastapi")
@needs("fastapi", "mlflow-skinny fastapi")
def test_mlflows_scoring_client(running: Running, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"  # the client sends no token of its own; its requests reads this file
    netrc.write_text(f"machine 127.0.0.1 login keepfit password {running.token}\n")
    *answers, version, error = script(running, MLFLOW, NETRC=str(netrc)).splitlines()
    assert answers == ["[2001.0, 2002.0]"] * 2
    assert version.startswith("0.")
    assert "error code 422" in error
    assert "$.dataframe_split.data[0][1]" in error


def test_pandas_reads_and_writes(running: Running) -> None:
    pandas = pytest.importorskip("pandas")
    pyarrow = pytest.importorskip("pyarrow")
    from serving_kit import talk

    from keepfit.serving.dialects.arrow import TYPE

    rows = pandas.DataFrame(ROWS)
    rows["at"] = pandas.to_datetime(rows["at"])
    table = pyarrow.Table.from_pandas(rows, preserve_index=False)
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    answer = talk(running, "/predict", sink.getvalue().to_pybytes(), TYPE)
    assert pyarrow.ipc.open_stream(answer.body).read_all()["prediction"].to_pylist() == [2001, 2002]
    text = talk(running, "/predict", rows.to_csv(index=False).encode(), "text/csv").body
    assert pandas.read_csv(io.BytesIO(text))["prediction"].to_list() == [2001, 2002]
    answer = talk(
        running, "/invocations", f'{{"dataframe_split": {rows.to_json(orient="split", date_format="iso")}}}'.encode()
    )
    assert answer.json == {"predictions": [2001, 2002]}


def examples() -> list[tuple[str, str]]:
    """The curl commands of the guide, and what it says they answer."""
    return re.findall(r"```sh\n(curl .*?)```\n\n```\n(.*?)\n```", GUIDE.read_text(), re.DOTALL)


@pytest.mark.skipif(shutil.which("curl") is None, reason="apt install curl")
@pytest.mark.parametrize(("command", "answer"), examples(), ids=lambda text: text.splitlines()[0][:60])
def test_the_curl_lines_of_the_guide(running: Running, command: str, answer: str) -> None:
    environment = {**os.environ, "URL": running.url, "TOKEN": running.token}
    done = subprocess.run(["sh", "-ec", command], env=environment, capture_output=True, text=True, timeout=60)
    got = re.sub(r"p-[0-9a-f]{24}", "p-01a2...", done.stdout.strip())
    assert re.sub(r"release-[0-9a-f]{16}", "release-5c...", got) == answer, done.stderr


def test_the_guide_has_a_line_for_every_dialect() -> None:
    text = "".join(command for command, _ in examples())
    for path in (
        "/predict",
        f"/v2/models/{MODEL}/infer",
        "/invocations",
        "/openapi.json",
        "/labels",
        "/model",
        "/health",
    ):
        assert path in text
