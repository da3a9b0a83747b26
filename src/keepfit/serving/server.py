"""The gateway put together: connections, models, log and labels in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from keepfit.core.errors import KeepfitError, StoreError
from keepfit.core.files import write_file
from keepfit.core.memory import size
from keepfit.home import Home
from keepfit.serving.access import Access, token_of
from keepfit.serving.connection import HttpServer
from keepfit.serving.endpoint import Endpoint, endpoint_file, only_gateway
from keepfit.serving.http import App
from keepfit.serving.ids import Ids
from keepfit.serving.lane import Shared
from keepfit.serving.listen import listen
from keepfit.serving.log import Log
from keepfit.serving.metrics import Metrics
from keepfit.serving.records import Records
from keepfit.serving.residents import Residents
from keepfit.serving.routes import Routes
from keepfit.serving.settings import ServeSettings

POLL = 0.25
"""Seconds between two looks at the ledger."""
TICK = 0.1
"""Seconds between two looks at requests that wait and scorers that hang."""

_logger = logging.getLogger("keepfit.serving")


def run(
    open_home: Callable[[], Home],
    folder: Path,
    name: str,
    *,
    settings: ServeSettings,
    ready: Callable[[str], None] | None = None,
    sock: socket.socket | None = None,
    loaded: Callable[[], None] | None = None,
    end_with_parent: bool = False,
) -> None:
    """Serve the model `name` until SIGINT or SIGTERM; what has been asked by then is answered.

    `folder` is where the project keeps things on this machine; `open_home` opens its stores, and
    may fail for as long as they are down. `ready` is told the address once the release that
    should be live is. `sock` is where to listen, if somebody does so already. With `loaded`, another gateway
    answers there: it is to be ended once `loaded` is called, and this one answers from then on. With
    `end_with_parent`, the end of standard input ends the gateway. Raises ServingError when the address cannot be
    had, or another gateway serves this project.
    """
    with contextlib.ExitStack() as stack:
        if loaded is None:
            stack.enter_context(only_gateway(folder))
        sock = stack.enter_context(sock or listen(settings.host, settings.port))
        host, port = sock.getsockname()[:2]
        url = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else _bracketed(host)}:{port}"
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))

        async def serve() -> None:
            gateway = _Gateway(open_home, folder, name, settings)
            gateway.listen_for_signals(end_with_parent)
            names = [_bracketed(settings.host), _bracketed(host), "localhost", "127.0.0.1"]
            access = Access(token_of(folder), names, port, exact=settings.hosts)
            app = App(gateway.routes.table(), access, limits=settings.limits, seen=gateway.metrics.seen)
            if loaded is not None:
                await gateway.load()
                loaded()
                await asyncio.to_thread(stack.enter_context, only_gateway(folder))
            async with gateway.grpc(access, settings):
                await gateway.serve(HttpServer(app, sock), url, ready)

        runner.run(serve())


class _Gateway:
    def __init__(self, open_home: Callable[[], Home], folder: Path, name: str, settings: ServeSettings) -> None:
        self._folder = folder
        self._stop = asyncio.Event()
        self._trouble = ""
        home, ids = folder / "serving", Ids()
        self.metrics = Metrics()
        self._logs = [Log(home / name, ids.instance, self.metrics.drop) for name in ("log", "shadow")]
        self._records = Records(home / "records.db")
        log, shadow = self._logs
        shared = Shared(
            records=home / "records.db",
            log=log,
            shadow=shadow,
            metrics=self.metrics,
            ids=ids,
            hang=settings.hang_seconds,
            starting=settings.start_seconds,
            memory=size(settings.memory),
        )
        patience = settings.patience_seconds
        self._residents = Residents(open_home, name, folder / "pins", shared, patience=patience, guard=settings.guard)
        self.routes = Routes(
            self._residents, self._records, self._logs, metrics=self.metrics, name=name, settings=settings
        )

    def grpc(self, access: Access, settings: ServeSettings) -> contextlib.AbstractAsyncContextManager[None]:
        """The same answers over gRPC, if that is asked for."""
        if settings.grpc is None:
            return contextlib.nullcontext()
        from keepfit.serving.dialects.rpc import calls
        from keepfit.serving.grpc import speaking_grpc

        host, seen = _bracketed(settings.host), self.metrics.seen
        return speaking_grpc(calls(self.routes.answering), access, settings.limits, seen, host=host, port=settings.grpc)

    async def load(self) -> None:
        """Load what was live last, to be able to answer at once."""
        await self._unless_stopped(self._residents.restore(tidy=False))

    async def serve(self, server: HttpServer, url: str, ready: Callable[[str], None] | None) -> None:
        """Answer from the start; requests that come before the model is loaded wait for it."""
        with contextlib.suppress(OSError):  # a read-only disk
            endpoint_file(self._folder).unlink(missing_ok=True)  # of a gateway that was killed
        for log in self._logs:
            log.start()
        serving = asyncio.create_task(server.run())
        serving.add_done_callback(lambda _: self._stop.set())
        ticking = asyncio.create_task(self._tick())
        try:
            if self._residents.champion is None:
                await self._unless_stopped(self._residents.restore())
            await self._unless_stopped(self._follow())
            self._residents.started()
            gc.collect()
            gc.freeze()
            self._announce(url)
            if ready and not self._stop.is_set():
                ready(url)
            while not self._stop.is_set():
                await self._unless_stopped(asyncio.sleep(POLL))
                await self._unless_stopped(self._follow())
        finally:
            self._announce(None)
            server.stop()
            await serving
            ticking.cancel()
            await self._residents.close()
            for log in self._logs:
                await asyncio.to_thread(log.close)
            self._records.close()

    def listen_for_signals(self, end_with_parent: bool) -> None:
        """Stop on SIGINT and SIGTERM, or when whoever started this process is gone."""
        loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self._stop.set)
        if end_with_parent:

            def heard() -> None:
                if not os.read(0, 4096):
                    loop.remove_reader(0)
                    self._stop.set()

            loop.add_reader(0, heard)

    def _announce(self, url: str | None) -> None:
        file = endpoint_file(self._folder)
        try:
            if url is None:
                file.unlink(missing_ok=True)
            else:
                write_file(file, msgspec.json.encode(Endpoint(url, os.getpid())))
        except (OSError, StoreError) as problem:  # commands will not find the endpoint, but its clients do
            _logger.warning("%s", problem)

    async def _follow(self) -> None:
        try:
            await self._residents.follow()
            self._trouble = ""
        except Exception as problem:  # whatever it is, what is live goes on answering
            trouble = problem.message if isinstance(problem, KeepfitError) else repr(problem)
            if trouble != self._trouble:
                self._trouble = trouble
                _logger.warning("what should be live is not known: %s", trouble)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            try:
                self._residents.tick()
            except Exception:  # a tick that fails must not be the last
                _logger.exception("looking after requests that wait")

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for the work, or cancel it as soon as the gateway is to stop."""
        task, stop = asyncio.ensure_future(work), asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        for one in (task, stop):
            one.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
