"""Trees of files: what they hold, how they differ, and how little a change rewrites."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_kit import contents, source, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keepfit.core.errors import DamagedObject, NotFound
from keepfit.datasets.add import add
from keepfit.datasets.tree import (
    Entry,
    compare,
    encode_manifest,
    read_manifest,
    reader,
    tree_digests,
    tree_files,
)
from keepfit.home import Home
from keepfit.objects import read

names = st.sampled_from(["a", "b", "a.b", "A", "é", "z z", "0"])
files = st.dictionaries(st.lists(names, min_size=1, max_size=3).map("/".join), st.sampled_from(["", "x", "yy"]))


def possible(tree: dict[str, str]) -> bool:
    """Whether no file is also a folder."""
    return not any(other.startswith(f"{path}/") for path in tree for other in tree)


def put(home: Home, tree: dict[str, str]) -> str | None:
    """The tree of these files, without touching the file system."""
    if not tree:
        return None

    def folder(prefix: str) -> Entry:
        found: dict[str, Entry] = {}
        for path in tree:
            if path.startswith(prefix):
                name, slash, _ = path[len(prefix) :].partition("/")
                if slash:
                    found.setdefault(name, folder(f"{prefix}{name}/"))
                else:
                    found[name] = Entry(name, "file", len(tree[path]), home.objects.put(tree[path].encode()))
        entries = sorted(found.values(), key=lambda e: e.name)
        digest = home.objects.put(encode_manifest(entries))
        return Entry(prefix.rstrip("/").rpartition("/")[2], "folder", sum(e.size for e in entries), digest)

    return folder("").digest


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=files.filter(possible), after=files.filter(possible))
def test_a_tree_holds_its_files_and_two_differ_as_their_files_do(
    home: Home, before: dict[str, str], after: dict[str, str]
) -> None:
    roots = [put(home, before), put(home, after)]
    for root, tree in zip(roots, (before, after), strict=True):
        if root:
            found = list(tree_files(home.objects, root))
            assert {f.path: read(home.objects, f.digest).decode() for f in found} == tree
            assert [Path(f.path) for f in found] == sorted(Path(p) for p in tree)
            assert read_manifest(home.objects, root)
            needed = list(tree_digests(home.objects, root))
            assert needed[0] == root
            assert len(needed) == len(set(needed))
            assert {f.digest for f in found} <= set(needed)
    changes = {c.path: c.change for c in compare(reader(home.objects), *roots)}
    assert changes == {
        **{p: "added" for p in after.keys() - before.keys()},
        **{p: "deleted" for p in before.keys() - after.keys()},
        **{p: "modified" for p in before.keys() & after.keys() if before[p] != after[p]},
    }


def test_a_change_rewrites_only_the_manifests_above_it(home: Home) -> None:
    write(home.root, {f"d/{i:02}/{j}.txt": f"{i} {j}" for i in range(20) for j in range(5)})
    before = set(tree_digests(home.objects, add(home, source(home)).version.tree))
    write(home.root, {"d/07/3.txt": "other"})
    after = set(tree_digests(home.objects, add(home, source(home)).version.tree))
    assert len(after - before) == 3  # the file, its folder, the root
    assert contents(home.root / "d")["07/3.txt"] == "other"


def test_equal_folders_are_one_object(home: Home) -> None:
    write(home.root, {"d/a/x": "1", "d/b/x": "1", "e/a/x": "1", "e/b/x": "1"})
    assert add(home, source(home, "d")).version.tree == add(home, source(home, "e")).version.tree
    assert len(list(tree_digests(home.objects, add(home, source(home)).version.tree))) == 3


def test_what_is_no_manifest_is_told(home: Home) -> None:
    with pytest.raises(DamagedObject, match="is no manifest"):
        read_manifest(home.objects, home.objects.put(b"something else"))
    with pytest.raises(NotFound):
        read_manifest(home.objects, "0" * 64)
