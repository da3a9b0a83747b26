"""A result made again from what was kept is the same bit for bit, and where it is not, one is told where and why."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import polars as pl
import pytest
import shop_kit

from keepfit import steps
from keepfit.cli.run import run as command
from keepfit.core.digests import digest_bytes
from keepfit.core.errors import NotFound, StoreError, UsageError
from keepfit.home import Home
from keepfit.ledger import Query
from keepfit.models.model import ModelVersion, find_model
from keepfit.objects import Objects, read
from keepfit.packages.load import load
from keepfit.packages.sign import opened
from keepfit.packages.unpack import unpack
from keepfit.project import home, load_project
from keepfit.releases.release import record_release
from keepfit.reproduction import reproduce as module
from keepfit.reproduction.proof import ENVELOPE_TYPE, Proof
from keepfit.reproduction.reproduce import reproduce
from keepfit.runs.environment import Package, complete, read_environment
from keepfit.runs.run import find_run
from keepfit.serving.journal import Journal, Source, packed


class Shops:
    """Trained projects, each in a folder of its own; what is trained alike is trained once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Path] = {}
        self.homes: list[Home] = []

    def open(self, folder: Path, fit: str, **settings: Any) -> tuple[Home, ModelVersion]:
        key = f"{fit} {settings}"
        if key not in self._made:
            made = shop_kit.write(self._folder / str(len(self._made)), fit, **settings)
            project = load_project(made)
            place = home(project)
            steps.train(project, place)
            place.ledger.close()
            self._made[key] = made
        shutil.copytree(self._made[key], folder, dirs_exist_ok=True, copy_function=shutil.copy2)
        place = home(load_project(folder))
        self.homes.append(place)
        return place, find_model(place, "shop", "challenger")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Shops:
    return Shops(tmp_path_factory.mktemp("shops"))


@pytest.fixture
def shops(made: Shops) -> Iterator[Shops]:
    yield made
    while made.homes:
        made.homes.pop().ledger.close()


def everything(place: Home) -> object:
    """All that reproducing must leave alone."""
    files = {p.relative_to(place.root).as_posix(): p.read_bytes() for p in place.root.rglob("*") if p.is_file()}
    facts = [f.id for f in place.ledger.find(Query(limit=1000)) if f.kind != "reproduced"]
    return {n: c for n, c in files.items() if not n.startswith(".keepfit")}, facts, place.ledger.names("")


@pytest.mark.parametrize("fit", ["linear", "forest", "hist", "lightgbm", "xgboost"])
def test_every_library_repeats_in_a_fresh_process_and_another_folder(tmp_path: Path, shops: Shops, fit: str) -> None:
    place, model = shops.open(tmp_path, fit)
    before = everything(place)
    proof, envelope = reproduce(place, "shop", "challenger")
    assert proof.equal, proof
    assert proof.how == "current" and not proof.changes and proof.machine
    assert {o.name for o in proof.outputs} == set(find_run(place, model.run).outputs)
    assert all(o.equal for o in proof.outputs)
    assert everything(place) == before
    assert not list((place.folder / "work").glob("*/"))
    (recorded,) = place.ledger.find(Query(kind="reproduced"))
    assert recorded.id == proof.id and recorded.refs["run"] == model.run and recorded.attributes["equal"] == 1
    assert read(place.objects, recorded.refs["proof"]) == envelope


def test_the_proof_is_a_signed_statement(tmp_path: Path, shops: Shops) -> None:
    place, model = shops.open(tmp_path, "linear")
    _, envelope = reproduce(place, "shop", model.id)
    told = json.loads(opened(envelope, place.folder / "key", ENVELOPE_TYPE))
    assert told["_type"] == "https://in-toto.io/Statement/v1"
    assert told["predicate"]["equal"] and told["predicate"]["run"]["id"] == model.run
    digests = {s["name"]: s["digest"]["blake3"] for s in told["subject"]}
    assert digests == find_run(place, model.run).outputs
    assert all(len(s["digest"]["sha256"]) == 64 for s in told["subject"])


def test_code_that_changed_since_is_restored(tmp_path: Path, shops: Shops) -> None:
    place, _ = shops.open(tmp_path, "linear")
    (tmp_path / "shop.py").write_text("broken (")
    (tmp_path / "data" / "visits.csv").write_text("at\n")
    assert reproduce(place, "shop", "shop@1")[0].equal


def predicted(place: Home, name: str, package: str, live: str, *, wrong: float = 0.0) -> str:
    """A prediction in the log, as an endpoint would have answered; its id."""
    folder = place.folder / "pins" / "x"
    unpack(place, package, folder)
    scorer = load(folder)
    row = scorer.golden().head(1)
    inputs = row.select(list(scorer.manifest.inputs))
    values = (scorer.predict(inputs, {}) + wrong).tolist()
    types = {n: c.type for n, c in scorer.manifest.inputs.items()}
    at = int(inputs["at"].dt.timestamp("us")[0])
    columns = [[at] if t == "timestamp" else inputs[n].to_list() for n, t in types.items()]
    journal = Journal(place.folder / "serving" / "log", "00000000")
    journal.turn()
    source = packed(Source(name, 1, live, types, "at", None))
    journal.append(source, ["p-asked"], msgspec.msgpack.encode(columns), values)
    journal.close()
    return "p-asked"


def test_package_release_and_prediction_lead_to_the_same_run(tmp_path: Path, shops: Shops) -> None:
    place, model = shops.open(tmp_path, "lightgbm")
    package = steps.package(place, model)
    live = record_release(place, "shop", package.refs, package.body["version"], "first", None)
    for reference in (package.id, live.id, "champion"):
        proof, _ = reproduce(place, "shop", reference)
        assert proof.equal and proof.run == model.run
    asked = predicted(place, "shop", package.refs["package"], live.id)
    proof, _ = reproduce(place, "shop", asked)
    assert proof.equal, proof
    names = [o.name for o in proof.outputs]
    assert names[-1] == "prediction p-asked" and "model.chain.zip in the package" in names
    assert proof.outputs[-1].recorded == proof.outputs[-1].made != ""


def test_an_answer_that_was_another_is_told(tmp_path: Path, shops: Shops) -> None:
    place, model = shops.open(tmp_path, "linear")
    package = steps.package(place, model)
    live = record_release(place, "shop", package.refs, package.body["version"], "first", None)
    asked = predicted(place, "shop", package.refs["package"], live.id, wrong=1e-16)
    proof, _ = reproduce(place, "shop", asked)
    assert not proof.equal and proof.difference.startswith("prediction p-asked: ")
    assert "is not what this run made" in proof.cause


def test_a_run_keeps_evidence(tmp_path: Path, shops: Shops) -> None:
    place, model = shops.open(tmp_path, "linear")
    run = find_run(place, model.run)
    evidence = run.evidence
    assert evidence.machine and evidence.machine.cpu and evidence.machine.blas and not evidence.machine.modules
    named = read_environment(place.objects, run.environment).packages
    whole = read_environment(place.objects, evidence.installed).packages
    assert named.items() < whole.items() and "pytest" in whole
    assert set(evidence.beyond) <= whole.keys() and not named.keys() & set(evidence.beyond)
    assert all(place.objects.has(digest) for digest in evidence.refs.values())


def test_what_does_not_repeat_is_told_with_place_and_cause(tmp_path: Path, shops: Shops) -> None:
    place, _ = shops.open(tmp_path, "unseeded")
    proof, envelope = reproduce(place, "shop", "challenger")
    assert not proof.equal and envelope
    assert proof.difference.startswith(("test.parquet: column", "golden.parquet: column"))
    assert "does not repeat here either" in proof.cause and "seed" in proof.hint
    assert place.ledger.find(Query(kind="reproduced"))[0].attributes["equal"] == 0


class Flipped:
    """A store in which one object has a flipped bit."""

    def __init__(self, whole: Objects, digest: str) -> None:
        self._whole = whole
        self._digest = digest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def file(self, digest: str) -> Path | None:
        return None if digest == self._digest else self._whole.file(digest)

    def open(self, digest: str) -> BinaryIO:
        if digest != self._digest:
            return self._whole.open(digest)
        content = read(self._whole, digest)
        return io.BytesIO(bytes([content[0] ^ 1]) + content[1:])


@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_an_object_that_was_lost_or_damaged_is_named(tmp_path: Path, shops: Shops, harm: str) -> None:
    place, model = shops.open(tmp_path, "linear")
    digest = digest_bytes((tmp_path / "data" / "visits.csv").read_bytes())
    if harm == "missing":
        place.objects.delete(digest)
    else:
        place = dataclasses.replace(place, objects=Flipped(place.objects, digest))
    proof, envelope = reproduce(place, "shop", model.id)
    assert not proof.equal and envelope == b"" and proof.id == ""
    assert ("data/visits/visits.csv" in proof.difference and harm in proof.difference) or harm == "damaged"
    assert proof.hint
    assert not place.ledger.find(Query(kind="reproduced"))
    if harm == "missing":
        assert command("reproduce", ["shop@1", "--project", str(tmp_path)]) == 3


def test_a_disk_that_refuses_says_nothing_of_the_run(
    tmp_path: Path, shops: Shops, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, model = shops.open(tmp_path, "linear")

    def refuse(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(module, "lay_out", refuse)
    with pytest.raises(StoreError, match="full"):
        reproduce(place, "shop", model.id)


def test_another_environment_is_told(tmp_path: Path, shops: Shops, monkeypatch: pytest.MonkeyPatch) -> None:
    place, _ = shops.open(tmp_path, "linear")
    real = complete()
    other = {**real.packages, "numpy": Package("1.0", "x")}
    monkeypatch.setattr(module, "complete", lambda cache: msgspec.structs.replace(real, packages=other))
    proof, _ = reproduce(place, "shop", "challenger", where="current")
    assert proof.equal and proof.changes == [f"numpy {real.packages['numpy'].version} -> 1.0"]


def test_a_pickle_needs_the_projects_word_and_is_told_of_in_the_checks(tmp_path: Path, shops: Shops) -> None:
    place, model = shops.open(tmp_path, "pickled", more="pickle = true")
    verdict = steps.check(load_project(tmp_path), place, steps.package(place, model))
    (gate,) = [g for g in verdict.gates if g.name == "model format"]
    assert gate.passed and "warning: a pickle" in gate.found
    assert reproduce(place, "shop", model.id)[0].equal


def test_what_no_run_made_is_refused(tmp_path: Path, shops: Shops) -> None:
    place, model = shops.open(tmp_path, "linear")
    with pytest.raises(NotFound):
        reproduce(place, "shop", "shop@9")
    data = find_run(place, model.run).data["visits"]
    with pytest.raises(UsageError, match="is a data"):
        reproduce(place, "shop", data)


def test_killed_and_run_again_it_ends_the_same(tmp_path: Path, shops: Shops) -> None:
    place, model = shops.open(tmp_path, "linear")
    words = [sys.executable, "-m", "keepfit", "reproduce", "shop@1", "--project", str(tmp_path)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder = place.folder / "work" / f"reproduce-{model.run}"
    while process.poll() is None and not (folder / "run" / "out").exists():
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not place.ledger.find(Query(kind="reproduced"))
    out = tmp_path / "proof.json"
    assert command("reproduce", ["shop@1", "--project", str(tmp_path), "--out", str(out)]) == 0
    assert not folder.exists()
    assert opened(out.read_bytes(), place.folder / "key", ENVELOPE_TYPE)


@pytest.mark.slow
@pytest.mark.parametrize("fit", ["linear", "forest", "hist", "lightgbm", "xgboost"])
def test_one_two_and_four_threads_give_the_same_predictions(tmp_path: Path, shops: Shops, fit: str) -> None:
    answers = []
    for threads in (1, 2, 4):
        place, model = shops.open(tmp_path / str(threads), fit, rows=20_000, threads=threads)
        table = read(place.objects, find_run(place, model.run).outputs["test.parquet"])
        answers.append(pl.read_parquet(table)["keepfit prediction"].to_numpy().tobytes())
    assert len(set(answers)) == 1


@pytest.mark.slow
def test_a_rebuilt_environment_gives_the_same_bits(tmp_path: Path, shops: Shops) -> None:
    place, _ = shops.open(tmp_path, "hist")
    proof, _ = reproduce(place, "shop", "challenger", where="rebuild")
    assert proof.equal and proof.how == "rebuilt", proof


def test_the_command_shows_a_table(tmp_path: Path, shops: Shops, capsys: pytest.CaptureFixture[str]) -> None:
    shops.open(tmp_path, "linear")
    assert command("reproduce", ["shop@1", "--project", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "the same, bit for bit" in shown and "model.skops" in shown and "as recorded" in shown
    assert command("reproduce", ["shop@1", "--project", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["equal"] is True and msgspec.convert({**told, "id": ""}, Proof).outputs


def test_nothing_of_the_users_environment_gets_in(
    tmp_path: Path, shops: Shops, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, _ = shops.open(tmp_path, "forest")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("PYTHONHASHSEED", "99")
    monkeypatch.chdir(os.sep)
    assert reproduce(place, "shop", "challenger")[0].equal
