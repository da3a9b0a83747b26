"""The endpoint as its clients see it: right answers, whatever is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving_kit import MODEL, WEATHER, ask, gateway, log_folder, open_home, package, predict, release, row, sent

from keepfit.core.errors import ServingError
from keepfit.features.join import align
from keepfit.serving.client import Client
from keepfit.serving.endpoint import endpoint, sync
from keepfit.serving.gateway import Running, start
from keepfit.serving.labels import new_levels
from keepfit.serving.log import find_prediction, read_log
from keepfit.serving.records import Records
from keepfit.serving.settings import ServeSettings


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    home = open_home(root)
    release(home, 1, package(home, 1, sides=[WEATHER]))
    return root


@pytest.fixture(scope="module")
def running(root: Path) -> Iterator[Running]:
    with gateway(root, max_rows=2000, max_body=1_000_000) as running:
        yield running


def test_rows_and_columns_get_the_same_answers(running: Running) -> None:
    rows = [row(x) for x in range(5)]
    by_row = ask(running, "POST", "/predict", {"rows": rows})
    by_column = ask(running, "POST", "/predict", {"columns": {k: [r[k] for r in rows] for k in rows[0]}})
    assert [p["prediction"] for p in by_row["predictions"]] == [1000 + x for x in range(5)]
    assert [p["prediction"] for p in by_column["predictions"]] == [1000 + x for x in range(5)]
    assert (by_row["model"], by_row["version"]) == (MODEL, 1)


def test_ids_are_unique_and_in_order_of_time(running: Running) -> None:
    ids = [p["id"] for _ in range(3) for p in predict(running, *[row(1)] * 700)]
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)


def test_one_bad_row_fails_alone_and_nothing_of_the_model_leaks(running: Running) -> None:
    rows = [row(1), row(2, note="raise"), row(3, note="inf"), row("4"), row(5)]
    status, answer = sent(running, {"rows": rows})
    assert status == 200
    assert [p.get("prediction") for p in answer["predictions"]] == [1001, None, None, None, 1005]
    codes = [p["error"]["code"] for p in answer["predictions"][1:4]]
    assert codes == ["model-failed", "not-finite", "invalid-value"]
    assert answer["predictions"][3]["error"]["path"] == "$.rows[3].x"
    status, answer = sent(running, {"rows": [row(2, note="raise")]})
    assert (status, answer["error"]["code"]) == (422, "model-failed")
    assert "secret" not in str(answer)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "json"),
        ({"rows": []}, 422, "invalid-body"),
        ({"rows": [row(1, level="middle")]}, 422, "invalid-value"),
        ({"rows": [row(1e7)]}, 422, "invalid-value"),
        ({"rows": [row(1, y=1)]}, 422, "unknown-feature"),
        ({"rows": [row(1)] * 2001}, 413, "too-many-rows"),
        (b" " * 1_000_001, 413, "too-large"),
    ],
)
def test_bad_requests_are_refused(running: Running, body: Any, status: int, code: str) -> None:
    got, answer = sent(running, body)
    assert (got, answer["error"]["code"]) == (status, code)


def test_a_client_may_name_its_predictions_and_keep_them_out_of_the_log(running: Running, root: Path) -> None:
    status, answer = sent(running, {"rows": [row(1), row("bad"), row(2)], "ids": ["one", "bad", "two"]})
    assert status == 200
    assert [p.get("id") for p in answer["predictions"]] == ["one", None, "two"]
    sent(running, {"rows": [row(3)], "ids": ["unlogged"]}, path="/predict?log=off")
    assert find_prediction(log_folder(root), "two")["prediction"] == 1002  # type: ignore[index]
    ask(running, "POST", "/control/sync")
    logged = read_log(log_folder(root))
    assert {"one", "two"} <= set(logged["id"])
    assert not {"unlogged", "bad"} & set(logged["id"])
    one = logged.row(by_predicate=pl.col("id") == "one", named=True)
    assert (one["x"], one["version"], one["model"]) == (1.0, 1, MODEL)
    assert one["event_time"] == datetime(2013, 5, 2, 10)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(-1000, 1000) | st.just(None), min_size=1, max_size=6), min_size=5, max_size=60))
def test_no_row_gets_the_answer_of_another(running: Running, requests: list[list[int | None]]) -> None:
    async def check() -> None:
        async with Client(running.url, running.token, 32) as client:
            bodies = [{"rows": [row(x if x is not None else "bad") for x in xs]} for xs in requests]
            tasks = [client.request("POST", "/predict", msgspec.json.encode(body)) for body in bodies]
            for xs, (status, answer) in zip(requests, await asyncio.gather(*tasks), strict=True):
                if all(x is None for x in xs):
                    assert status == 422
                    continue
                got = [p.get("prediction") for p in msgspec.json.decode(answer)["predictions"]]
                assert got == [None if x is None else 1000 + x for x in xs]

    asyncio.run(check())


def test_labels_are_stored_once_however_often_they_are_delivered(running: Running, root: Path) -> None:
    ids = [p["id"] for p in predict(running, row(1), row(2))]
    for label in (3, 3, 4.5):
        body = {"labels": [{"id": ids[0], "label": label}, {"id": ids[1], "label": 7}]}
        assert ask(running, "POST", "/labels", body) == {"stored": 2}
    assert ask(running, "POST", "/labels", {"labels": [{"id": "not-yet", "label": 1}]}) == {"stored": 1}
    with Records(root / ".keepfit" / "serving" / "records.db") as records:
        assert records.labels_of(ids) == {ids[0]: 4.5, ids[1]: 7}


def test_a_label_that_is_null_takes_back_what_was_told(running: Running, root: Path) -> None:
    ids = [p["id"] for p in predict(running, row(1), row(2))]
    for label in (3, None):
        assert ask(running, "POST", "/labels", {"labels": [{"id": ids[0], "label": label}]}) == {"stored": 1}
    with Records(root / ".keepfit" / "serving" / "records.db") as records:
        assert records.labels_of(ids) == {ids[0]: None}


def test_levels_that_the_model_does_not_know_are_taken_and_told() -> None:
    labels = {("", "a"): "low", ("", "b"): "lwo", ("", "c"): "lwo", ("", "d"): None}
    assert new_levels(labels, ["low", "high"]) == {"lwo": 2}
    assert new_levels({("", "a"): 1.5}, None) == {}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "$"),
        ({"labels": {"a": 1}}, "$.labels"),
        ({"labels": [{"id": "a"}]}, "$.labels[0]"),
        ({"labels": [{"id": "a", "label": 1}, {"id": 3, "label": 1}]}, "$.labels[1].id"),
        ({"labels": [{"id": "", "label": 1}]}, "$.labels[0].id"),
        ({"labels": [{"id": "a", "label": "x"}]}, "$.labels[0].label"),
        ({"labels": [{"id": "a", "label": True}]}, "$.labels[0].label"),
    ],
)
def test_wrong_labels_are_refused_whole(running: Running, root: Path, body: Any, path: str) -> None:
    status, answer = sent(running, body, path="/labels")
    assert (status, answer["error"]["code"], answer["error"]["path"]) == (422, "invalid-label", path)
    with Records(root / ".keepfit" / "serving" / "records.db") as records:
        assert records.labels_of(["a"]) == {}


def weather(hour: int, place: str, temp: float) -> dict[str, Any]:
    return {"seen": f"2013-05-02T{hour:02}:00:00Z", "place": place, "temp": temp}


def test_side_rows_are_joined_as_in_training(running: Running) -> None:
    side = [weather(8, "EWR", 1), weather(9, "EWR", 2), weather(11, "EWR", 4), weather(10, "JFK", 8)]
    assert ask(running, "PUT", "/rows/weather", {"rows": side}) == {"stored": 4}
    asked = [("EWR", 8), ("EWR", 10), ("EWR", 12), ("JFK", 9), ("JFK", 10), ("LGA", 10), (None, 10)]
    rows = [row(0, place=place, at=f"2013-05-02T{hour:02}:30:00Z") for place, hour in asked]
    main = pl.DataFrame([(datetime(2013, 5, 2, h, 30), p) for p, h in asked], schema=["at", "place"], orient="row")
    seen = [(datetime.fromisoformat(s["seen"][:-1]), s["place"], float(s["temp"])) for s in side]
    offline = align(main, "at", WEATHER, pl.DataFrame(seen, schema=["seen", "place", "temp"], orient="row"))
    assert [p["prediction"] - 1000 for p in predict(running, *rows)] == offline["temp"].fill_null(0).to_list()
    ask(running, "PUT", "/rows/weather", {"columns": {"seen": ["2013-05-02T10:15:00"], "place": ["EWR"], "temp": [64]}})
    assert [p["prediction"] - 1000 for p in predict(running, *rows[:3])] == [1, 64, 4]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/rows/wether", {"rows": [weather(1, "EWR", 1)]}, 404, "no-dataset"),
        ("/rows/", {"rows": [weather(1, "EWR", 1)]}, 404, "no-dataset"),
        ("/rows/weather", {"rows": [weather(1, "ZZZ", 1), {"seen": "x"}]}, 422, "missing-feature"),
        ("/rows/weather", {"rows": [{**weather(1, "ZZZ", 1), "place": None}]}, 422, "invalid-value"),
    ],
)
def test_wrong_side_rows_change_nothing(running: Running, path: str, body: Any, status: int, code: str) -> None:
    got, answer = sent(running, body, path=path, method="PUT")
    assert (got, answer["error"]["code"]) == (status, code)
    assert predict(running, row(0, place="ZZZ"))[0]["prediction"] == 1000


def test_side_rows_stored_by_another_process_are_taken_up_at_sync(running: Running, root: Path) -> None:
    from keepfit.serving.rows import online_rows

    with Records(root / ".keepfit" / "serving" / "records.db") as records:
        records.store_rows("weather", online_rows(WEATHER, [(datetime(2013, 5, 1), "BOS", 16.0)]))
    assert predict(running, row(0, place="BOS"))[0]["prediction"] == 1000
    assert ask(running, "POST", "/control/sync", {})["problems"] == []
    assert predict(running, row(0, place="BOS"))[0]["prediction"] == 1016


def test_the_endpoint_says_what_it_is(running: Running, root: Path) -> None:
    told = ask(running, "GET", "/model")
    assert (told["model"], told["version"], told["previous"], told["refused"]) == (MODEL, 1, None, None)
    assert told["inputs"]["x"] == {"type": "number", "at_least": -1e6, "at_most": 1e6, "null": False}
    assert told["outputs"] == {"task": "regression", "label": "y", "levels": None}
    assert told["sides"] == {"weather": ["seen", "place", "temp"]}
    assert ask(running, "GET", "/health/ready") == {"ready": True}
    assert ask(running, "GET", "/health/live") == {"live": True}
    page = ask(running, "GET", "/metrics")
    lines = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    assert float(lines["keepfit_live_version"]) == 1
    assert float(lines['keepfit_requests_total{status="200"}']) > 0
    assert float(lines["keepfit_request_seconds_count"]) == float(lines['keepfit_request_seconds_bucket{le="+Inf"}'])
    assert float(lines["keepfit_log_dropped_rows_total"]) == 0
    home = open_home(root)
    assert endpoint(home).url == running.url  # type: ignore[union-attr]
    assert sync(home)["version"] == 1  # type: ignore[index]


def test_a_second_gateway_is_refused(running: Running, root: Path) -> None:
    with pytest.raises(ServingError, match="another gateway serves this project"):
        start(root, MODEL, ServeSettings(port=0))


def test_a_wrong_token_or_name_is_refused(running: Running) -> None:
    async def check() -> None:
        async with Client(running.url, "wrong", 1) as client:
            assert (await client.request("POST", "/predict", b"{}"))[0] == 401
            assert (await client.request("GET", "/health/ready"))[0] == 200
        other = running.url.replace("127.0.0.1", "localhost")
        async with Client(other, running.token, 1) as client:
            assert (await client.request("GET", "/model"))[0] == 200
        async with Client(running.url.replace("127.0.0.1", "127.0.0.2"), running.token, 1) as client:
            with pytest.raises(ServingError):
                await client.request("GET", "/model")

    asyncio.run(check())


def test_levels_come_with_their_probabilities(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    release(home, 1, package(home, 1, levels=["high", "low", "mid"]))
    with gateway(tmp_path) as running:
        answers = predict(running, row(0), row(12))
        for answer in answers:
            assert list(answer["probabilities"]) == ["high", "low", "mid"]
            assert answer["prediction"] == max(answer["probabilities"], key=answer["probabilities"].get)
            assert sum(answer["probabilities"].values()) == pytest.approx(1)
        assert [a["prediction"] for a in answers] == ["high", "mid"]
        ask(running, "POST", "/labels", {"labels": [{"id": answers[0]["id"], "label": "low"}]})
        assert sent(running, {"labels": [{"id": "a", "label": 1}]}, path="/labels")[0] == 422
    logged = read_log(log_folder(tmp_path), datetime(2013, 5, 2, tzinfo=UTC))
    assert logged["prediction"].to_list() == ["high", "mid"]
    assert logged["probabilities"].to_list() == [list(a["probabilities"].values()) for a in answers]
