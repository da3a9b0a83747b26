"""Finding files: what patterns mean, and what is refused by its name."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from data_kit import write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keepfit.core.errors import DataError
from keepfit.datasets.dataset import Column, Dataset
from keepfit.datasets.source import path_source, source_of
from keepfit.datasets.walk import shown, walk

TREE = ["a.csv", "b.parquet", "x/a.csv", "x/y/b.parquet", "x/y/z/c.csv", "q[1].csv", ".hidden/a.csv", "x/.a.csv"]


def found(root: Path, place: str) -> list[str]:
    made = path_source(root, place)
    return [f"{made.base}/{p}" if made.base else p for p in walk(root, made).paths()]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(st.sampled_from(["**", "*", "x", "y", "*.csv", "?.parquet", "[ab].*", ".*"]), min_size=1, max_size=4)
)
def test_a_glob_means_what_pathlib_says(tmp_path: Path, parts: list[str]) -> None:
    write(tmp_path, dict.fromkeys(TREE, ""))
    pattern = "/".join([*parts, "*.csv"])
    wanted = sorted(p for p in tmp_path.glob(pattern) if p.is_file())
    assert [tmp_path / p for p in found(tmp_path, pattern)] == wanted


def test_a_folder_means_everything_below_and_a_file_itself(tmp_path: Path) -> None:
    write(tmp_path, dict.fromkeys(TREE, ""))
    assert found(tmp_path, "x") == ["x/.a.csv", "x/a.csv", "x/y/b.parquet", "x/y/z/c.csv"]
    assert found(tmp_path, "a.csv") == ["a.csv"]
    assert found(tmp_path, "nothing") == []


def test_the_folder_of_a_dataset_means_its_parquet_files(tmp_path: Path) -> None:
    write(tmp_path, dict.fromkeys(TREE, ""))
    dataset = Dataset(name="d", source="x", columns={"a": Column(type="text")})
    assert list(walk(tmp_path, source_of(tmp_path, dataset)).paths()) == ["y/b.parquet"]


def test_what_keepfit_and_git_keep_is_no_data(tmp_path: Path) -> None:
    write(tmp_path, {".keepfit/a": "", ".git/a": "", "d/.git/a": "", "d/a": "", "d/.part-0123": ""})
    assert found(tmp_path, ".") == ["d/a"]


def test_a_link_inside_is_what_it_points_to(tmp_path: Path) -> None:
    write(tmp_path, {"d/a": "content", "e/b": "more"})
    (tmp_path / "d/link").symlink_to("a")
    (tmp_path / "d/folder").symlink_to("../e")
    listing = walk(tmp_path, path_source(tmp_path, "d"))
    assert list(listing.paths()) == ["a", "folder/b", "link"]
    assert [f[1] for f in listing.files] == [7, 7]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("../../outside", "leads out of the project"),
        ("/etc/hostname", "leads out of the project"),
        ("nowhere", "leads nowhere"),
        ("../d", "leads back to a folder it is in"),
    ],
)
def test_a_link_that_leads_astray_is_refused(tmp_path: Path, target: str, reason: str) -> None:
    root = tmp_path / "project"
    write(tmp_path, {"project/d/a": "", "outside": "secret"})
    (root / "d/link").symlink_to(target)
    with pytest.raises(DataError, match=f"`d/link` is a link that {reason}"):
        walk(root, path_source(root, "d"))


def test_links_that_lead_to_each_other_end(tmp_path: Path) -> None:
    write(tmp_path, {"a/f": "", "b/f": ""})
    (tmp_path / "a/b").symlink_to("../b")
    (tmp_path / "b/a").symlink_to("../a")
    with pytest.raises(DataError, match="leads back"):
        walk(tmp_path, path_source(tmp_path, "a"))


def test_a_base_that_leads_out_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"outside/a": "", "project/x": ""})
    (tmp_path / "project/d").symlink_to("../outside")
    with pytest.raises(DataError, match="`d` leads out of the project"):
        walk(tmp_path / "project", path_source(tmp_path / "project", "d"))


def test_what_is_neither_file_nor_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"d/a": ""})
    os.mkfifo(tmp_path / "d/pipe")
    with pytest.raises(DataError, match="`d/pipe` is neither a file nor a folder"):
        walk(tmp_path, path_source(tmp_path, "d"))
    assert found(tmp_path, "d/a*") == ["d/a"]
    (tmp_path / "d/pipe").unlink()
    here = os.getcwd()
    os.chdir(tmp_path / "d")
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("socket")
    finally:
        os.chdir(here)
    with pytest.raises(DataError, match="`d/socket` is neither"):
        walk(tmp_path, path_source(tmp_path, "d"))


def test_a_name_that_is_not_utf8_is_refused_and_can_be_printed(tmp_path: Path) -> None:
    write(tmp_path, {"d/a": ""})
    Path(os.fsdecode(os.fsencode(tmp_path / "d") + b"/caf\xe9\n.csv")).touch()
    with pytest.raises(DataError) as caught:
        walk(tmp_path, path_source(tmp_path, "d"))
    assert caught.value.message == r"`d/caf\xe9\n.csv` has a name that is not UTF-8"
    str(caught.value).encode()


def test_control_characters_are_shown_escaped() -> None:
    assert shown("a/é \x1b[31m\n") == r"a/é \x1b[31m\n"


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"d/a": ""})

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match="`d` cannot be read: Permission denied"):
        walk(tmp_path, path_source(tmp_path, "d"))
