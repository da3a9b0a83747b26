"""What a person took back stays back, and code that ends the process ends only its training."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import small_project


def keepfit(*words: str, cwd: Path, code: int = 0) -> Any:
    command = [sys.executable, "-m", "keepfit", *words, "--json"]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


def live(folder: Path) -> int:
    return int(keepfit("who-was-live", cwd=folder)["version"])


def test_the_loop_does_not_undo_a_rollback_and_survives_code_that_exits(tmp_path: Path) -> None:
    folder = small_project.write(tmp_path / "parcels")
    code = folder / "parcels.py"
    written = code.read_text()
    assert keepfit("retrain", cwd=folder)["ending"] == "released"
    code.write_text(written + "\n# another version\n")
    assert keepfit("retrain", cwd=folder)["ending"] == "released"
    assert live(folder) == 2

    keepfit("rollback", "--reason", "it is late", cwd=folder)
    assert live(folder) == 1
    again = keepfit("retrain", cwd=folder, code=3)
    assert again["ending"] == "barred"
    assert "it is late" in again["note"]
    assert live(folder) == 1
    assert keepfit("rollback", cwd=folder, code=1)["error"]["code"] == "not-found"
    keepfit("release", "2", cwd=folder)
    assert live(folder) == 2

    for ending in ("sys.exit(0)", "os._exit(0)"):
        code.write_text(written.replace("    return LogisticRegression", f"    import os, sys; {ending}\n    return L"))
        failed = keepfit("retrain", cwd=folder, code=1)
        assert failed["ending"] == "failed"
        assert live(folder) == 2
    code.write_text(written + "\n# a third version\n")
    assert keepfit("retrain", cwd=folder)["ending"] == "released"
    assert live(folder) == 3
