"""What is installed, as its installers recorded it; what of that a run can need; what changed between two."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from keepfit.runs.environment import Change, Environment, Package, complete, environment, environment_diff, imported
from keepfit.runs.installed import installed


def install(site: Path, name: str, *, requires: str = "", extra: str = "", version: str = "1.0") -> Path:
    """A distribution with one module, as a wheel's installer would leave it."""
    place = site / f"{name}-{version}.dist-info"
    place.mkdir(parents=True)
    (site / f"{name}.py").write_text(f"version = '{version}'")
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}\n\nWords")
    (place / "RECORD").write_text(
        f"{name}.py,sha256=abc,15\n{place.name}/METADATA,sha256=def,9\n{place.name}/RECORD,,\n{extra}"
    )
    return place


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder)])
    return folder


def test_one_wheel_has_one_identity_whoever_installed_it(site: Path, tmp_path: Path) -> None:
    pip = "../../../bin/a,sha256=1,1\na-1.0.dist-info/INSTALLER,sha256=2,4\n__pycache__/a.cpython-311.pyc,,\n"
    uv = "a-1.0.dist-info/INSTALLER,sha256=3,2\na-1.0.dist-info/direct_url.json,sha256=4,5\n"
    uv += "a-1.0.dist-info/uv_cache.json,sha256=5,5\n../../../bin/a,sha256=6,9\na-1.0.dist-info/REQUESTED,sha256=7,0\n"
    install(site, "a", extra=pip)
    first = installed()["a"]
    other = tmp_path / "other"
    install(other, "a", extra=uv)
    sys.path[:] = [str(other)]
    assert installed()["a"].digest == first.digest != ""
    assert first.modules == ["a"]


def test_another_build_of_the_same_version_is_seen(site: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache.json"
    place = install(site, "a")
    before = complete(cache=cache)
    assert complete(cache=cache) == before
    record = place / "RECORD"
    record.write_text(record.read_text().replace("abc", "other"))
    after = complete(cache=cache)
    (change,) = environment_diff(before, after)
    assert change.name == "a"
    assert change.before and change.after and change.before.startswith("1.0 (") and change.before != change.after


def test_a_cache_that_is_damaged_or_cannot_be_written_is_done_without(site: Path, tmp_path: Path) -> None:
    install(site, "a")
    cache = tmp_path / "cache.json"
    cache.write_text('{"x": ')
    assert "a" in installed(cache)
    assert "a" in installed(tmp_path / "cache.json" / "below")


def test_an_editable_one_is_known_by_its_files(site: Path, tmp_path: Path) -> None:
    source = tmp_path / "work"
    (source / "mine").mkdir(parents=True)
    (source / "mine" / "__init__.py").write_text("one")
    (source / ".venv").mkdir()
    place = install(site, "mine", extra="mine.pth,sha256=1,1\n")
    (site / "mine.pth").write_text(f"{source}\n")
    (place / "direct_url.json").write_text(json.dumps({"url": "file:///none", "dir_info": {"editable": True}}))
    cache = tmp_path / "cache.json"
    before = installed(cache)["mine"]
    assert before.sources == [str(source)] and before.modules == ["mine"]
    os.utime(source / "mine" / "__init__.py", (1, 1))
    assert installed(cache)["mine"].digest == before.digest
    (source / "mine" / "__init__.py").write_text("two")
    assert installed(cache)["mine"].digest != before.digest


def test_what_has_no_record_is_known_by_its_version(site: Path) -> None:
    (site / "old-2.5-py3.11.egg-info").write_text("Metadata-Version: 1.0\nName: old\nVersion: 2.5\n")
    (site / "bare-1.1.dist-info").mkdir()
    found = installed()
    assert [(d.name, d.version, d.digest) for d in found.values()] == [("bare", "1.1", ""), ("old", "2.5", "")]


def test_only_what_the_code_can_need_counts(site: Path) -> None:
    install(site, "keepfit", requires="Requires-Dist: deep>=1\nRequires-Dist: tool; extra == 'dev'")
    install(site, "deep")
    install(site, "tool")
    install(site, "numbers_", requires='Requires-Dist: Fast.Maths[gpu] (>1) ; python_version > "3"')
    install(site, "Fast_Maths", requires="Requires-Dist: card; extra == 'gpu'\nRequires-Dist: docs; extra == \"doc\"")
    install(site, "card")
    install(site, "docs")
    assert list(environment().packages) == ["deep", "keepfit"]
    code = b"def f():\n    from numbers_.linear import x\n    import absent, json\n    from . import tool\n"
    assert list(environment([code]).packages) == ["card", "deep", "fast-maths", "keepfit", "numbers-"]
    assert len(complete().packages) == 7


def test_this_environment_is_read() -> None:
    found = environment([b"import sklearn"])
    assert {"keepfit", "numpy", "scikit-learn", "skops", "scipy", "polars"} <= set(found.packages)
    assert "pytest" not in found.packages and "pytest" in complete().packages
    assert all(p.digest for p in found.packages.values())


def test_the_difference_names_all_that_changed() -> None:
    before = Environment(
        python="3.11.7",
        implementation="cpython",
        platform="linux-x86_64",
        packages={"a": Package("1", "x"), "b": Package("1", "x"), "c": Package("1", "x"), "d": Package("1", "x")},
    )
    after = Environment(
        python="3.12.0",
        implementation="cpython",
        platform="linux-x86_64",
        packages={"a": Package("1", "x"), "b": Package("2", "y"), "c": Package("1", "z"), "e": Package("1", "")},
    )
    changes = environment_diff(before, after)
    assert changes == [
        Change("python", "3.11.7", "3.12.0"),
        Change("b", "1", "2"),
        Change("c", "1 (x)", "1 (z)"),
        Change("d", "1 (x)", None),
        Change("e", None, "1"),
    ]
    assert str(changes[0]) == "python 3.11.7 -> 3.12.0"
    assert environment_diff(before, before) == []


def test_code_that_is_not_python_imports_nothing() -> None:
    assert imported(b"import (") == imported(b"\0") == frozenset()
