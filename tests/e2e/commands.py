"""Every command that writes, and projects for it to write in."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import small_project

from keepfit.core.files import locked
from keepfit.objects import open_objects
from keepfit.packages.sign import own_key

KEEPFIT = [sys.executable, "-m", "keepfit"]
TUNE = """[train]
tune = { trials = 2, strength = [0.1, 10] }
"""
INIT = "sent,weight,depot,late\n" + "".join(
    f"2024-01-{n % 28 + 1:02} 10:00:00,{n % 7},{'ns'[n % 2]},{n % 3 == 0}\n" for n in range(200)
)
DEMO = """
import pathlib, sys
from keepfit.core.errors import KeepfitError
from keepfit.demo.project import write_project
try:
    write_project(pathlib.Path("flights"))
except KeepfitError as problem:
    sys.exit(str(problem))
"""


def run(place: Path, *words: str, cwd: str = "parcels") -> None:
    """Run a command that must succeed."""
    command = [*KEEPFIT, *words]
    done = subprocess.run(command, cwd=place / cwd, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{' '.join(words)}:\n{done.stderr}"


@contextlib.contextmanager
def running(command: Sequence[str], folder: Path) -> Iterator[Callable[[str, Any], Any]]:
    """A function that asks the gateway that this command starts, for the block."""
    gateway = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    try:
        yield functools.partial(ask, folder)
    finally:
        gateway.terminate()
        gateway.wait()


def ask(folder: Path, path: str, body: Any, *, patience: float = 180) -> Any:
    """What the project's gateway answers, once it is up."""
    place = folder / ".keepfit" / "serving" / "endpoint.json"
    deadline = time.monotonic() + patience
    while True:
        try:
            url, token = json.loads(place.read_bytes())["url"], (folder / ".keepfit" / "token").read_text()
            head = {"content-type": "application/json", "authorization": f"Bearer {token}"}
            request = urllib.request.Request(url + path, json.dumps(body).encode(), head)
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def written(place: Path) -> None:
    """A project that was never used, a table to start another from, and a folder of files."""
    folder = small_project.write(place / "parcels")
    settings = small_project.TOML.replace("[train]\n", TUNE)
    (folder / "keepfit.toml").write_text(f'remote = "../remote"\n{settings}')
    code = small_project.CODE.replace("seed: int)", "seed: int, strength: float = 1.0)")
    (folder / "parcels.py").write_text(code.replace("LogisticRegression(", "LogisticRegression(C=strength, "))
    own_key(folder / ".keepfit" / "key")  # so that packages are the same bytes each time
    (place / "new").mkdir()
    (place / "new" / "shop.csv").write_text(INIT)
    for number in range(12):
        (folder / f"pictures/{number % 3}").mkdir(parents=True, exist_ok=True)
        (folder / f"pictures/{number % 3}/{number}").write_text(f"{number}")
    (folder / "pictures" / "large").write_bytes(b"large" * 300_000)


def added(place: Path) -> None:
    """Two versions of the folder."""
    pictures = place / "parcels" / "pictures"
    run(place, "data", "add", "pictures")
    (pictures / "0" / "0").write_text("other")
    (pictures / "9").mkdir()
    (pictures / "9" / "9").write_text("new")
    (pictures / "1" / "1").unlink()
    run(place, "data", "add", "pictures")


def trained(place: Path) -> None:
    """A model that was made."""
    run(place, "train")


def keyless(place: Path) -> None:
    """A model on a machine that has not signed anything yet."""
    (place / "parcels" / ".keepfit" / "key").unlink()


def packaged(place: Path) -> None:
    """A model that may ship."""
    run(place, "package")


def shipped(place: Path) -> None:
    """A model in production."""
    run(place, "release", "challenger")


def replaced(place: Path) -> None:
    """A second model in production."""
    code = place / "parcels" / "parcels.py"
    code.write_text(code.read_text().replace("strength: float = 1.0", "strength: float = 2.0"))
    run(place, "train")
    packaged(place)
    shipped(place)


def asked(place: Path) -> None:
    """Predictions and labels of two weeks."""
    with running([*KEEPFIT, "serve"], place / "parcels") as ask:
        for day in range(1, 15):
            rows = [
                {"sent": f"2024-02-{day:02}T{n % 24:02}:00:00", "depot": "north", "weight": n / 4} for n in range(40)
            ]
            told = ask("/predict", {"rows": rows})["predictions"]
            ask("/labels", {"labels": [{"id": t["id"], "label": n % 3 == 0} for n, t in enumerate(told)]})


def pushed(place: Path) -> None:
    """All of it on the remote, and a second machine that has nothing yet."""
    run(place, "push")
    shutil.copytree(place / "parcels", place / "other", ignore=shutil.ignore_patterns(".keepfit", "pictures"))


def littered(place: Path) -> None:
    """Objects that nobody needs, and the work of a process that was killed."""
    objects = open_objects("folder:.keepfit/objects", place / "parcels")
    objects.put_all([b"%d" % n * 1000 for n in range(40)] + [bytes(2_000_000)])
    (place / "parcels" / ".keepfit" / "work" / "0123").mkdir()
    (place / "parcels" / ".keepfit" / "work" / "0123" / "left").write_text("half")
    (place / "parcels" / ".keepfit" / "work" / "0123.lock").touch()


def damaged(place: Path) -> None:
    """A bit of two large objects, and of a pack of small ones, is not what it was."""
    folder = place / "parcels" / ".keepfit" / "objects"
    largest = sorted((p for p in folder.rglob("*") if p.is_file() and ".db" not in p.name), key=os.path.getsize)[-2:]
    for path in largest:
        path.chmod(0o644)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        path.chmod(0o444)


BEFORE: dict[Callable[[Path], None], Callable[[Path], None]] = {
    added: written,
    trained: written,
    keyless: trained,
    packaged: trained,
    shipped: packaged,
    replaced: shipped,
    asked: shipped,
    pushed: shipped,
    littered: trained,
    damaged: pushed,
}


def prepare(stage: Callable[[Path], None], root: Path) -> Path:
    """The folder in which this was done, made once."""
    made = root / stage.__name__
    with locked(root / f"{stage.__name__}.lock"):
        if not made.exists():
            part = root / f"{stage.__name__}.part"
            shutil.rmtree(part, ignore_errors=True)
            if before := BEFORE.get(stage):
                shutil.copytree(prepare(before, root), part)
            else:
                part.mkdir(parents=True)
            stage(part)
            part.rename(made)
    return made


class Command(NamedTuple):
    """A command, and what must have been done before it."""

    name: str
    after: Callable[[Path], None]
    words: list[str]
    cwd: str = "parcels"
    anew: frozenset[str] = frozenset()
    """Kinds of facts that are others each time."""

    @property
    def line(self) -> list[str]:
        """What to execute."""
        return [sys.executable, "-c", DEMO] if self.name == "demo" else [*KEEPFIT, *self.words, "--json"]


COMMANDS = [
    Command("init", written, ["init", "shop.csv", "--label", "late"], "new"),
    Command("demo", written, [], "new"),
    Command("add", written, ["data", "add"]),
    Command("add-files", written, ["data", "add", "pictures"]),
    Command("checkout", added, ["data", "checkout", "pictures@1"]),
    Command("train", written, ["train"]),
    Command("tune", written, ["tune", "--html", "study.html"]),
    Command("check", trained, ["check"]),
    Command("package", keyless, ["package", "--out", "p.zip"], anew=frozenset({"package", "run", "verdict"})),
    Command("release", packaged, ["release", "challenger"]),
    Command("rollback", replaced, ["rollback", "--reason", "slow"]),
    Command("retrain", written, ["retrain"]),
    Command("predict", shipped, ["predict", "data/parcels.parquet", "--out", "answers.csv"]),
    Command("reproduce", shipped, ["reproduce", "champion", "--out", "proof.json"], anew=frozenset({"reproduced"})),
    Command("watch", asked, ["watch"]),
    Command("silence", added, ["alerts", "silence", "drift", "--for", "2h"], anew=frozenset({"silence"})),
    Command("push", shipped, ["push"]),
    Command("pull", pushed, ["pull"], "other"),
    Command("gc", littered, ["gc", "--yes"]),
    Command("verify", damaged, ["verify", "--repair"]),
    Command("page", replaced, ["runs", "compare", "parcel@1", "parcel@2", "--html", "runs.html"]),
]
