"""The user's own tests, run by pytest in a process of their own."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from pathlib import Path

import msgspec

from keepfit.checks.gate import Gate
from keepfit.core.errors import UserCodeError
from keepfit.home import Home
from keepfit.objects import read
from keepfit.runs.child import run_step
from keepfit.runs.execute import execute, keep_code, keep_environment
from keepfit.runs.functions import code_files
from keepfit.runs.run import Plan


def check_code(home: Home, subject: str, tests: str, references: list[str]) -> Gate:
    """Whether the user's tests pass; not run again until the code, the tests or the environment change."""
    files = [p.relative_to(home.root) for p in sorted((home.root / tests).rglob("*.py"))]
    if not files:
        return _gate(False, f"no tests in `{tests}`", {})
    plan = Plan(
        subject=subject,
        module="keepfit.checks.code",
        spec={"tests": tests},
        code=keep_code(home, home.root, [*code_files(home.root, references), *files]),
        data={},
        environment=keep_environment(home),
    )
    run = execute(home, plan)
    told = msgspec.json.decode(read(home.objects, run.outputs["tests.json"]))
    return _gate(told["exit_code"] == 0, told["summary"], told)


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


def _gate(passed: bool, found: str, evidence: dict[str, object]) -> Gate:
    return Gate(stage="code", name="tests", passed=passed, required="all pass", found=found, evidence=evidence)


if __name__ == "__main__":
    run_step(run_tests)
