"""What git says of a run's code is kept as evidence; where git says nothing, nothing fails."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from keepfit.objects import Objects, open_objects, read
from keepfit.runs import code
from keepfit.runs.code import snapshot

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="needs git")
ENVIRONMENT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "PATH": os.environ["PATH"]}


def git(root: Path, *words: str) -> str:
    own = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=trunk"]
    command = ["git", "-C", str(root), *own, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout.strip()


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return open_objects("folder:objects", tmp_path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "model.py").write_text("one = 1\n")
    (folder / "keepfit.toml").write_text("model = 'x'\n")
    git(folder, "init")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "first")
    return folder


def test_a_clean_tree_is_its_commit(root: Path, objects: Objects) -> None:
    found = snapshot(objects, root, ["model.py", "keepfit.toml"])
    assert found and found.commit == git(root, "rev-parse", "HEAD")
    assert (found.branch, found.dirty, found.diff, found.cut) == ("trunk", False, "", False)


def test_what_was_not_committed_is_kept_as_a_patch(root: Path, objects: Objects) -> None:
    (root / "model.py").write_text("two = 2\n")
    found = snapshot(objects, root, ["model.py"])
    assert found and found.dirty
    patch = read(objects, found.diff).decode()
    assert "-one = 1" in patch and "+two = 2" in patch
    git(root, "checkout", "--", ".")
    subprocess.run(["git", "apply"], cwd=root, input=patch.encode(), check=True, env=ENVIRONMENT)
    assert (root / "model.py").read_text() == "two = 2\n"


def test_a_file_that_git_does_not_know_makes_it_dirty_if_it_is_used(root: Path, objects: Objects) -> None:
    (root / "new.py").write_text("")
    used, other = snapshot(objects, root, ["new.py"]), snapshot(objects, root, ["model.py"])
    assert used and used.dirty and other and not other.dirty


def test_no_branch_and_a_folder_below(root: Path, objects: Objects) -> None:
    git(root, "checkout", "--detach")
    (root / "below").mkdir()
    (root / "below" / "a.py").write_text("")
    found = snapshot(objects, root / "below", ["a.py"])
    assert found and found.branch == "" and found.dirty


def test_a_huge_difference_is_cut(root: Path, objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "LARGEST", 1000)
    (root / "model.py").write_text("x\n" * 100_000)
    found = snapshot(objects, root, ["model.py"])
    assert found and found.cut and len(read(objects, found.diff)) == 1000


def test_no_program_of_the_repository_is_run(root: Path, objects: Objects, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {mark}\n")
    trap.chmod(0o755)
    (root / ".gitattributes").write_text("*.py diff=trap\n")
    for key in ("core.fsmonitor", "diff.external", "diff.trap.textconv", "diff.trap.command", "core.pager"):
        git(root, "config", key, str(trap))
    (root / "model.py").write_text("two = 2\n")
    found = snapshot(objects, root, ["model.py"])
    assert found and found.diff and not mark.exists()


def test_without_git_or_commit_there_is_none(
    root: Path, objects: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, empty = tmp_path / "plain", tmp_path / "empty"
    plain.mkdir()
    empty.mkdir()
    git(empty, "init")
    assert snapshot(objects, plain, ["model.py"]) is None
    assert snapshot(objects, empty, ["model.py"]) is None
    monkeypatch.setenv("PATH", "")
    assert snapshot(objects, root, ["model.py"]) is None


def test_a_git_that_hangs_is_not_waited_for(
    root: Path, objects: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(code, "_PATIENCE", 0.2)
    assert snapshot(objects, root, ["model.py"]) is None
