"""Faults made on purpose: a command that dies, or is refused, at its n-th call that changes the disk."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from keepfit.testing import trap

FAULTS = ("kill", "EIO", "torn", "ENOSPC")
"""kill: the command is killed. EIO: this one call fails. torn: half of the write is done, then it is killed.
ENOSPC: a write is cut short, and from then on nothing that takes room succeeds."""

_PATIENCE = 120.0
"""Seconds without a call after which a command is taken to hang."""
_LONGEST = 600.0
"""Seconds that a command may take."""


class Change(NamedTuple):
    """A call that changed the disk."""

    name: str
    path: str
    """Of the file, below the folder that is watched."""


class Struck(NamedTuple):
    """What became of a command."""

    exit_code: int
    stdout: str
    stderr: str
    changes: list[Change]
    """All it did to the disk, those after the fault too."""


def strike(
    command: Sequence[str],
    fault: str | Callable[[], object] = "",
    *,
    at: int = 0,
    cwd: Path,
    below: Path | None = None,
) -> Struck:
    """Run a command whose `at`-th change of what lies `below` (default: `cwd`) meets a fault.

    Counted are the changes by any of its threads and children. A fault is one of FAULTS, or a function,
    after which the command is killed. Without one the command runs undisturbed. Ends when nothing that
    the command started is left; AssertionError when something hangs.
    """
    if reason := trap.can_trap():
        pytest.skip(reason)
    ours, theirs = socket.socketpair()
    with ours, tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", trap.__name__, str(theirs.fileno()), *command],
                cwd=cwd,
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        _, (listener, *_), _, _ = socket.recv_fds(ours, 1, 1)
        striker = _Striker(fault, at, process, f"{below or cwd}/")
        end = time.monotonic() + _LONGEST
        try:
            for call in trap.calls(listener, patience=_PATIENCE):
                striker.meet(call)
                if time.monotonic() > end:
                    raise TimeoutError(f"not done after {_LONGEST:.0f} s")
        except TimeoutError as problem:
            raise AssertionError(f"{' '.join(command)}: {problem}") from None
        finally:
            os.close(listener)  # whatever still waits fails
            process.kill()
            process.wait()
        out.seek(0)
        err.seek(0)
        return Struck(process.returncode, out.read(), err.read(), striker.changes)


class _Striker:
    """Answers the calls of a command, the n-th with a fault."""

    def __init__(
        self, fault: str | Callable[[], object], at: int, process: subprocess.Popen[bytes], below: str
    ) -> None:
        self.changes: list[Change] = []
        self._fault = fault
        self._at = at
        self._process = process
        self._below = below
        self._full = False

    def meet(self, call: trap.Call) -> None:
        path = call.path.removesuffix(" (deleted)")
        if not path.startswith(self._below) or "__pycache__" in path:
            return call.let()
        self.changes.append(Change(call.name, path.removeprefix(self._below)))
        if len(self.changes) == self._at and self._fault:
            return self._strike(call)
        if self._full and call.name in trap.GROWS and not call.fits():
            return call.refuse(errno.ENOSPC)
        return call.let()

    def _strike(self, call: trap.Call) -> None:
        if self._fault == "EIO":
            return call.refuse(errno.EIO)
        if self._fault == "ENOSPC":
            self._full = True
            done = call.cut_short() if call.name in trap.WRITES else None
            if done:
                return call.say(done)
            return call.refuse(errno.ENOSPC) if call.name in trap.GROWS else call.let()
        if self._fault == "torn" and call.name in trap.WRITES:
            call.cut_short()
        if callable(self._fault):
            self._fault()
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        return call.let()
