"""What people see: commands, exit codes, both streams."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from keepfit.cli import VERBS


def keepfit(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "keepfit", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_without_a_verb_the_overview_and_exit_code_2(tmp_path: Path) -> None:
    done = keepfit(cwd=tmp_path)
    assert done.returncode == 2
    assert all(f"\n  {verb} " in done.stdout for verb in VERBS)


def test_help_is_not_an_error(tmp_path: Path) -> None:
    assert keepfit("--help", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("port", ["99999", "-1", "eighty"])
@pytest.mark.parametrize("verb", ["serve", "up"])
def test_a_port_that_is_none(verb: str, port: str, tmp_path: Path) -> None:
    done = keepfit(verb, f"--port={port}", cwd=tmp_path)
    assert done.returncode == 2
    assert f"`{port}` is not a port" in done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_helps_with_an_example(verb: str, tmp_path: Path) -> None:
    done = keepfit(verb, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert VERBS[verb].example in done.stdout
    assert "--json" in done.stdout


def test_an_unknown_verb(tmp_path: Path) -> None:
    done = keepfit("trian", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ("error[usage]: `trian` is not a command\n\nhint: did you mean `train` or `retrain`?\n")


def test_an_unknown_option(tmp_path: Path) -> None:
    done = keepfit("status", "--colour", cwd=tmp_path)
    assert done.returncode == 2
    assert "--colour" in done.stderr
    assert "hint: keepfit status --help" in done.stderr


@pytest.mark.parametrize("verb", ["status", "train", "check", "release", "rollback", "retrain", "watch", "up", "serve"])
def test_no_project_here(verb: str, tmp_path: Path) -> None:
    done = keepfit(verb, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error[project]: ")
    assert "hint: keepfit init" in done.stderr
    assert not list(tmp_path.iterdir()), "a command that fails leaves nothing behind"


def test_errors_are_json_too(tmp_path: Path) -> None:
    done = keepfit("status", "--json", cwd=tmp_path)
    told = json.loads(done.stdout)["error"]
    assert told["code"] == "project"
    assert told["hint"].startswith("keepfit init")


def test_the_demo_does_not_mix_with_other_things(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "keepfit.toml").write_text('model = "shop"\n[data.sales]\n')
    for folder, told in (("mine", "`notes.txt`, which is not the demo's"), ("shop", "a project that is not the demo")):
        done = keepfit("demo", "--to", folder, cwd=tmp_path)
        assert done.returncode == 2
        assert f"`{folder}` holds {told}" in done.stderr
    assert len(list(tmp_path.rglob("*"))) == 4
    assert "`--project` means nothing" in keepfit("demo", "--project", "shop", cwd=tmp_path).stderr


def test_months_out_of_range(tmp_path: Path) -> None:
    done = keepfit("demo", "--months", "13", cwd=tmp_path)
    assert done.returncode == 2
    assert "`--months 13`" in done.stderr
