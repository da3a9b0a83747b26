"""A rebuilt environment holds just what was recorded, each package proven to be the one."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from keepfit.core.errors import DamagedObject, NotFound
from keepfit.engines import Here
from keepfit.home import FOLDER, Home
from keepfit.ledger import open_ledger
from keepfit.objects import open_objects
from keepfit.runs.environment import Environment, Package, complete
from keepfit.runs.installed import Installed, distributions_in, installed
from keepfit.runs.rebuild import WHEELS, rebuild
from keepfit.runs.sources import LARGEST, hash_of, install_sources, keep_sources, record


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(
        root=tmp_path,
        ledger=open_ledger("sqlite:ledger.db", tmp_path),
        objects=open_objects("folder:objects", tmp_path),
        engine=Here(),
    )


def wanted(**packages: Package) -> Environment:
    return msgspec.structs.replace(complete(), packages=packages)


def says(python: Path, code: str) -> str:
    return subprocess.run([python, "-I", "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def quiet(text: str) -> None:
    pass


def mine(root: Path) -> Installed:
    """An editable distribution."""
    (root / "work" / "mine").mkdir(parents=True)
    (root / "work" / "mine" / "__init__.py").write_text("answer = 42\n")
    place = root / "site" / "mine-2.0.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 2.0\n")
    (place / "RECORD").write_text("mine-2.0.dist-info/METADATA,sha256=x,1\nmine-2.0.dist-info/RECORD,,\n")
    work = root / "work"
    (place / "direct_url.json").write_text(f'{{"url": "file://{work}", "dir_info": {{"editable": true}}}}')
    return distributions_in(root / "site")["mine"]


def wheel(folder: Path, *, text: str = "answer = 7\n") -> Package:
    """A wheel in the folder, and what it is known by once installed."""
    folder.mkdir(parents=True, exist_ok=True)
    info = "tiny-1.5.dist-info"
    files = {
        "tiny.py": text,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.5\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [(name, hash_of(content.encode()), len(content)) for name, content in files.items()]
    with zipfile.ZipFile(folder / "tiny-1.5-py3-none-any.whl", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr(f"{info}/RECORD", record(info, rows))
    unpacked = folder / "unpacked"
    with zipfile.ZipFile(folder / "tiny-1.5-py3-none-any.whl") as archive:
        archive.extractall(unpacked)
    found = distributions_in(unpacked)["tiny"]
    shutil.rmtree(unpacked)
    return Package(found.version, found.digest)


def test_it_is_put_together_from_what_is_here_what_was_kept_and_wheels(home: Home, tmp_path: Path) -> None:
    if find_spec("pip") is None and shutil.which("uv") is None:
        pytest.skip("needs pip or uv")
    package = mine(tmp_path)
    sources = keep_sources(home, [package])
    tiny = wheel(tmp_path / FOLDER / WHEELS)
    here = complete().packages["threadpoolctl"]
    recorded = wanted(threadpoolctl=here, mine=Package("2.0", package.digest), tiny=tiny)
    told: list[str] = []
    python = rebuild(home, recorded, sources, tmp_path / "made", told=told.append)
    assert says(python, "import mine, tiny, threadpoolctl; print(mine.answer, tiny.answer)") == "42 7"
    assert says(python, "import importlib.metadata as m; print(m.version('mine'))") == "2.0"
    with pytest.raises(subprocess.CalledProcessError):
        says(python, "import numpy")
    assert any("threadpoolctl" in line for line in told)


def test_another_build_is_not_taken_for_the_recorded_one(home: Home, tmp_path: Path) -> None:
    if find_spec("pip") is None and shutil.which("uv") is None:
        pytest.skip("needs pip or uv")
    tiny = wheel(tmp_path / FOLDER / WHEELS)
    wheel(tmp_path / FOLDER / WHEELS, text="answer = 8\n")
    with pytest.raises(NotFound, match="only another build"):
        rebuild(home, wanted(tiny=tiny), {}, tmp_path / "made", told=quiet)


def test_a_file_changed_after_it_was_installed_is_not_copied(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "here"
    tiny = wheel(tmp_path / "elsewhere")
    with zipfile.ZipFile(tmp_path / "elsewhere" / "tiny-1.5-py3-none-any.whl") as archive:
        archive.extractall(site)
    monkeypatch.setattr(sys, "path", [*sys.path, str(site)])
    assert installed()["tiny"].digest == tiny.digest
    python = rebuild(home, wanted(tiny=tiny), {}, tmp_path / "made", told=quiet)
    assert says(python, "import tiny; print(tiny.answer)") == "7"
    (site / "tiny.py").write_text("answer = 0\n")
    monkeypatch.setattr("keepfit.runs.rebuild._install", lambda python, pins, *more: None)
    with pytest.raises(NotFound, match="tiny"):
        rebuild(home, wanted(tiny=tiny), {}, tmp_path / "again", told=quiet)


def test_a_python_that_is_not_here_is_told(home: Home, tmp_path: Path) -> None:
    other = msgspec.structs.replace(wanted(), python="3.9.99")
    with pytest.raises(NotFound, match=r"3\.9"):
        rebuild(home, other, {}, tmp_path / "made", told=quiet)


def test_a_kept_archive_is_the_same_every_time_and_stays_inside(home: Home, tmp_path: Path) -> None:
    package = mine(tmp_path)
    first = keep_sources(home, [package])
    (home.folder / "cache" / "sources.json").unlink()
    assert keep_sources(home, [package]) == first
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../outside.py", "")
    evil = home.objects.put(tmp_path / "evil.zip")
    with pytest.raises(DamagedObject, match="outside"):
        install_sources(home, evil, tmp_path / "made")
    assert not (tmp_path / "outside.py").exists()


def test_a_distribution_too_large_is_not_kept(home: Home, tmp_path: Path) -> None:
    package = mine(tmp_path)
    with open(tmp_path / "work" / "mine" / "table.bin", "wb") as file:
        file.truncate(LARGEST + 1)
    assert keep_sources(home, [package]) == {}
