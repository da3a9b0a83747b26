"""A real PostgreSQL server of one's own, from the machine's binaries; without them the test is skipped."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_PATIENCE = 60.0
_LIKE = ("127.0.0.1", "keepfit", "s3cret")
"""Where it listens, and as whom one connects."""
_USER = "postgres"
"""As whom it runs where we are root."""


@contextlib.contextmanager
def server(folder: Path | None = None) -> Iterator[str]:
    """The address of a server that runs for the block, with a password in it.

    With `folder` the database is kept there, and found again by the next server; the folders above
    it must be open to others, since the server refuses to run as root.
    """
    home = folder or Path(tempfile.mkdtemp(prefix="keepfit-postgres-"))
    host, user, password = _LIKE
    try:
        if not (home / "data" / "PG_VERSION").exists():
            _prepare(home, user, password)
        port = _free_port(host)
        running = _start(home, host, port)
        try:
            _await(running, host, port)
            yield f"postgresql://{user}:{password}@{host}:{port}/postgres"
        finally:
            running.send_signal(signal.SIGINT)  # fast shutdown: connections are ended
            running.wait(_PATIENCE)
    finally:
        if folder is None:
            shutil.rmtree(home, ignore_errors=True)


def _prepare(home: Path, user: str, password: str) -> None:
    home.mkdir(parents=True, exist_ok=True)
    secret = home / "password"
    secret.write_text(password)
    if os.getuid() == 0:
        shutil.chown(home, _USER, _USER)
        shutil.chown(secret, _USER, _USER)
    login = ["-U", user, f"--pwfile={secret}", "-A", "scram-sha-256"]
    command = [_binary("initdb"), "-D", str(home / "data"), *login, "-E", "UTF8", "--locale=C", "--no-sync"]
    made = subprocess.run(command, capture_output=True, text=True, **_as_server())
    secret.unlink()
    assert made.returncode == 0, made.stderr


def _start(home: Path, host: str, port: int) -> subprocess.Popen[bytes]:
    settings = {"listen_addresses": host, "unix_socket_directories": ""}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with open(home / "log", "ab") as log:
        command = [_binary("postgres"), "-D", str(home / "data"), "-p", str(port), *options]
        return subprocess.Popen(command, stdout=log, stderr=log, **_as_server())


def _await(running: subprocess.Popen[bytes], host: str, port: int) -> None:
    until = time.monotonic() + _PATIENCE
    ready = [_binary("pg_isready"), "-q", "-h", host, "-p", str(port)]
    while subprocess.run(ready).returncode != 0:
        assert running.poll() is None, "the server did not start"
        assert time.monotonic() < until, "the server does not answer"
        time.sleep(0.05)


def _binary(name: str) -> str:
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), reverse=True)
    found = shutil.which(name, path=os.pathsep.join([*map(str, places), os.environ.get("PATH", "")]))
    if found is None:
        pytest.skip(f"there is no `{name}` here")
    return found


def _as_server() -> dict[str, Any]:
    """What subprocess needs to leave root, as whom the server does not run."""
    return {"user": _USER, "group": _USER, "extra_groups": [], "cwd": "/"} if os.getuid() == 0 else {}


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
