"""Machines that push and pull: nothing is lost, nothing is half visible, nothing is believed unseen."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import machines
import pytest
from machines import ids, is_complete, machine, share, work

from keepfit.core.errors import DamagedObject, NameMoved, NotFound, Refused, StoreError
from keepfit.home import Home
from keepfit.keeping.sources import store
from keepfit.keeping.verify import verify
from keepfit.ledger import Move, Point, fact
from keepfit.objects import is_whole, read
from keepfit.packages.sign import own_key, trust
from keepfit.remotes.pull import pull
from keepfit.remotes.push import push
from keepfit.remotes.remote import Remote, open_remote
from keepfit.remotes.selection import Selection
from keepfit.runs.run import series
from keepfit.testing import workers
from keepfit.testing.buckets import Server, bucket_server
from keepfit.testing.disks import fill, small_disk


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with bucket_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(params=["folder", "bucket"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "remote")
    request.getfixturevalue("server")
    return f"s3://bucket/{tmp_path.name}"


@pytest.fixture
def ann(tmp_path: Path) -> Home:
    return machine(tmp_path / "ann")


@pytest.fixture
def ben(tmp_path: Path) -> Home:
    return machine(tmp_path / "ben")


def meet(*homes: Home, address: str) -> None:
    """Let machines trust each other's keys, as they come."""
    for home in homes:
        trusted = [own_key(other.folder / "key").id for other in homes]
        pull(home, open_remote(home, address), trusting=trusted)


def test_what_is_pushed_is_pulled(ann: Home, ben: Home, address: str) -> None:
    made = [work(ann, n) for n in range(5)]
    pushed = push(ann, open_remote(ann, address))
    assert (pushed.moved.objects, pushed.facts, pushed.names) == (5, 5, 1)
    pulled = pull(ben, open_remote(ben, address))
    assert (pulled.moved.objects, pulled.facts, pulled.names) == (5, 5, {"model/ann": made[-1].id})
    assert ids(ben) == ids(ann) and is_complete(ben)
    assert ben.ledger.get(made[0].id) == made[0]


def test_runs_bring_their_curves(ann: Home, ben: Home, address: str) -> None:
    run = fact("run", "model/delay", time=machines.NOON, body={"curves": {"loss": 3, "gone": 1}})
    points = [Point(step, value, machines.NOON) for step, value in enumerate((1.5, math.inf, -0.25))]
    ann.ledger.record(series(run.id, "loss"), points)
    ann.ledger.append([run])
    push(ann, open_remote(ann, address))
    pull(ben, open_remote(ben, address))
    assert ben.ledger.points(series(run.id, "loss")) == points
    work(ben, 1)
    assert push(ben, open_remote(ben, address)).facts == 1
    with open_remote(ben, address).seen() as seen:
        assert [len(entry.curves) for _, entry in sorted(seen.entries.items())] == [1, 0]


def test_pushing_and_pulling_again_is_free(ann: Home, ben: Home, address: str) -> None:
    work(ann, 1)
    push(ann, open_remote(ann, address))
    remote = open_remote(ann, address)
    there = sorted(remote.objects.list()), remote.log.names()
    again = push(ann, remote)
    assert (again.moved.wanted, again.facts, again.names) == (0, 0, 0)
    pull(ben, open_remote(ben, address))
    assert pull(ben, open_remote(ben, address)).facts == push(ben, open_remote(ben, address)).facts == 0
    assert (sorted(remote.objects.list()), remote.log.names()) == there


def test_a_second_push_brings_only_what_is_new(ann: Home, ben: Home, address: str) -> None:
    work(ann, 1)
    push(ann, open_remote(ann, address))
    pull(ben, open_remote(ben, address))
    work(ben, 1)
    pushed = push(ben, open_remote(ben, address))
    assert (pushed.moved.objects, pushed.facts, pushed.names) == (1, 1, 1)


def test_who_comes_second_pulls_first(ann: Home, ben: Home, address: str) -> None:
    work(ann, 1)
    push(ann, open_remote(ann, address))
    pull(ben, open_remote(ben, address))
    work(ann, 2), work(ben, 2)
    push(ann, open_remote(ann, address))
    with pytest.raises(NameMoved) as told:
        push(ben, open_remote(ben, address))
    assert told.value.hint == "keepfit pull, then push again"
    assert pull(ben, open_remote(ben, address)).facts == 1
    push(ben, open_remote(ben, address))
    meet(ann, ben, address=address)
    assert ids(ann) == ids(ben)


@pytest.mark.parametrize("prefer", ["ours", "theirs"])
def test_names_that_diverged_are_told_and_settled(ann: Home, ben: Home, address: str, prefer: str) -> None:
    work(ann, 1, name="release/delay")
    push(ann, open_remote(ann, address))
    pull(ben, open_remote(ben, address))
    hers, his = work(ann, 2, name="release/delay"), work(ben, 2, name="release/delay")
    push(ann, open_remote(ann, address))
    remote = open_remote(ben, address)
    (diverged,) = pull(ben, remote).diverged
    assert (diverged.name, diverged.ours, diverged.theirs) == ("release/delay", his.id, hers.id)
    assert ben.ledger.name("release/delay") == his.id and ben.ledger.get(hers.id)
    with pytest.raises(Refused, match="`release/delay`"):
        push(ben, remote)
    assert pull(ben, remote).diverged
    assert not pull(ben, remote, prefer=prefer).diverged  # type: ignore[arg-type]
    push(ben, remote)
    meet(ann, ben, address=address)
    assert ann.ledger.name("release/delay") == ben.ledger.name("release/delay")
    assert ben.ledger.name("release/delay") == (his if prefer == "ours" else hers).id
    assert {hers.id, his.id} <= ids(ann) & ids(ben)


def test_what_is_known_of_the_remote_may_be_lost(ann: Home, ben: Home, address: str) -> None:
    work(ann, 1)
    push(ann, open_remote(ann, address))
    (open_remote(ann, address).folder / "seen.json").unlink()
    work(ann, 2)
    assert push(ann, open_remote(ann, address)).facts == 1
    assert pull(ben, open_remote(ben, address)).facts == 2
    (open_remote(ben, address).folder / "seen.json").unlink()
    latest = work(ann, 3)
    push(ann, open_remote(ann, address))
    assert pull(ben, open_remote(ben, address)).names == {"model/ann": latest.id}


def test_a_part_can_be_pushed_and_pulled(ann: Home, ben: Home, address: str) -> None:
    model = work(ann, 1)
    data = machines.fact("data", "data/flights", time=machines.NOON, refs={"file": ann.objects.put(b"flights")})
    ann.ledger.append([data], [Move("data/flights", None, data.id)])
    remote = open_remote(ann, address)
    assert push(ann, remote, selection=Selection(("data/flights",))).names == 1
    assert pull(ben, open_remote(ben, address)).facts == 1 and ids(ben) == {data.id}
    assert push(ann, remote).facts == 1
    only = pull(ben, open_remote(ben, address), selection=Selection(("data",)))
    assert (only.facts, only.moved.objects) == (1, 0)
    assert ben.ledger.get(model.id) and not is_complete(ben)
    assert pull(ben, open_remote(ben, address)).moved.objects == 1 and is_complete(ben)


def test_the_keys_of_the_first_pull_are_trusted_and_no_others(
    ann: Home, ben: Home, tmp_path: Path, address: str
) -> None:
    work(ann, 1)
    push(ann, open_remote(ann, address))
    pulled = pull(ben, open_remote(ben, address))
    assert pulled.trusted == [own_key(ann.folder / "key").id]
    eve = machine(tmp_path / "eve")
    pull(eve, open_remote(eve, address))
    work(eve, 1)
    push(eve, open_remote(eve, address))
    key = own_key(eve.folder / "key").id
    before = ids(ben)
    with pytest.raises(Refused, match=key) as told:
        pull(ben, open_remote(ben, address))
    assert f"keepfit pull --trust {key}" in str(told.value)
    assert ids(ben) == before
    assert pull(ben, open_remote(ben, address), trusting=[key]).facts == 1


def test_a_push_that_was_tampered_with_is_refused(ann: Home, ben: Home, tmp_path: Path) -> None:
    work(ann, 1)
    push(ann, open_remote(ann, str(tmp_path / "remote")))
    (file,) = (tmp_path / "remote" / "log").iterdir()
    file.write_bytes(file.read_bytes().replace(b'"payload":"ey', b'"payload":"eY', 1))
    with pytest.raises(DamagedObject, match="was changed"):
        pull(ben, open_remote(ben, str(tmp_path / "remote")))
    assert not ids(ben)


def test_a_remote_that_lost_pushes_is_found_out(ann: Home, tmp_path: Path) -> None:
    work(ann, 1)
    push(ann, open_remote(ann, str(tmp_path / "remote")))
    (file,) = (tmp_path / "remote" / "log").iterdir()
    file.unlink()
    with pytest.raises(StoreError, match="has lost 1 of the pushes"):
        push(ann, open_remote(ann, str(tmp_path / "remote")))


def test_facts_arrive_as_they_were_and_known_ones_stay(ann: Home, ben: Home, address: str) -> None:
    body = {"z": 1, "a": {"y": [2.5, "ü"], "b": None}}
    hers = machines.fact("run", "model/delay", time=machines.NOON, key="same", body=body)
    his = machines.fact("run", "model/delay", time=machines.NOON, key="same", body={"other": True})
    ann.ledger.append([hers, machines.fact("run", "model/delay", time=machines.NOON, key="hers", body=body)])
    ben.ledger.append([his])
    push(ann, open_remote(ann, address))
    pulled = pull(ben, open_remote(ben, address), trusting=[own_key(ann.folder / "key").id])
    assert (pulled.facts, pulled.other) == (1, 1)
    assert ben.ledger.get(his.id) == his
    (new,) = ids(ben) - {his.id}
    held = ben.ledger.get(new)
    assert held and str(held.body) == str(body), "in the order in which they were written"


def test_nothing_to_pull(ann: Home, address: str) -> None:
    with pytest.raises(NotFound, match="nothing has been pushed"):
        pull(ann, open_remote(ann, address))


def damage(remote: Remote, digest: str) -> None:
    """Flip a bit on the remote."""
    path = remote.objects.file(digest)
    assert path is not None
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_on_the_remote_is_told_and_can_be_repaired(ann: Home, ben: Home, tmp_path: Path) -> None:
    made = [work(ann, n, content=os.urandom(2_000_000)) for n in range(3)]
    address = str(tmp_path / "remote")
    remote = open_remote(ann, address)
    push(ann, remote)
    digest = made[1].refs["model"]
    damage(remote, digest)
    with pytest.raises(DamagedObject, match=r"1 objects on the remote are damaged.*model delay@1"):
        pull(ben, open_remote(ben, address))
    assert not ids(ben) and not ben.objects.has(digest)
    found = verify(ann, remote.objects, sources=[store("here", ann.objects, ann.folder / "incoming")])
    assert found.well and [fault.digest for fault in found.faults] == [digest]
    pulled = pull(ben, open_remote(ben, address))
    assert (pulled.facts, pulled.moved.objects) == (3, 1), "what had arrived is not fetched again"
    assert is_complete(ben)


def test_a_damaged_object_is_not_pushed(ann: Home, tmp_path: Path) -> None:
    made = work(ann, 1, content=os.urandom(2_000_000))
    damage(Remote("", ann.objects, None, tmp_path), made.refs["model"])  # type: ignore[arg-type]
    remote = open_remote(ann, str(tmp_path / "remote"))
    with pytest.raises(DamagedObject, match="model delay@1"):
        push(ann, remote)
    assert remote.log.names() == []


def test_a_full_disk_loses_nothing(ann: Home, tmp_path: Path) -> None:
    for n in range(4):
        work(ann, n, content=os.urandom(100_000))
    address = str(tmp_path / "remote")
    push(ann, open_remote(ann, address))
    with small_disk(tmp_path / "disk", kilobytes=2000) as disk:
        cid = machine(disk / "cid")
        filler = fill(disk)
        with pytest.raises(StoreError):
            pull(cid, open_remote(cid, address))
        filler.unlink()
        assert pull(cid, open_remote(cid, address)).facts == 4 and is_complete(cid)
        cid.ledger.close()


@pytest.mark.parametrize("sent", [0, 150])
def test_a_server_that_dies_in_the_middle_shows_nothing_half(ann: Home, ben: Home, tmp_path: Path, sent: int) -> None:
    for n in range(150):
        work(ann, n)
    with bucket_server(tmp_path / "s3") as server:
        remote = open_remote(ann, "s3://bucket/prefix")
        with pytest.raises(StoreError, match="cannot be used"):
            push(ann, remote, tell=lambda moved: server.kill() if moved.objects >= sent else None)
        server.start()
        assert remote.log.names() == []
        assert push(ann, remote).moved.wanted <= 150 - sent
        with pytest.raises(StoreError, match="cannot be used"):
            pull(ben, open_remote(ben, "s3://bucket/prefix"), tell=lambda moved: server.kill())
        assert not ids(ben)
        server.start()
        pull(ben, open_remote(ben, "s3://bucket/prefix"))
        assert ids(ben) == ids(ann) and is_complete(ben)


def test_killed_anywhere_a_push_goes_on(tmp_path: Path, ben: Home, address: str) -> None:
    acknowledged: list[str] = []
    for _ in range(4):
        command = [sys.executable, machines.__file__, str(tmp_path / "ann"), address]
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        acknowledged += workers.kill_at_random(worker)
    pull(ben, open_remote(ben, address))
    assert set(acknowledged) <= ids(ben) and is_complete(ben)
    ann = machine(tmp_path / "ann")
    share(ann, address)
    pull(ben, open_remote(ben, address))
    assert ids(ben) == ids(ann) and is_complete(ben)


def test_a_pull_killed_anywhere_goes_on(ann: Home, tmp_path: Path, address: str) -> None:
    for n in range(30):
        work(ann, n)
    push(ann, open_remote(ann, address))
    code = (
        "import sys; from pathlib import Path; from machines import *\n"
        "ben = machine(Path(sys.argv[1])); print('ready', flush=True)\n"
        "pull(ben, open_remote(ben, sys.argv[2]))"
    )
    for pause in (0.0, 0.01, 0.03, 0.06, 0.1):
        worker = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "ben"), address],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parent,
        )
        assert worker.stdout is not None
        worker.stdout.readline()
        time.sleep(pause)
        worker.kill()
        worker.communicate()
        ben = machine(tmp_path / "ben")
        assert is_complete(ben), "facts come after the objects that they need"
        ben.ledger.close()
    ben = machine(tmp_path / "ben")
    pull(ben, open_remote(ben, address))
    assert ids(ben) == ids(ann) and ben.ledger.names() == ann.ledger.names()


def test_machines_that_push_and_pull_at_once_lose_nothing(tmp_path: Path, address: str) -> None:
    homes = [machine(tmp_path / name) for name in ("ann", "ben", "cid")]
    for home, other in itertools.permutations(homes, 2):
        trust(own_key(other.folder / "key"), home.folder / "key")

    def live(home: Home) -> None:
        for number in range(1, 6):
            work(home, number)
            work(home, 100 + number, name="model/shared")
            share(home, address)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(live, homes))
    for home in homes * 3:  # names that were contested are settled by who lost
        pull(home, open_remote(home, address), prefer="theirs")
        share(home, address)
    assert len(ids(homes[0])) == 3 * 10
    assert all(ids(home) == ids(homes[0]) and is_complete(home) for home in homes)
    assert all(home.ledger.names() == homes[0].ledger.names() for home in homes)


def test_objects_are_readable_on_the_other_side(ann: Home, ben: Home, address: str) -> None:
    large = os.urandom(9_000_000)
    made = work(ann, 1, content=large)
    push(ann, open_remote(ann, address))
    pull(ben, open_remote(ben, address))
    assert read(ben.objects, made.refs["model"]) == large and is_whole(ben.objects, made.refs["model"])
    assert not list((ben.folder / "incoming").glob("*"))
