"""The user's own tests, run by pytest in a process of their own."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from pathlib import Path

import msgspec

from keepfit.checks.gate import Gate
from keepfit.checks.requirement import CheckSettings
from keepfit.core.errors import NotFound, UserCodeError
from keepfit.home import Home
from keepfit.objects import read
from keepfit.runs.child import run_step
from keepfit.runs.execute import execute, keep_code, keep_environment
from keepfit.runs.run import Plan, Run


def code_under_test(home: Home, run: Run, settings: CheckSettings) -> dict[str, str]:
    """The user's tests and what a run was made by, kept as objects; path -> digest. Empty without tests."""
    if not settings.tests:
        return {}
    files = [p.relative_to(home.root) for p in sorted((home.root / settings.tests).rglob("*.py"))]
    if not files:
        raise NotFound(
            f"there is no test in `{settings.tests}`", where=str(home.root), hint="write one, or drop `tests`"
        )
    return {**keep_code(home, home.root, files), **run.code}


def check_code(home: Home, run: Run, settings: CheckSettings, code: dict[str, str]) -> list[Gate]:
    """Whether the user's tests pass; not run again until the code, the tests or the environment change."""
    if not code:
        return []
    plan = Plan(
        subject=run.subject,
        module="keepfit.checks.code",
        spec={"tests": settings.tests},
        code=code,
        data={},
        environment=keep_environment(home, code),
    )
    made = execute(home, plan)
    told = msgspec.json.decode(read(home.objects, made.outputs["tests.json"]))
    passed, found = told["exit_code"] == 0, told["summary"]
    return [Gate(stage="code", name="tests", passed=passed, required="all pass", found=found, evidence=told)]


def run_tests(folder: Path) -> None:
    """Run pytest on `code/`; leave its exit code, closing line and output in `out/tests.json`."""
    try:
        import pytest
    except ImportError as problem:
        raise UserCodeError("your tests need pytest", hint="pip install pytest") from problem
    spec = msgspec.json.decode((folder / "spec.json").read_bytes())
    sys.path.insert(0, str(folder / "code"))
    output = io.StringIO()
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", str(folder / "code"), "-c", "/dev/null"]
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        code = int(pytest.main([*options, str(folder / "code" / spec["tests"])]))
    text = output.getvalue()
    last = next((line for line in reversed(text.splitlines()) if re.search(r"\d+ \w+", line)), f"exit code {code}")
    summary = re.sub(r"=+|\x1b\[[\d;]*m| in [\d.]+s.*", "", last).strip()
    told = {"exit_code": code, "summary": summary, "output": text[-8000:]}
    (folder / "out" / "tests.json").write_bytes(msgspec.json.encode(told))


if __name__ == "__main__":
    run_step(run_tests)
