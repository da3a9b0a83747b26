"""A project cloned onto a new machine: pull, and everything is there to look at, to serve and to go on with."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import small_project

from keepfit.cli.opening import open_project
from keepfit.objects import open_objects


def keepfit(*words: str, cwd: Path, code: int = 0) -> Any:
    command = [sys.executable, "-m", "keepfit", *words]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if "--json" in words else done.stdout + done.stderr


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = small_project.write(tmp_path_factory.mktemp("first") / "parcels")
    toml = folder / "keepfit.toml"
    toml.write_text(f'remote = "{folder.parent / "remote"}"\n{toml.read_text()}')
    keepfit("retrain", "--reason", "first", cwd=folder)
    pushed = keepfit("push", "--json", cwd=folder)
    assert pushed["moved"]["objects"] > 5 and pushed["names"] > 3
    assert "has everything already" in keepfit("push", cwd=folder)
    return folder


@pytest.fixture
def second(first: Path, tmp_path: Path) -> Path:
    """What a clone of the repository brings: code and keepfit.toml, no data."""
    folder = tmp_path / "parcels"
    folder.mkdir()
    for name in ("keepfit.toml", "parcels.py"):
        shutil.copy(first / name, folder)
    return folder


def test_after_a_pull_everything_is_there(first: Path, second: Path) -> None:
    keepfit("status", cwd=second, code=3)
    assert "is trusted from now on" in keepfit("pull", cwd=second)
    assert "parcel@1" in keepfit("status", cwd=second)
    told = [[link["id"] for link in keepfit("why", "champion", "--json", cwd=folder)] for folder in (first, second)]
    assert told[0] == told[1]
    assert keepfit("verify", "--json", cwd=second)["faults"] == []
    assert "nothing to free" in keepfit("gc", cwd=second)
    shutil.copytree(first / "data", second / "data")
    keepfit("predict", "data/parcels.parquet", "--out", "predicted.parquet", cwd=second)
    keepfit("predict", "data/parcels.parquet", "--out", "predicted.parquet", cwd=first)
    ours, theirs = (pl.read_parquet(folder / "predicted.parquet").drop("prediction id") for folder in (first, second))
    assert ours.equals(theirs)


def test_a_package_of_a_key_that_is_not_trusted_is_not_loaded(first: Path, second: Path) -> None:
    keepfit("pull", cwd=second)
    shutil.rmtree(second / ".keepfit" / "trusted")
    shutil.copytree(first / "data", second / "data")
    told = keepfit("predict", "data/parcels.parquet", "--out", "predicted.parquet", cwd=second, code=1)
    assert "which is not trusted here" in told and "keepfit trust" in told


def test_models_alone_are_enough_to_predict(first: Path, second: Path) -> None:
    keepfit("pull", "--models", cwd=second)
    faults = keepfit("verify", "--json", cwd=second, code=3)["faults"]
    assert {fault["state"] for fault in faults} == {"missing"}
    shutil.copytree(first / "data", second / "data")
    keepfit("predict", "data/parcels.parquet", "--out", "predicted.parquet", cwd=second)
    keepfit("pull", cwd=second)
    keepfit("verify", cwd=second)


def test_what_is_lost_is_told_and_comes_back_from_the_remote(second: Path) -> None:
    keepfit("pull", cwd=second)
    project, home = open_project(second)
    package = home.ledger.get(home.ledger.name("release/parcel") or "")
    assert package is not None
    open_objects(project.objects, second).delete(package.refs["package"])
    told = keepfit("verify", cwd=second, code=3)
    assert "missing" in told and "release parcel@1" in told and "next: keepfit verify --repair" in told
    assert "put anew from the remote" in keepfit("verify", "--repair", cwd=second)
    assert "all whole" in keepfit("verify", cwd=second)


def test_what_cannot_be_done_is_told(first: Path, second: Path, tmp_path: Path) -> None:
    assert "nothing has been pushed" in keepfit("pull", str(tmp_path / "nowhere"), cwd=second, code=1)
    assert "is not the address of a store" in keepfit("push", "s4://bucket", cwd=first, code=2)
    toml = (second / "keepfit.toml").read_text()
    (second / "keepfit.toml").write_text("\n".join(toml.splitlines()[1:]))
    assert 'write remote = "s3://bucket/delay"' in keepfit("push", cwd=second, code=2)
    (second / "keepfit.toml").write_text(f'objects = "folder:../shared"\n{toml}')
    assert "may be in use by others" in keepfit("gc", cwd=second, code=2)


def test_a_machine_that_shares_ledger_and_store_trusts_a_key_by_name(first: Path, second: Path) -> None:
    toml = (second / "keepfit.toml").read_text()
    shared = f'ledger = "sqlite:{first}/.keepfit/ledger.db"\nobjects = "folder:{first}/.keepfit/objects"\n'
    (second / "keepfit.toml").write_text(shared + toml)
    (met,) = keepfit("trust", "--json", cwd=second)
    assert not met["trusted"] and met["packages"] == 1
    shutil.copytree(first / "data", second / "data")
    predict = ("predict", "data/parcels.parquet", "--out", "predicted.parquet")
    assert f"hint: if you know whose key that is: keepfit trust {met['id']}" in keepfit(*predict, cwd=second, code=1)
    assert "keepfit trust" in keepfit("trust", "0123456789abcdef", cwd=second, code=1)
    keepfit("trust", met["id"], cwd=second)
    keepfit(*predict, cwd=second)
    assert "trusted" in keepfit("trust", cwd=second)
