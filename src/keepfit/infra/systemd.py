"""The endpoint as a systemd service, its port a socket unit that outlives it: systemd.service(5), systemd.socket(5)."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

from keepfit.core.errors import ServingError, UsageError
from keepfit.infra.target import Deployment, Steps

BOOTED = Path("/run/systemd/system")
"""Is there where systemd runs the machine: sd_booted(3)."""

_TMP = ("/tmp", "/var/tmp")

SOCKET = """\
[Unit]
Description=Port of the model {name}

[Socket]
ListenStream={address}
Backlog=2048

[Install]
WantedBy=sockets.target
"""

SERVICE = """\
[Unit]
Description=The model {name}, served, watched and retrained by keepfit
Requires={unit}.socket
After=network.target {unit}.socket
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={python} -P -m keepfit up --project {root}
ExecReload=/bin/kill -USR2 $MAINPID
WorkingDirectory={folder}
Restart=always
RestartSec=1
WatchdogSec=60
TimeoutStartSec=300
TimeoutStopSec=120
KillMode=mixed
{who}
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
{walls}
[Install]
WantedBy={wanted}
"""

WALLS = """\
CapabilityBoundingSet=
PrivateTmp={tmp}
PrivateDevices={devices}
ProtectSystem=strict
ProtectHome=read-only
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
ReadWritePaths={writes}
"""
"""What only the system's own manager can do for a service; a user's manager has no rights to it."""


class Systemd:
    """Units of a user's manager, or of the system's."""

    def check(self) -> None:
        """ServingError when systemd does not run here."""
        if not BOOTED.is_dir() or not shutil.which("systemctl"):
            raise ServingError(
                "systemd does not run on this machine",
                hint="have your own supervisor run `keepfit up`; --dry-run shows the units all the same",
            )

    def install(self, deployment: Deployment) -> Steps:
        """Write both units and start them, now and at every boot; a service that runs is started anew."""
        units = _units(deployment)
        for path, text in units.items():
            if path.suffix == ".service" and path.exists() and _place(text) != _place(path.read_text()):
                raise UsageError(
                    f"`{path.name}` is of another project",
                    where=str(path),
                    hint="call the model otherwise in keepfit.toml, or remove the unit first",
                )
        unit, systemctl = _unit(deployment), _systemctl(deployment)
        linger = "it runs while you are logged in; for good: loginctl enable-linger"
        return Steps(
            write=units,
            after=[
                [*systemctl, "daemon-reload"],
                [*systemctl, "enable", f"{unit}.socket", f"{unit}.service"],
                [*systemctl, "start", f"{unit}.socket"],
                [*systemctl, "restart", f"{unit}.service"],
            ],
            note=linger if deployment.scope == "user" else "",
        )

    def remove(self, deployment: Deployment) -> Steps:
        """Stop both units and take their files away; the project stays as it is."""
        there = [path for path in _units(deployment) if path.exists()]
        if not there:
            return Steps(note="there is nothing to remove")
        systemctl = _systemctl(deployment)
        return Steps(
            before=[[*systemctl, "disable", "--now", *(path.name for path in there)]],
            remove=there,
            after=[[*systemctl, "daemon-reload"]],
        )


def _units(deployment: Deployment) -> dict[Path, str]:
    """The files of the units, and what is in them."""
    root, system = deployment.root, deployment.scope == "system"
    for path in (root, deployment.python, *deployment.writes):
        if not str(path).isprintable():
            raise UsageError(f"no unit can name a path such as {str(path)!r}")
    if not deployment.port:
        raise UsageError("a service needs a port of its own", hint="write `port` under [serve] in keepfit.toml")
    unit = _unit(deployment)
    writes = " ".join(_quoted(path) for path in (root, *deployment.writes))
    walls = WALLS.format(
        writes=writes,
        devices="no" if Path("/dev/nvidiactl").exists() else "yes",
        tmp="no" if any(path.is_relative_to(t) for path in (root, deployment.python) for t in _TMP) else "yes",
    )
    service = SERVICE.format(
        name=deployment.name,
        unit=unit,
        python=_quoted(deployment.python),
        root=_quoted(root),
        folder=str(root).replace("%", "%%"),
        who=f"User={_owner(root)}" if system else "",
        walls=walls if system else "",
        wanted="multi-user.target" if system else "default.target",
    )
    host = f"[{deployment.host}]" if ":" in deployment.host else deployment.host
    socket = SOCKET.format(name=deployment.name, address=f"{host}:{deployment.port}")
    place = _folder(deployment)
    return {place / f"{unit}.socket": socket, place / f"{unit}.service": service.replace("\n\n\n", "\n\n")}


def _folder(deployment: Deployment) -> Path:
    if deployment.scope == "system":
        return Path("/etc/systemd/system")
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def _unit(deployment: Deployment) -> str:
    return f"keepfit-{deployment.name}"


def _systemctl(deployment: Deployment) -> list[str]:
    return ["systemctl", *(["--user"] if deployment.scope == "user" else [])]


def _quoted(path: Path) -> str:
    """A path as units write it: specifiers, variables and quotes mean themselves."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$") + '"'


def _owner(root: Path) -> str:
    owner = root.stat().st_uid
    try:
        return pwd.getpwuid(owner).pw_name
    except KeyError:
        return str(owner)


def _place(unit: str) -> str:
    return next((line for line in unit.splitlines() if line.startswith("WorkingDirectory=")), "")
