"""Steps as child processes of this one."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from keepfit.core.errors import NotFound, StoreError
from keepfit.engines.step import Outcome, Step

if TYPE_CHECKING:
    import subprocess

_KEPT = (
    "PATH",
    "HOME",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "SSL_CERT_FILE",
)
"""What of the caller's environment Python and its libraries need to start."""
_TAIL = 200
"""Lines of output that an outcome keeps."""
_WINDOW = 10_000
"""Lines of output that a watcher may fall behind."""
_LINE = 1 << 16
"""Characters after which a line is broken."""
_DRAIN = 5.0
"""Seconds for the last output to arrive, should a process that left the group still hold the pipe."""
_ENDED_KEPT = 1000
"""Steps that have ended whose outcome can still be asked for."""


class Here:
    """An engine that runs each step at once, in a process group of its own on this machine."""

    def __init__(self) -> None:
        self._steps: dict[str, _Running] = {}

    def submit(self, step: Step) -> str:
        ticket = os.urandom(8).hex()
        self._forget()
        self._steps[ticket] = _Running(step)
        return ticket

    def watch(self, ticket: str) -> Iterator[str]:
        """Lines the step prints, without their ends, from the first; a watcher too slow by 10,000 misses some."""
        return self._find(ticket).lines()

    def result(self, ticket: str) -> Outcome:
        return self._find(ticket).outcome()

    def cancel(self, ticket: str) -> None:
        if ticket in self._steps:
            self._steps[ticket].end()

    def _find(self, ticket: str) -> _Running:
        try:
            return self._steps[ticket]
        except KeyError:
            raise NotFound(f"there is no step `{ticket}` here") from None

    def _forget(self) -> None:
        ended = [ticket for ticket, running in list(self._steps.items()) if running.ended.is_set()]
        for ticket in ended[:-_ENDED_KEPT]:
            self._steps.pop(ticket, None)


class _Running:
    """One step's process, a thread that reads its output and one that waits for its end."""

    def __init__(self, step: Step) -> None:
        self.ended = threading.Event()
        self._process = _start(step)
        self._group = threading.Lock()
        self._reaped = False
        self._news = threading.Condition()
        self._printed: deque[str] = deque(maxlen=_WINDOW)
        self._count = 0
        self._exit_code = 0
        self._timed_out = False
        self._timer = threading.Timer(step.timeout or 0.0, self._time_out)
        self._timer.daemon = True
        if step.timeout is not None:
            self._timer.start()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        threading.Thread(target=self._wait, daemon=True).start()

    def lines(self) -> Iterator[str]:
        seen = 0
        while True:
            with self._news:
                while self._count == seen and not self.ended.is_set():
                    self._news.wait()
                missed = min(self._count - seen, len(self._printed))
                fresh = [self._printed[-back] for back in range(missed, 0, -1)]
                seen = self._count
            if not fresh:
                return
            yield from fresh

    def outcome(self) -> Outcome:
        self.ended.wait()
        with self._news:
            tail = list(self._printed)[-_TAIL:]
        return Outcome(self._exit_code, "\n".join(tail), self._timed_out and self._exit_code == -signal.SIGKILL)

    def end(self) -> None:
        self._kill()
        self.ended.wait()

    def _time_out(self) -> None:
        self._timed_out = True
        self._kill()

    def _kill(self) -> None:
        with self._group, contextlib.suppress(ProcessLookupError, PermissionError):
            if not self._reaped:  # once it is, the group's number may be another's
                os.killpg(self._process.pid, signal.SIGKILL)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            while line := output.readline(_LINE):
                with self._news:
                    self._printed.append(line.removesuffix("\n"))
                    self._count += 1
                    self._news.notify_all()

    def _wait(self) -> None:
        _await_exit(self._process)
        self._kill()
        self._reader.join(_DRAIN)
        with self._group:
            self._exit_code = self._process.wait()
            self._reaped = True
        self._timer.cancel()
        assert self._process.stdin is not None
        self._process.stdin.close()
        with self._news:
            self.ended.set()
            self._news.notify_all()


def _start(step: Step) -> subprocess.Popen[str]:
    import subprocess  # paid for by those who run something

    folder = step.folder.absolute()
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    try:
        return subprocess.Popen(
            [step.python or sys.executable, "-m", "keepfit.engines.child", str(os.getpid()), step.module, str(folder)],
            cwd=folder,
            env=kept | step.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as problem:
        reason = f"cannot start `{step.module}`: {problem.strerror}"
        raise StoreError(reason, where=str(folder), hint=f"ls -ld {folder}") from problem


def _await_exit(process: subprocess.Popen[str]) -> None:
    """Wait until the process has ended, but leave it unburied: its group's number stays its own."""
    if not hasattr(os, "waitid"):
        process.wait()
        return
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
