"""Starting the endpoint: in the foreground, or as a child that ends with its parent."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from keepfit.core.errors import KeepfitError, ServingError
from keepfit.home import FOLDER, LEDGER, OBJECTS, Home
from keepfit.serving.access import token_of
from keepfit.serving.endpoint import only_gateway
from keepfit.serving.listen import leave, listen
from keepfit.serving.settings import ServeSettings

RETRY = 1.0
"""Seconds until a gateway that could not be started is started again."""
_BEFORE = "KEEPFIT_GATEWAY"
"""Environment variable that tells of the gateway before: whose child it is, its own number, its standard input."""
LOG_SIZE = 5_000_000
"""Bytes after which the gateway's own log begins anew."""


class Job(msgspec.Struct, frozen=True):
    """What a gateway in a process of its own is told."""

    root: str
    name: str
    settings: ServeSettings
    ledger: str
    objects: str
    socket: int = -1
    """Descriptor of the listening socket."""
    relieves: bool = False
    """Whether another gateway answers, to be ended once this one is loaded."""


class _Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """What it says on standard output: that it is loaded, its address, or why it cannot start."""

    loaded: bool = False
    url: str | None = None
    message: str | None = None
    where: str | None = None
    hint: str | None = None


def serve(home: Home, name: str, settings: ServeSettings, *, ready: Callable[[str], None] | None = None) -> None:
    """Serve the model `name` in this process until SIGINT or SIGTERM, after which what was asked is still answered.

    `ready` is told the address once the release that should be live is. Raises ServingError when
    the address cannot be had, or another gateway serves this project.
    """
    from keepfit.serving.server import run  # brings uvloop and polars

    run(lambda: home, home.folder, name, settings=settings, ready=ready)


class Running:
    """A gateway in a process of its own; it ends when this process does, however that ends.

    This process holds the listening socket: while no gateway accepts, connections wait in the kernel.
    """

    def __init__(self, job: Job) -> None:
        self._turn = threading.Lock()
        self._stopping = threading.Event()
        self._keeper: threading.Thread | None = None
        self._before = _Before.handed()
        with contextlib.nullcontext() if self._before else only_gateway(Path(job.root) / FOLDER):
            self._socket = listen(job.settings.host, job.settings.port)
        self._job = msgspec.structs.replace(job, socket=self._socket.fileno())
        try:
            self._start()
        except BaseException:
            self._socket.close()
            raise
        self.token = token_of(Path(job.root) / FOLDER)

    def keep(self, tell: Callable[[str], None]) -> None:
        """From now on start it again, at the same address, whenever it ends; `tell` hears why it cannot be started.

        A thread of its own does so at once, whatever else this process is at.
        """
        self._keeper = threading.Thread(target=self._keep, args=(tell,), name="gateway", daemon=True)
        self._keeper.start()

    def leave(self) -> dict[str, str]:
        """What to set in the environment of the program that takes this one's place by `exec`.

        Its gateway relieves this one, which answers until that is loaded.
        """
        with self._turn:
            self._stopping.set()
            assert self.process.stdin
            return _Before(self.process.pid, os.dup(self.process.stdin.fileno())).told() | leave(self._socket)

    def stop(self) -> None:
        """Answer what has been asked, then end."""
        with self._turn:
            self._stopping.set()
            self._socket.close()
            assert self.process.stdin
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        try:
            self.process.wait(90)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self._keeper:
            self._keeper.join()
        self._let_go()

    def _keep(self, tell: Callable[[str], None]) -> None:
        told = ""
        while True:
            self.process.wait()
            if self._stopping.is_set():
                return
            try:
                self._let_go()
                self._start()
                told = ""
            except (OSError, ServingError, msgspec.MsgspecError) as problem:
                if str(problem) != told and not self._stopping.is_set():
                    tell(told := str(problem))
                self._stopping.wait(RETRY)

    def _start(self) -> None:
        with self._turn:
            if self._stopping.is_set():
                return
            self._launch()
        self._hear()

    def _launch(self) -> None:
        job = msgspec.structs.replace(self._job, relieves=self._before is not None)
        with _own_log(Path(self._job.root) / FOLDER) as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "keepfit.serving.gateway"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "POLARS_MAX_THREADS": "1"},
                pass_fds=[job.socket],
                start_new_session=True,
            )
        assert self.process.stdin and self.process.stdout
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(msgspec.json.encode(job) + b"\n")  # no argument: it may hold a password
            self.process.stdin.flush()

    def _hear(self) -> None:
        """Wait until it says where it is."""
        told = self._told()
        if self._before is not None:
            self._before.end()
            self._before = None
            told = self._told() if told.loaded else told
        if told.url is None:
            self.process.wait()
            self._let_go()
            hint = told.hint or f"read {FOLDER}/serving/gateway.log"
            raise ServingError(told.message or "", where=told.where, hint=hint)
        self.url = told.url

    def _told(self) -> _Told:
        assert self.process.stdout
        line = self.process.stdout.readline()
        return msgspec.json.decode(line, type=_Told) if line else _Told(message="the endpoint ended while starting")

    def _let_go(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()


class _Before(NamedTuple):
    """The gateway that the program before this one started in the same process."""

    pid: int
    stdin: int

    @classmethod
    def handed(cls) -> _Before | None:
        told = os.environ.pop(_BEFORE, "").split(":")
        if len(told) != 3 or told[0] != str(os.getpid()):
            return None
        os.set_inheritable(int(told[2]), False)
        return cls(int(told[1]), int(told[2]))

    def told(self) -> dict[str, str]:
        os.set_inheritable(self.stdin, True)
        return {_BEFORE: f"{os.getpid()}:{self.pid}:{self.stdin}"}

    def end(self) -> None:
        """Let it answer what has been asked, and end."""
        os.close(self.stdin)
        threading.Thread(target=os.waitpid, args=(self.pid, 0), name="gateway before", daemon=True).start()


def start(
    root: Path,
    name: str,
    settings: ServeSettings,
    *,
    port: int | None = None,
    ledger: str = LEDGER,
    objects: str = OBJECTS,
) -> Running:
    """Start a gateway in a process of its own and wait until it is ready; `port` goes before the settings'.

    What it has to say of itself goes to `.keepfit/serving/gateway.log`. Raises ServingError when
    it cannot be started.
    """
    if port is not None:
        settings = msgspec.structs.replace(settings, port=port)
    return Running(Job(str(root.resolve()), name, settings, ledger, objects))


@contextlib.contextmanager
def _own_log(folder: Path) -> Iterator[IO[bytes] | int]:
    path = folder / "serving" / "gateway.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = "ab" if not path.exists() or path.stat().st_size < LOG_SIZE else "wb"
        file = path.open(mode)
    except OSError:
        yield subprocess.DEVNULL
    else:
        with file:
            yield file


def _main(job: Job) -> int:
    from keepfit.serving.server import run

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    try:
        run(
            _opener(job),
            Path(job.root) / FOLDER,
            job.name,
            settings=job.settings,
            ready=lambda url: _say(_Told(url=url)),
            sock=socket.socket(fileno=job.socket),
            loaded=(lambda: _say(_Told(loaded=True))) if job.relieves else None,
            end_with_parent=True,
        )
    except KeepfitError as problem:
        _say(_Told(message=problem.message, where=problem.where, hint=problem.hint))
        return 1
    return 0


def _opener(job: Job) -> Callable[[], Home]:
    """Opens the project's stores at the first call that succeeds; they may be down for now."""
    held: list[Home] = []

    def open_home() -> Home:
        if not held:
            from keepfit.engines import Here
            from keepfit.ledger import open_ledger
            from keepfit.objects import open_objects

            root = Path(job.root)
            ledger, objects = open_ledger(job.ledger, root), open_objects(job.objects, root)
            held.append(Home(root=root, ledger=ledger, objects=objects, engine=Here()))
        return held[0]

    return open_home


def _say(told: _Told) -> None:
    with contextlib.suppress(OSError):
        os.write(1, msgspec.json.encode(told) + b"\n")


if __name__ == "__main__":
    with os.fdopen(os.dup(0), "rb", buffering=0) as told:
        line = told.readline()
    sys.exit(_main(msgspec.json.decode(line, type=Job)) if line else 1)
