"""Targets: what they would do is shown, done whole, taken away again; the units are what systemd takes."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keepfit.cli.run import run
from keepfit.core.errors import ServingError, UsageError
from keepfit.core.notify import notify, watchdog_seconds
from keepfit.infra import systemd
from keepfit.infra.target import TARGETS, Deployment, Steps, find_target, take

MODEL = "toy"


def deployment(root: Path, **changes: object) -> Deployment:
    return Deployment(
        **{"root": root, "name": MODEL, "host": "127.0.0.1", "port": 8080, "python": Path(sys.executable), **changes}
    )


@pytest.fixture(autouse=True)
def _own_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_says_what_it_would_do(name: str, tmp_path: Path) -> None:
    target = find_target(name)
    for steps in (target.install(deployment(tmp_path)), target.remove(deployment(tmp_path))):
        assert isinstance(steps, Steps) and (steps.write or steps.note)


needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="apt install systemd")


@needs_systemd
@pytest.mark.parametrize("scope", ["user", "system"])
@pytest.mark.parametrize("folder", ["plain", 'odd % $HOME "name" \\ here'])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_systemd_takes_the_units(tmp_path: Path, scope: str, folder: str, host: str) -> None:
    root = tmp_path / folder
    root.mkdir()
    steps = find_target("systemd").install(deployment(root, scope=scope, host=host, writes=[tmp_path]))
    place = tmp_path / "units"
    place.mkdir()
    for path, text in steps.write.items():
        (place / path.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", f"--{scope}", "verify", *sorted(map(str, place.iterdir()))],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_units_are_written_started_and_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools, said = tmp_path / "bin", tmp_path / "said"
    tools.mkdir()
    (tools / "systemctl").write_text(f'#!/bin/sh\necho "$@" >> "{said}"\n')
    (tools / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr(systemd, "BOOTED", tools)
    target = find_target("systemd")
    target.check()
    take(target.install(deployment(tmp_path)))
    take(target.install(deployment(tmp_path)))
    units = sorted((tmp_path / "config" / "systemd" / "user").iterdir())
    assert [unit.name for unit in units] == ["keepfit-toy.service", "keepfit-toy.socket"]
    assert said.read_text().splitlines()[:4] == [
        "--user daemon-reload",
        "--user enable keepfit-toy.socket keepfit-toy.service",
        "--user start keepfit-toy.socket",
        "--user restart keepfit-toy.service",
    ]
    (tmp_path / "other").mkdir()
    with pytest.raises(UsageError, match=r"`keepfit-toy\.service` is of another project"):
        target.install(deployment(tmp_path / "other"))
    said.unlink()
    take(target.remove(deployment(tmp_path)))
    assert said.read_text().splitlines() == [
        "--user disable --now keepfit-toy.socket keepfit-toy.service",
        "--user daemon-reload",
    ]
    assert not list((tmp_path / "config").rglob("keepfit-*"))
    assert target.remove(deployment(tmp_path)).note == "there is nothing to remove"
    (tools / "systemctl").write_text("#!/bin/sh\necho no such bus >&2; exit 1\n")
    with pytest.raises(ServingError, match="`systemctl --user daemon-reload` failed: no such bus"):
        take(target.install(deployment(tmp_path)))


def test_what_cannot_be_a_unit_is_refused(tmp_path: Path) -> None:
    target = find_target("systemd")
    with pytest.raises(UsageError, match="needs a port of its own"):
        target.install(deployment(tmp_path, port=0))
    with pytest.raises(UsageError, match="no unit can name"):
        target.install(deployment(tmp_path / "a\nExecStart=b"))


def test_the_command_shows_before_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from small_unit_project import write

    root = write(tmp_path / "project")
    words = ["--target", "systemd", "--scope", "user", "--project", str(root)]
    assert run("release", [*words, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "ListenStream=127.0.0.1:8080" in out and "systemctl --user daemon-reload" in out
    assert not (tmp_path / "config").exists()
    monkeypatch.setattr(systemd, "BOOTED", tmp_path / "none")
    assert run("release", words) == 1
    err = capsys.readouterr().err
    assert "systemd does not run on this machine" in err and "keepfit up" in err
    monkeypatch.setattr(systemd.Systemd, "check", lambda self: None)
    assert run("release", words) == 3
    assert "no version of `toy` is in production yet" in capsys.readouterr().err
    assert run("release", ["--target", "sytemd", "--project", str(root)]) == 2
    assert "did you mean `systemd`?" in capsys.readouterr().err


def test_a_service_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not notify("READY=1")
    for name, place in ((str(tmp_path / "s"), str(tmp_path / "s")), ("@keepfit-test", "\0keepfit-test")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(place)
            monkeypatch.setenv("NOTIFY_SOCKET", name)
            assert notify("READY=1", "STATUS=well")
            assert manager.recv(100) == b"READY=1\nSTATUS=well"
        assert not notify("READY=1")  # nobody listens any more: that harms nothing
    assert watchdog_seconds({"WATCHDOG_USEC": "3000000"}) == 3
    assert watchdog_seconds({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}) is None
    assert (
        watchdog_seconds({})
        is watchdog_seconds({"WATCHDOG_USEC": "x"})
        is watchdog_seconds({"WATCHDOG_USEC": "0"})
        is None
    )


@contextlib.contextmanager
def activated(root: Path, port: int) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """`keepfit up` behind a socket as systemd would hold it, and what it tells the manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(root / "notify"))
        manager.settimeout(60)
        told = {"NOTIFY_SOCKET": str(root / "notify"), "WATCHDOG_USEC": "600000"}
        passed = [word for name, value in told.items() for word in ("-E", f"{name}={value}")]
        up = [sys.executable, "-P", "-m", "keepfit", "up", "--project", str(root)]
        process = subprocess.Popen(
            ["systemd-socket-activate", "-l", f"127.0.0.1:{port}", *passed, "-E", f"PATH={os.environ['PATH']}", *up],
            stderr=subprocess.DEVNULL,
        )
        try:
            yield process, manager
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(60)


@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="apt install systemd")
def test_the_endpoint_answers_on_the_socket_it_is_given(tmp_path: Path) -> None:
    from small_unit_project import write

    root = write(tmp_path / "project", port=1)  # which it could not have by itself
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with activated(root, port) as (process, manager):
        end, status = time.monotonic() + 60, 0
        while status == 0 and time.monotonic() < end:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            with contextlib.suppress(OSError), contextlib.closing(connection):
                connection.request("GET", "/health/live")
                status = connection.getresponse().status
        assert status == 200 and process.poll() is None
        heard = manager.recv(1000).decode()
        assert heard.startswith("READY=1\nSTATUS=toy is served at http://127.0.0.1:")
        assert manager.recv(1000) == b"WATCHDOG=1"
        process.send_signal(signal.SIGTERM)
        while (last := manager.recv(1000)) == b"WATCHDOG=1":
            pass
        assert last == b"STOPPING=1" and process.wait(60) == 0
