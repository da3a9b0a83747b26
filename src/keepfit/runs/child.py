"""The inside of a run's process: do the step, and tell the parent on what it ran, or what went wrong."""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import msgspec

from keepfit.core.errors import KeepfitError, StoreError, UserCodeError
from keepfit.runs.machine import LEFT, machine


def run_step(step: Callable[[Path], None]) -> None:
    """Run `step` on the folder named on the command line; an error of ours goes to `error.json`, exit code 1."""
    folder = Path(sys.argv[1]).resolve()
    try:
        step(folder)
        (folder / LEFT).write_bytes(msgspec.json.encode(machine()))
    except KeepfitError as problem:
        _tell(folder, _refusal(problem, folder) or problem)
    except SystemExit as problem:
        place = _place(problem, folder / "code")
        _tell(folder, UserCodeError(f"the code ended the process with `sys.exit({problem.code!r})`", where=place))
    except Exception as problem:
        if refused := _refusal(problem, folder):
            _tell(folder, refused)
        raise


DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
"""What is the disk's fault, and nobody's code's."""


def _refusal(problem: BaseException, folder: Path) -> StoreError | None:
    """The disk's own error when that is what lies at the bottom, also below the user's code."""
    cause: BaseException | None = problem
    while cause is not None:
        told = _OS_ERROR.search(str(cause)) if type(cause).__module__.startswith("polars") else None
        number = cause.errno if isinstance(cause, OSError) else int(told[1]) if told else None
        if number is not None and number in DISK:
            place = problem.where if isinstance(problem, KeepfitError) else None
            return StoreError(f"the disk refuses: {os.strerror(number)}", where=place, hint=f"df -h {folder}")
        cause = cause.__cause__
    return None


_OS_ERROR = re.compile(r"\(os error (\d+)\)")
"""How errors that come from Rust end: they have no number to ask for."""


def end(folder: Path, problem: KeepfitError) -> NoReturn:
    """End this process, from whichever thread, with an error of ours."""
    _write(folder, problem)
    os._exit(1)


def _tell(folder: Path, problem: KeepfitError) -> NoReturn:
    _write(folder, problem)
    sys.exit(1)


def _write(folder: Path, problem: KeepfitError) -> None:
    told = {"code": problem.code, "message": problem.message, "where": problem.where, "hint": problem.hint}
    (folder / "error.json").write_bytes(msgspec.json.encode(told))


def _place(problem: BaseException, code: Path) -> str | None:
    """The last line of the user's that it went through."""
    frames = traceback.extract_tb(problem.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(code)]
    return f"{Path(own[-1].filename).relative_to(code)}:{own[-1].lineno}" if own else None
