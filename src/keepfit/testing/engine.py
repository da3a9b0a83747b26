"""What every engine must pass."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from keepfit.core.errors import NotFound
from keepfit.engines import Engine, Step
from keepfit.testing import workers

_PATIENCE = 20.0
"""Seconds after which something that should happen at once counts as never."""


class EngineSuite:
    """Subclass with `engine`, the `module:callable` that makes one; it must run steps on this machine."""

    engine = ""

    @pytest.fixture
    def engine_(self) -> Engine:
        return workers.make_engine(self.engine)

    def test_a_step_finds_its_folder_and_leaves_its_output_there(self, engine_: Engine, tmp_path: Path) -> None:
        step = _step(
            tmp_path,
            """
            import sys
            from pathlib import Path
            folder = Path(sys.argv[1])
            assert __name__ == "__main__" and folder.samefile(Path.cwd()) and len(sys.argv) == 2
            (folder / "output").write_text((folder / "input").read_text().upper())
            """,
        )
        (tmp_path / "input").write_text("delay")
        outcome = engine_.result(engine_.submit(step))
        assert (outcome.exit_code, outcome.timed_out) == (0, False), outcome.log
        assert (tmp_path / "output").read_text() == "DELAY"

    def test_the_environment_is_clean(self, engine_: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KEEPFIT_TEST_SECRET", "s3cret")
        monkeypatch.setenv("PYTHONHASHSEED", "1")
        step = _step(tmp_path, "import os; print(*sorted(os.environ))", PYTHONHASHSEED="7", OMP_NUM_THREADS="1")
        names = set(engine_.result(engine_.submit(step)).log.split())
        assert names >= {"PATH", "PYTHONHASHSEED", "OMP_NUM_THREADS"}
        assert not names & {"KEEPFIT_TEST_SECRET", "PYTEST_CURRENT_TEST"}
        step = _step(tmp_path, "import os; print(os.environ['PYTHONHASHSEED'])", PYTHONHASHSEED="7")
        assert engine_.result(engine_.submit(step)).log == "7"

    def test_nothing_comes_from_the_keyboard(self, engine_: Engine, tmp_path: Path) -> None:
        outcome = engine_.result(engine_.submit(_step(tmp_path, "print(repr(input()))")))
        assert outcome.exit_code == 1
        assert "EOFError" in outcome.log

    def test_both_streams_are_watched_as_they_come(self, engine_: Engine, tmp_path: Path) -> None:
        step = _step(
            tmp_path,
            """
            import sys, time
            from pathlib import Path
            print("out é")
            print("err", file=sys.stderr)
            while not Path("go").exists():
                time.sleep(0.01)
            sys.stdout.write("last, without an end")
            """,
        )
        ticket = engine_.submit(step)
        lines = engine_.watch(ticket)
        assert [next(lines), next(lines)] == ["out é", "err"]
        (tmp_path / "go").touch()
        assert list(lines) == ["last, without an end"]
        assert engine_.result(ticket).log == "out é\nerr\nlast, without an end"
        assert list(engine_.watch(ticket))[-1] == "last, without an end"

    def test_the_end_of_a_long_log_is_kept(self, engine_: Engine, tmp_path: Path) -> None:
        outcome = engine_.result(engine_.submit(_step(tmp_path, "for n in range(5000): print(n)")))
        lines = outcome.log.splitlines()
        assert lines[-1] == "4999"
        assert lines == [str(n) for n in range(5000 - len(lines), 5000)]

    def test_output_that_is_not_text_is_no_problem(self, engine_: Engine, tmp_path: Path) -> None:
        step = _step(tmp_path, r"import os; os.write(1, b'a\xffb\n'); os.write(2, b'x' * 300_000)")
        outcome = engine_.result(engine_.submit(step))
        assert outcome.exit_code == 0
        assert outcome.log.startswith("a\N{REPLACEMENT CHARACTER}b\n")

    @pytest.mark.parametrize(
        ("code", "exit_code"),
        [
            ("pass", 0),
            ("raise SystemExit(7)", 7),
            ("raise ValueError('no such carrier')", 1),
            ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
            ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ],
    )
    def test_the_outcome_tells_how_it_ended(self, engine_: Engine, tmp_path: Path, code: str, exit_code: int) -> None:
        ticket = engine_.submit(_step(tmp_path, code))
        outcome = engine_.result(ticket)
        assert (outcome.exit_code, outcome.timed_out) == (exit_code, False)
        assert ("no such carrier" in outcome.log) == ("carrier" in code)
        engine_.cancel(ticket)
        assert engine_.result(ticket) == outcome

    def test_a_module_that_is_not_there_fails(self, engine_: Engine, tmp_path: Path) -> None:
        outcome = engine_.result(engine_.submit(Step(module="no_such_step", folder=tmp_path)))
        assert outcome.exit_code != 0
        assert "no_such_step" in outcome.log

    def test_a_step_that_takes_too_long_is_ended_with_all_it_started(self, engine_: Engine, tmp_path: Path) -> None:
        ticket = engine_.submit(_family(tmp_path, timeout=1.0))
        outcome = engine_.result(ticket)
        assert (outcome.exit_code, outcome.timed_out) == (-signal.SIGKILL, True)
        _all_gone(tmp_path, at_least=0)

    def test_a_cancelled_step_ends_with_all_it_started(self, engine_: Engine, tmp_path: Path) -> None:
        ticket = engine_.submit(_family(tmp_path))
        assert next(engine_.watch(ticket)) == "started"
        engine_.cancel(ticket)
        outcome = engine_.result(ticket)
        assert (outcome.exit_code, outcome.timed_out) == (-signal.SIGKILL, False)
        _all_gone(tmp_path, at_least=2)

    def test_nothing_a_step_started_outlives_it(self, engine_: Engine, tmp_path: Path) -> None:
        step = _step(
            tmp_path,
            """
            import subprocess, sys
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            open(f"pid-{child.pid}", "w").close()
            """,
        )
        assert engine_.result(engine_.submit(step)).exit_code == 0
        _all_gone(tmp_path, at_least=1)

    def test_a_step_does_not_outlive_a_submitter_that_is_killed(self, tmp_path: Path) -> None:
        _family(tmp_path)
        submitter = workers.start(workers.submit, self.engine, "step", tmp_path)
        assert submitter.stdout is not None
        with submitter.stdout as output:
            assert output.readline() == "started\n"
            submitter.kill()
        submitter.wait()
        _all_gone(tmp_path, at_least=2)

    def test_steps_run_side_by_side(self, engine_: Engine, tmp_path: Path) -> None:
        meet = """
            import sys, time
            from pathlib import Path
            folder = Path(sys.argv[1])
            (folder / "here").touch()
            while len(list(folder.parent.glob("*/here"))) < 3:
                time.sleep(0.01)
            """
        tickets = [engine_.submit(_step(tmp_path / name, meet, timeout=_PATIENCE)) for name in "abc"]
        assert len(set(tickets)) == 3
        assert [engine_.result(ticket).exit_code for ticket in tickets] == [0, 0, 0]

    def test_a_ticket_of_nothing_is_refused(self, engine_: Engine) -> None:
        for ask in (engine_.result, lambda ticket: list(engine_.watch(ticket))):
            with pytest.raises(NotFound, match="`nothing`"):
                ask("nothing")
        engine_.cancel("nothing")


def _step(folder: Path, code: str, *, timeout: float | None = None, **environment: str) -> Step:
    folder.mkdir(exist_ok=True)
    (folder / "step.py").write_text(dedent(code))
    return Step(module="step", folder=folder, timeout=timeout, environment={"PYTHONPATH": str(folder)} | environment)


def _family(folder: Path, *, timeout: float | None = None) -> Step:
    """A step that never ends, with a child that never ends; each leaves a file named after its process."""
    code = """
        import os, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        for pid in (os.getpid(), child.pid):
            open(f"pid-{pid}", "w").close()
        print("started")
        time.sleep(600)
        """
    return _step(folder, code, timeout=timeout)


def _all_gone(folder: Path, *, at_least: int) -> None:
    pids = [int(path.name.removeprefix("pid-")) for path in folder.glob("pid-*")]
    assert len(pids) >= at_least
    for pid in pids:
        _wait_until(lambda pid=pid: not _is_alive(pid))  # type: ignore[misc]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # dead, but nobody has taken note


def _wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)
