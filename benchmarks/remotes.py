"""What pushing, pulling and checking cost beside the bare work: many small objects and a large one, to an S3 server.

The peer is `rclone copy` of the same bytes to the same server (`rclone serve s3`, on this machine).
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from keepfit.core.digests import digest_file
from keepfit.engines import Here
from keepfit.home import Home
from keepfit.keeping.gc import gc
from keepfit.keeping.verify import verify
from keepfit.ledger import Move, fact, open_ledger
from keepfit.objects import Leased, open_objects
from keepfit.remotes.pull import pull
from keepfit.remotes.push import push
from keepfit.remotes.remote import open_remote
from keepfit.testing.buckets import bucket_server

SMALL_FILES = 3000
LARGE = 256 << 20


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="keepfit-remotes-") as folder:
        root = Path(folder)
        files = _make(root / "files")
        with bucket_server(root / "s3"):
            home = _home(root / "here")
            digests = home.objects.put_all(files)
            made = fact("data", "data/files", time=datetime.now(UTC), body={"files": {"all": digests}})
            home.ledger.append([made], [Move("data/files", None, made.id)])
            there = _home(root / "there")
            total = sum(path.stat().st_size for path in files)
            print(f"{len(files):,} objects, {total / 1e6:.0f} MB")
            bare = _took(lambda: _rclone(root / "files", ":s3:bucket/peer"))
            _print("rclone copy to the server", bare, bare)
            _print("keepfit push", _took(lambda: push(home, open_remote(home, "s3://bucket/ours"))), bare)
            _print("keepfit push again", _took(lambda: push(home, open_remote(home, "s3://bucket/ours"))), bare)
            bare = _took(lambda: _rclone(":s3:bucket/peer", root / "back"))
            _print("rclone copy from the server", bare, bare)
            _print("keepfit pull", _took(lambda: pull(there, open_remote(there, "s3://bucket/ours"))), bare)
            bare = _took(lambda: [digest_file(path) for path in files])
            _print("read and hash the files", bare, bare)
            store = open_objects("folder:.keepfit/objects", there.root)
            _print("keepfit verify", _took(lambda: verify(there, store)), bare)
            _print("keepfit gc", _took(lambda: gc(there, store)), bare)


def _make(folder: Path) -> list[Path]:
    chance = random.Random(7)
    folder.mkdir(parents=True)
    paths = [folder / f"{n:05d}" for n in range(SMALL_FILES + 1)]
    for path in paths[:-1]:
        path.write_bytes(chance.randbytes(chance.randrange(1000, 20_000)))
    paths[-1].write_bytes(b"".join(chance.randbytes(1 << 20) for _ in range(LARGE >> 20)))
    return paths


def _home(root: Path) -> Home:
    root.mkdir()
    objects = Leased(open_objects("folder:.keepfit/objects", root), root / ".keepfit" / "leases")
    return Home(root=root, ledger=open_ledger("sqlite:.keepfit/ledger.db", root), objects=objects, engine=Here())


def _rclone(source: Path | str, target: Path | str) -> None:
    command = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}") or "rclone"
    options = ["--s3-provider", "Rclone", "--s3-env-auth", "--s3-endpoint", os.environ["AWS_ENDPOINT_URL"]]
    options += ["--s3-force-path-style", "--transfers", "16", "--config", os.devnull]
    subprocess.run([command, "copy", *options, str(source), str(target)], check=True)


def _took(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _print(title: str, seconds: float, bare: float) -> None:
    print(f"  {title:<32} {seconds:7.2f} s   {seconds / bare:5.2f} x")
