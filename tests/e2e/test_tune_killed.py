"""A search on a real project: killed anywhere and run again, it ends the same; the test rows stay unseen."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import small_project

from keepfit.cli.opening import open_project
from keepfit.models.model import spec_of, summary_of
from keepfit.runs.run import find_run

CODE = small_project.CODE.replace("seed: int):", "seed: int, strength: float = 1.0, kind: str = 'lbfgs', log=print):")
CODE = CODE.replace(
    "return LogisticRegression(random_state=seed).fit(X, y)",
    "model = LogisticRegression(C=strength, solver=kind, random_state=seed).fit(X, y)\n"
    "    log('accuracy', model.score(X, y))\n"
    "    return model, {'iterations': model.n_iter_[0]}",
)
TUNE = """[train]
tune = { trials = 5, strength = { from = 0.001, to = 10, log = true }, kind = ["lbfgs", "liblinear"] }
"""


def write(folder: Path) -> Path:
    small_project.write(folder)
    (folder / "parcels.py").write_text(CODE)
    (folder / "keepfit.toml").write_text(small_project.TOML.replace("[train]\n", TUNE))
    return folder


def keepfit(*words: str, cwd: Path) -> Any:
    command = [sys.executable, "-m", "keepfit", *words, "--json"]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_search_killed_and_run_again_ends_the_same(tmp_path: Path) -> None:
    whole = keepfit("tune", cwd=write(tmp_path / "whole"))
    folder, chance = write(tmp_path / "killed"), random.Random(5)
    for _ in range(3):
        command = [sys.executable, "-m", "keepfit", "tune"]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(2, 8))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    again = keepfit("tune", cwd=folder)
    told = [[(t["parameters"], t["value"], t["state"]) for t in found["trials"]] for found in (whole, again)]
    assert told[0] == told[1]
    assert whole["best"]["parameters"] == again["best"]["parameters"]
    assert keepfit("tune", cwd=folder)["run"] == again["run"], "there is nothing left to do"

    project, home = open_project(folder)
    trial, made = find_run(home, again["best"]["run"]), find_run(home, again["run"])
    assert spec_of(trial).validate
    assert not spec_of(made).validate
    tested, tried = summary_of(home, made), summary_of(home, trial)
    assert tried.test_until == tested.train_until, "a trial ends where training does: it has seen nothing of the test"
    assert {"validation_auc", "iterations", "accuracy"} <= trial.metrics.keys()
    assert made.metrics["auc"] == pytest.approx(again["model"]["metrics"]["auc"], abs=1e-6)
    assert made.parameters["strength"] == again["best"]["parameters"]["strength"]
    assert len(keepfit("runs", "--where", "validation_auc > 0", cwd=folder)) == 5
    assert project.train.parameters == {}
