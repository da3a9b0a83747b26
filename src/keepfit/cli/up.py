"""`keepfit up`"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from argparse import ArgumentParser, Namespace
from datetime import timedelta

from keepfit.alerting.heartbeat import beat, rest
from keepfit.alerting.keeper import Keeper
from keepfit.cli.opening import open_anyway, open_project
from keepfit.cli.port import port
from keepfit.cli.replaying import replay_and_review
from keepfit.cli.report import Progress, Report
from keepfit.cli.run import BUG
from keepfit.core.clocks import duration, instant, iso
from keepfit.core.errors import KeepfitError
from keepfit.core.notify import ALIVE, READY, STOPPING, notify, watchdog_seconds
from keepfit.loop import Action, State, tick
from keepfit.project import load_leniently
from keepfit.replay import span
from keepfit.serving.endpoint import call
from keepfit.serving.gateway import Running
from keepfit.serving.gateway import start as start_gateway
from keepfit.serving.rows import refresh


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--port", type=port, default=None, help="of the endpoint (default: [serve] port)")
    parser.add_argument("--every", default="10s", help="how often to look (default: 10s)")
    parser.add_argument("--replay", action="store_true", help="live the data's own time again, as fast as it goes")
    parser.add_argument(
        "--from", dest="start", metavar="TIME", help="with --replay: the first day (default: after one training window)"
    )
    parser.add_argument(
        "--until", metavar="TIME", help="with --replay: the day to stop before (default: the end of the data)"
    )


def run(options: Namespace) -> Report:
    return _replay(options) if options.replay else _live(options)


def _replay(options: Namespace) -> Report:
    project, home = open_project(options.project)
    first, last = span(project, home)
    window = duration(project.train.window) if project.train.window else (last - first) / 2
    start = instant(options.start) if options.start else first + timedelta(days=round(window / timedelta(days=1)))
    until = instant(options.until) if options.until else last + timedelta(days=1)
    return replay_and_review(project.root, start=start, until=until, port=options.port)


def _live(options: Namespace) -> Report:
    every = duration(options.every).total_seconds()
    project, home = open_anyway(options.project)
    progress, stop, anew = Progress(), threading.Event(), threading.Event()
    signal.signal(signal.SIGUSR2, lambda *_: anew.set())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    def acted(action: Action, state: State) -> None:
        beat(home.folder, action.verb)
        progress.note(f"{iso(state.now)}  {action.ending or action.verb}: {action.reason or action.window}")

    running = start_gateway(
        project.root,
        project.name,
        project.serve,
        port=options.port,
        ledger=project.ledger,
        objects=project.objects,
    )
    progress.note(f"{project.name} is served at {running.url}; the token is in .keepfit/token")
    running.keep(progress.note)
    notify(READY, f"STATUS={project.name} is served at {running.url}")
    threading.Thread(target=_tell_alive, args=(running,), name="watchdog", daemon=True).start()
    beat(home.folder, "starting")
    name, settings = project.name, lambda: project.alerts
    keeper = Keeper(home, name, settings, url=lambda: running.url, tell=progress.note)
    troubles = set[str]()  # what has been told since all was well
    try:
        while not stop.is_set():
            try:
                project, broken = load_leniently(project.root)
                if broken:
                    raise broken
                refresh(home, project.sides)
                tick(project, home, acted)
                beat(home.folder)
                troubles = set[str]()  # what has been told since all was well
            except Exception as problem:  # whatever it is, the endpoint goes on answering
                known = isinstance(problem, KeepfitError)
                told = str(problem) if known else "".join(traceback.format_exception(problem)) + BUG
                if told not in troubles:
                    troubles.add(told)
                    progress.note(told)
            _wait(every, stop, anew)
            if anew.is_set() and _can_start(progress):
                keeper.stop()
                os.execve(sys.executable, sys.orig_argv, {**os.environ, **running.leave()})
            anew.clear()
    finally:
        notify(STOPPING)
        keeper.stop()
        rest(home.folder)
        running.stop()
    return Report({"stopped": True}, "stopped")


def _tell_alive(running: Running) -> None:
    """Tell a service manager that watches that the endpoint answers, whatever the loop is at."""
    if seconds := watchdog_seconds():
        while True:
            with contextlib.suppress(KeepfitError):
                call(running.url, running.token, "GET", "/health/live", timeout=seconds / 3)
                notify(ALIVE)
            time.sleep(seconds / 3)


def _wait(seconds: float, *events: threading.Event) -> None:
    """Until one of the events is set, or the seconds are over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not any(event.is_set() for event in events):
        time.sleep(0.1)


def _can_start(progress: Progress) -> bool:
    """Whether what is installed now would start at all; if not, what runs already goes on."""
    tried = [sys.executable, "-c", "import keepfit.cli.up, keepfit.serving.server"]
    done = subprocess.run(tried, capture_output=True, text=True)
    if done.returncode:
        progress.note(f"not started anew: {(done.stderr.strip().splitlines() or ['it ended'])[-1]}")
    return done.returncode == 0
