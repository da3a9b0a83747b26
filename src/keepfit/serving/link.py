"""One running scorer process and the socket to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

from keepfit.runs.environment import pinned
from keepfit.serving.frames import LENGTH, FromScorer, ToScorer, decode_from_scorer, frame

MODEST = 10
"""Priority (nice) of a process that is to go last: a tenth of what others get, so that it still gets on."""


class Link(asyncio.Protocol):
    """A scorer process of our own: started by `open_link`, ended by `kill`, or by its own fault."""

    def __init__(self, hear: Callable[[FromScorer], None]) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the process can no longer be spoken to."""
        self._hear = hear
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def attach(self, process: subprocess.Popen[bytes]) -> None:
        """Take charge of the process at the other end."""
        self._process = process

    def send(self, message: ToScorer) -> None:
        """Send a message; it is lost when the process is."""
        if self._transport is not None:
            self._transport.write(frame(message))

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.kill()
        if self._transport is not None:
            self._transport.abort()

    def step_back(self) -> None:
        """Let others on this machine go first, from now on; Linux has a priority for each thread."""
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{self.pid}/task").iterdir():
                os.setpriority(os.PRIO_PROCESS, int(thread.name), MODEST)

    async def reap(self) -> None:
        """Wait until the process is gone."""
        if self._process is not None:
            await asyncio.to_thread(self._process.wait)
            if self._process.stdin:
                self._process.stdin.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= LENGTH:
            end = LENGTH + int.from_bytes(self._buffer[:LENGTH], "little")
            if len(self._buffer) < end:
                return
            message = decode_from_scorer(
                self._buffer[LENGTH:end]
            )  # a copy: what stays raw in it goes on pointing there
            del self._buffer[:end]
            self._hear(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.lost.done():
            self.lost.set_result(None)


async def open_link(folder: Path, records: Path, budget: float, hear: Callable[[FromScorer], None]) -> Link:
    """Start a scorer for the package in `folder`; what it says goes to `hear`, first of all whether it is ready.

    `budget` is the seconds it may spend on finding the rows of a batch that fail.
    """
    ours, theirs = socket.socketpair()
    link = Link(hear)
    command = [sys.executable, "-P", "-m", "keepfit.serving.scorer", str(folder), str(records), str(budget)]
    with theirs:
        process = subprocess.Popen(
            [*command, str(theirs.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env={**os.environ, **pinned(1, 0)},
        )
    link.attach(process)
    try:
        await asyncio.get_running_loop().create_connection(lambda: link, sock=ours)
    except BaseException:
        process.kill()
        with contextlib.suppress(OSError):
            ours.close()
        raise
    return link
