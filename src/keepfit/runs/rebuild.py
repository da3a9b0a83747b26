"""An environment made again, package by package, each proven to be the one that was recorded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from keepfit.core.errors import NotFound
from keepfit.home import Home
from keepfit.runs.environment import Environment, Package
from keepfit.runs.installed import Installed, distributions_in, installed, recorded
from keepfit.runs.sources import files_of, hash_of, install_sources, record

WHEELS = "wheels"
"""Below the home's folder: wheels to install from before any index is asked."""
_PATIENCE = 600.0
"""Seconds for one command that installs."""


def rebuild(
    home: Home, wanted: Environment, sources: Mapping[str, str], folder: Path, *, told: Callable[[str], None]
) -> Path:
    """The interpreter of a new environment in `folder` that holds just the packages of `wanted`.

    `sources` are the object digests of kept distributions. Everything else is copied from what
    runs here where that is the very same, file by file against its recorded hash, and otherwise
    installed from the wheels kept in `.keepfit/wheels`, the caches of uv or pip, or the index.
    What was installed must have the identity recorded. Raises NotFound, naming the package, where
    it cannot be had.
    """
    python = _interpreter(wanted, folder, told)
    site = _site(python)
    here = installed()
    missing = []
    for number, (name, package) in enumerate(wanted.packages.items(), 1):
        told(f"environment: {number} of {len(wanted.packages)} packages, {name} {package.version}")
        if name in sources and home.objects.has(sources[name]):
            install_sources(home, sources[name], site)
        elif not _copied(here.get(name), package, site):
            missing.append(f"{name}=={package.version}")
    if missing:
        told(f"environment: installing {', '.join(missing)}")
        _install(python, missing, home.folder / WHEELS, folder)
    _prove(wanted, sources, site)
    return python


def _interpreter(wanted: Environment, folder: Path, told: Callable[[str], None]) -> Path:
    """An empty environment's interpreter of the recorded version; NotFound when there is none."""
    told(f"environment: Python {wanted.python}")
    own, uv = sys.version.split()[0] == wanted.python, shutil.which("uv")
    venv = ["-I", "-m", "venv", "--without-pip", "--symlinks", str(folder)]
    if own:
        command = [sys.executable, *venv]
    elif uv:
        command = [uv, "venv", "--quiet", "--python", wanted.python, str(folder)]
    else:
        command = [f"python{wanted.python.rpartition('.')[0]}", *venv]
    python = folder / "bin" / "python"
    try:
        _run(command)
        found = _run([str(python), "-I", "-c", "import sys; print(sys.version.split()[0])"]).strip()
    except NotFound:
        found = ""
    if found != wanted.python:
        raise NotFound(
            f"Python {wanted.python}, which the run used, is not here", hint=f"uv python install {wanted.python}"
        )
    return python


def _site(python: Path) -> Path:
    command = "import sysconfig; print(sysconfig.get_path('platlib'))"
    return Path(_run([str(python), "-I", "-c", command]).strip())


def _copied(package: Installed | None, wanted: Package, site: Path) -> bool:
    """Whether the distribution that runs here is the one wanted, and was copied, every file as recorded."""
    if package is None or package.sources or Package(package.version, package.digest) != wanted or not wanted.digest:
        return False
    place = Path(package.place)
    hashes, rows = dict(recorded(place)), []
    try:
        for path, file in files_of(package):
            content = file.read_bytes()
            if hash_of(content) != hashes[path]:
                return False  # changed after it was installed
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_bytes(content)
            rows.append((path, hashes[path], len(content)))
    except (OSError, KeyError):
        return False
    (site / place.name / "RECORD").write_bytes(record(place.name, rows))
    return True


def _install(python: Path, pins: Sequence[str], wheels: Path, folder: Path) -> None:
    """Install these pins and nothing else, from caches alone if that can be done; NotFound when it cannot be."""
    uv = shutil.which("uv")
    find = ["--find-links", str(wheels)] if wheels.is_dir() else []
    if uv:
        command = [uv, "pip", "install", "--quiet", "--python", str(python), "--no-deps", *find]
        tries = [[*command, "--offline", *pins], [*command, *pins]]
    else:
        # pip works on another environment's interpreter; where this one has no pip there is none to install with
        command = [sys.executable, "-I", "-m", "pip", "--python", str(python), "install", "--quiet"]
        command += ["--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", *find]
        tries = [[*command, "--no-index", *pins], [*command, *pins]] if find else [[*command, *pins]]
    problem = ""
    for words in tries:
        try:
            _run(words)
            return
        except NotFound as failed:
            problem = failed.message
    raise NotFound(
        f"{', '.join(pins)} cannot be installed again: {problem}",
        hint=f"pip download --no-deps --dest {os.path.join('.keepfit', WHEELS)} {' '.join(pins)}",
    )


def _prove(wanted: Environment, sources: Mapping[str, str], site: Path) -> None:
    """Every package is the recorded one, to the last file; NotFound that names the first that is not."""
    there = distributions_in(site)
    for name, package in wanted.packages.items():
        found = there.get(name)
        if found is None:
            raise NotFound(f"`{name}` {package.version} was installed but cannot be found")
        if package.digest and name not in sources and Package(found.version, found.digest) != package:
            raise NotFound(
                f"`{name}` {package} was used, but only another build of it can be had: "
                f"{Package(found.version, found.digest)}",
                hint=f"put the wheel that was used into {os.path.join('.keepfit', WHEELS)}",
            )


def _run(words: Sequence[str]) -> str:
    """What a command prints; NotFound with its last words when it fails."""
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise NotFound(f"`{os.path.basename(words[0])}` cannot be run: {problem}") from problem
    if done.returncode != 0:
        last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no reason given")
        raise NotFound(last.strip())
    return done.stdout
