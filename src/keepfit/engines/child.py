"""The inside of a step's process: `python -m keepfit.engines.child SUBMITTER MODULE FOLDER`.

Runs the module as `python -m MODULE FOLDER` would, and ends with its whole process group once
the submitter is gone: then either the pipe that is this process's input closes, or, where a
child of the submitter's still holds that pipe, the parent of this process changes.
"""

import os
import runpy
import select
import signal
import sys
import threading

_PERIOD = 1.0
"""Seconds between looks at who the parent is."""


def main() -> None:
    submitter, module, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    lifeline = os.dup(0)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    threading.Thread(target=_end_with, args=(submitter, lifeline), daemon=True).start()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    sys.argv = [module, folder]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with(submitter: int, lifeline: int) -> None:
    while os.getppid() == submitter and not select.select([lifeline], [], [], _PERIOD)[0]:
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
