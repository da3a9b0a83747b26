import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

from keepfit.core.errors import StoreError
from keepfit.engines import Here, Step
from keepfit.testing.engine import EngineSuite


class TestHere(EngineSuite):
    engine = "keepfit.engines:Here"


def test_a_step_without_a_folder_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot start `step`"):
        Here().submit(Step(module="step", folder=tmp_path / "missing"))


def test_a_slow_watcher_misses_the_oldest_lines_only(tmp_path: Path) -> None:
    (tmp_path / "step.py").write_text("for n in range(25_000): print(n)")
    here = Here()
    ticket = here.submit(Step(module="step", folder=tmp_path))
    here.result(ticket)
    assert list(here.watch(ticket)) == [str(n) for n in range(15_000, 25_000)]


def test_a_line_without_end_is_broken_up(tmp_path: Path) -> None:
    (tmp_path / "step.py").write_text("print('x' * 200_000, end='')")
    here = Here()
    lines = list(here.watch(here.submit(Step(module="step", folder=tmp_path))))
    assert "".join(lines) == "x" * 200_000
    assert len(lines) == 4


def test_a_step_ends_though_a_fork_of_its_dead_submitter_holds_the_pipe(tmp_path: Path) -> None:
    (tmp_path / "step.py").write_text("import os, time; print(os.getpid()); time.sleep(600)")
    submitter = """
        import os, sys, time
        from pathlib import Path
        from keepfit.engines import Here, Step
        here = Here()
        step = next(here.watch(here.submit(Step(module="step", folder=Path(sys.argv[1])))))
        if (child := os.fork()) == 0:
            time.sleep(600)
        print(step, child, flush=True)
        time.sleep(600)
        """
    command = [sys.executable, "-c", dedent(submitter), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        step, holder = map(int, process.stdout.readline().split())
        process.kill()
        try:
            while _is_running(step):
                time.sleep(0.05)
            assert _is_running(holder)
        finally:
            os.kill(holder, signal.SIGKILL)


def test_the_engine_is_not_loaded_by_those_who_run_nothing() -> None:
    code = "import sys, keepfit.engines; assert 'subprocess' not in sys.modules; keepfit.engines.Here"
    subprocess.run([sys.executable, "-c", code], check=True)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
