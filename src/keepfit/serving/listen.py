"""The listening socket, which outlives the gateways that answer on it: what nobody accepts yet waits in the kernel."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Mapping

from keepfit.core.errors import ServingError

_FIRST = 3
"""The descriptor at which a process is given its socket: sd_listen_fds(3)."""
_FDS, _PID = "LISTEN_FDS", "LISTEN_PID"


def listen(host: str, port: int) -> socket.socket:
    """A listening socket: the one this process was started with, or a new one; ServingError when there can be none.

    The first is socket activation as systemd has it; host and port are then the socket's own.
    """
    if _is_given(os.environ):
        for name in (_FDS, _PID, "LISTEN_FDNAMES"):
            os.environ.pop(name, None)
        os.set_inheritable(_FIRST, False)
        return socket.socket(fileno=_FIRST)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as problem:
        hint = "free the port, or write another `port` under [serve] in keepfit.toml (0: any free one)"
        if problem.errno == errno.EADDRNOTAVAIL or (problem.errno or 0) < 0:  # below 0: the name is not known
            hint = "`host` must be an address of this machine: 127.0.0.1, or 0.0.0.0 for all it has"
        elif problem.errno == errno.EACCES:
            hint = "ports below 1024 take special rights: write another `port` under [serve] in keepfit.toml"
        reason = str(problem.strerror).partition(" (while")[0]
        raise ServingError(f"cannot listen on {host}:{port}: {reason}", hint=hint) from problem


def leave(sock: socket.socket) -> dict[str, str]:
    """What to set in the environment so that the program that takes this one's place by `exec` listens on."""
    os.dup2(sock.fileno(), _FIRST)
    os.set_inheritable(_FIRST, True)
    return {_FDS: "1", _PID: str(os.getpid())}


def _is_given(environment: Mapping[str, str]) -> bool:
    with contextlib.suppress(ValueError):
        if environment.get(_PID) == str(os.getpid()) and int(environment.get(_FDS, "0")) >= 1:
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(_FIRST)) as given:
                return bool(given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    return False
