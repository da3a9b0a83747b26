"""Nothing that is needed, or will be, is ever freed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keepfit.core.digests import canonical
from keepfit.core.errors import DamagedObject
from keepfit.engines import Here
from keepfit.home import Home
from keepfit.keeping.gc import gc
from keepfit.keeping.needs import facts, named
from keepfit.ledger import Move, fact, open_ledger
from keepfit.objects import Leased, Objects, open_objects

NOON = datetime(2013, 5, 2, 12, tzinfo=UTC)


def a_home(root: Path) -> Home:
    """A home as a process of its own would open it, with leases of its own."""
    return Home(
        root=root,
        ledger=open_ledger("sqlite:.keepfit/ledger.db", root),
        objects=Leased(bare(root), root / ".keepfit" / "leases"),
        engine=Here(),
    )


def bare(root: Path) -> Objects:
    """The store itself."""
    return open_objects("folder:.keepfit/objects", root)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return a_home(tmp_path)


def end(home: Home, *, long_ago: bool = True) -> None:
    """Let the process of a home end."""
    leased = home.objects
    assert isinstance(leased, Leased)
    if leased._file is not None:
        os.close(leased._file)
    leased.start()
    for path in (home.folder / "leases").glob("*"):
        if long_ago and path.name != "lock":
            past = time.time() - 2 * 86400
            os.utime(path, (past, past))


def test_what_no_fact_names_is_shown_and_then_freed(home: Home) -> None:
    kept, lost = home.objects.put(b"kept"), home.objects.put(b"lost")
    home.ledger.append([fact("model", "model/delay", time=NOON, body={"anywhere": [kept]})])
    end(home)
    shown = gc(home, bare(home.root))
    assert (shown.objects, shown.bytes, shown.kept, shown.applied) == (1, 4, 1, False)
    assert home.objects.has(lost)
    end(home)
    assert gc(home, bare(home.root), apply=True).objects == 1
    assert list(bare(home.root).list()) == [kept]


def test_what_a_living_process_has_put_or_found_is_kept(home: Home) -> None:
    old = home.objects.put(b"put by one who ended")
    end(home)
    writer = a_home(home.root)
    digests = {writer.objects.put(b"new"), *writer.objects.put_all([b"a", b"b"])}
    assert writer.objects.has(old)
    assert gc(home, bare(home.root), apply=True).objects == 0
    assert set(bare(home.root).list()) == digests | {old}
    end(writer)
    assert gc(home, bare(home.root), apply=True).objects == 4


def test_a_process_that_has_just_ended_may_have_handed_its_digests_on(home: Home) -> None:
    home.objects.put(b"handed on")
    end(home, long_ago=False)
    assert gc(home, bare(home.root), apply=True).objects == 0


def test_an_old_object_that_is_put_again_is_kept(home: Home) -> None:
    home.objects.put(b"content")
    end(home)
    writer = a_home(home.root)
    digest = writer.objects.put(b"content")
    gc(home, bare(home.root), apply=True)
    assert bare(home.root).has(digest)


def test_what_a_tree_lists_is_kept_and_one_that_cannot_be_read_stops_all(home: Home) -> None:
    file = home.objects.put(b"rows")
    tree = home.objects.put(canonical({"tree": 1, "entries": [["rows.csv", "file", 4, file]]}))
    home.ledger.append([fact("data", "data/flights", time=NOON, refs={"tree": tree})])
    end(home)
    assert gc(home, bare(home.root), apply=True).objects == 0
    bare(home.root).delete(tree)
    with pytest.raises(DamagedObject, match="cannot be told"):
        gc(home, bare(home.root), apply=True)
    assert bare(home.root).has(file)


def test_folders_of_work_that_was_killed_are_freed_and_those_in_use_are_not(home: Home) -> None:
    code = (
        "import sys, time; from pathlib import Path; from keepfit.core.files import locked\n"
        "with locked(Path(sys.argv[1])): print('locked', flush=True); time.sleep(60)"
    )
    work = home.folder / "work"
    for name in ("killed", "running"):
        (work / name).mkdir(parents=True)
        (work / name / "file").write_bytes(b"1234")
        (work / f"{name}.lock").touch()
    worker = subprocess.Popen([sys.executable, "-c", code, str(work / "running.lock")], stdout=subprocess.PIPE)
    assert worker.stdout is not None
    worker.stdout.readline()
    try:
        found = gc(home, bare(home.root), apply=True)
    finally:
        worker.kill()
        worker.communicate()
    assert found.folders == [".keepfit/work/killed"] and found.folder_bytes == 4
    assert not (work / "killed").exists() and (work / "running").exists()


def test_pins_of_what_is_served_are_kept(home: Home) -> None:
    packages = [str(n) * 64 for n in range(3)]
    before = None
    for package in packages:
        refs = {"package": package, **({"previous": before} if before else {})}
        live = fact("release", "release/delay", time=NOON, refs=refs)
        home.ledger.append([live], [Move("release/delay", before, live.id)])
        before = live.id
        pin = home.folder / "pins" / package[:16]
        pin.mkdir(parents=True)
        past = time.time() - 2 * 86400
        os.utime(pin, (past, past))
    assert gc(home, bare(home.root), apply=True).folders == [f".keepfit/pins/{packages[0][:16]}"]


ACTIONS = st.tuples(
    st.integers(0, 2), st.sampled_from(["put", "put all", "has", "append", "die", "gc"]), st.integers(0, 4)
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
@given(st.lists(ACTIONS, max_size=25))
def test_in_any_order_nothing_needed_is_freed(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[int, str, int]]
) -> None:
    root = tmp_path_factory.mktemp("home")
    homes = [a_home(root) for _ in range(3)]
    known: list[set[str]] = [set(), set(), set()]
    for number, (who, action, what) in enumerate(actions):
        home, content = homes[who], bytes([what])
        if action == "put":
            known[who].add(home.objects.put(content))
        elif action == "put all":
            known[who].update(home.objects.put_all([content, bytes([what, 1])]))
        elif action == "has":
            known[who].update(d for d in bare(root).list() if home.objects.has(d))
        elif action == "append":
            home.ledger.append([fact("event", "e", time=NOON, key=number, body={"objects": sorted(known[who])})])
        elif action == "die":
            end(home)
            known[who] = set()
        else:
            gc(home, bare(root), apply=True)
        there = set(bare(root).list())
        assert all(named(fact) <= there for _, fact in facts(home.ledger))
        assert all(digests <= there for digests in known), "what a living process relies on"
    for home in homes:
        end(home)
        home.ledger.close()


def test_writers_at_work_lose_nothing_while_it_runs(tmp_path: Path) -> None:
    stop = time.monotonic() + 3

    def write(number: int) -> None:
        home, chance = a_home(tmp_path), random.Random(number)
        while time.monotonic() < stop:
            digests = [home.objects.put(bytes([chance.randrange(30)])) for _ in range(3)]
            time.sleep(chance.uniform(0, 0.003))
            home.ledger.append([fact("event", "e", time=NOON, body={"objects": digests, "n": chance.random()})])
            if chance.random() < 0.3:
                home.objects.put(os.urandom(8))
        end(home)

    def free(_: int) -> None:
        home = a_home(tmp_path)
        while time.monotonic() < stop:
            gc(home, bare(tmp_path), apply=True)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda job: job[0](job[1]), [(write, 1), (write, 2), (write, 3), (free, 0)]))
    home = a_home(tmp_path)
    there = set(bare(tmp_path).list())
    assert all(named(fact) <= there for _, fact in facts(home.ledger))
    gc(home, bare(tmp_path), apply=True)
    assert all(named(fact) <= set(bare(tmp_path).list()) for _, fact in facts(home.ledger))
