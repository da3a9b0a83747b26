import errno
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent
from typing import IO

import pytest

from keepfit.core import files
from keepfit.core.errors import StoreError
from keepfit.core.files import create_file, locked, make_folder, sweep, sync_folder, write_file, write_folder
from keepfit.testing.disks import read_only, small_disk


def parts(folder: Path) -> list[Path]:
    return list(folder.glob(".part-*"))


def started(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A process running this code that has printed its first line."""
    command = [sys.executable, "-c", dedent(code), *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


# files


@pytest.mark.parametrize("content", [b"", b"new content"])
def test_a_file_is_written_and_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "deep" / "down" / "file"
    for _ in range(2):
        write_file(path, content, mode=0o600)
        assert path.read_bytes() == content
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    write_file(path, lambda file: file.write(b"written"))
    assert path.read_bytes() == b"written"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert parts(path.parent) == []


def test_content_that_fails_changes_nothing(tmp_path: Path) -> None:
    write_file(tmp_path / "file", b"old")

    def content(file: IO[bytes]) -> None:
        file.write(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_file(tmp_path / "file", content)
    assert (tmp_path / "file").read_bytes() == b"old"
    assert parts(tmp_path) == []


def test_readers_see_the_old_or_the_new_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, bytes(100_000))

    def write(turn: int) -> None:
        write_file(path, bytes([turn]) * 100_000)

    with ThreadPoolExecutor(3) as writers:
        writing = [writers.submit(write, turn) for turn in range(12)]
        while not all(write.done() for write in writing):
            seen = path.read_bytes()
            assert len(seen) == 100_000
            assert len(set(seen)) == 1
    assert parts(tmp_path) == []


def test_kill_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    write_file(tmp_path / "file", b"old")
    code = """
        import sys, time
        from pathlib import Path
        from keepfit.core.files import write_file
        def content(file):
            file.write(b"x" * 1_000_000)
            print("half", flush=True)
            time.sleep(600)
        write_file(Path(sys.argv[1]), content)
        """
    kill(started(code, tmp_path / "file"))
    assert (tmp_path / "file").read_bytes() == b"old"
    assert len(parts(tmp_path)) == 1


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kilobytes=256) as disk:
        write_file(disk / "file", b"old")
        with pytest.raises(StoreError, match="cannot write `file`: No space left") as caught:
            write_file(disk / "file", bytes(300_000))
        assert (caught.value.where, caught.value.hint) == (str(disk), f"df -h {disk}")
        assert (disk / "file").read_bytes() == b"old"
        assert os.listdir(disk) == ["file"]


@pytest.mark.parametrize("call", ["fsync", "fchmod", "replace"])
def test_a_refusal_at_any_step_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    write_file(tmp_path / "file", b"old")

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, call, refuse)
        with pytest.raises(StoreError, match="Input/output error"):
            write_file(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_read_only_folder_is_told(tmp_path: Path) -> None:
    write_file(tmp_path / "file", b"old")
    with read_only(tmp_path):
        for write in (
            lambda: write_file(tmp_path / "file", b"new"),
            lambda: write_file(tmp_path / "new" / "file", b"new"),
            lambda: write_folder(tmp_path / "folder", lambda part: None),
        ):
            with pytest.raises(StoreError, match="Read-only file system"):
                write()
        with locked(tmp_path / "lock") as got:
            assert got, "there is nothing to guard"
    assert os.listdir(tmp_path) == ["file"]


def test_a_path_below_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    below = tmp_path / "file" / "deep" / "down"
    with pytest.raises(StoreError, match="cannot write `down`: Not a directory"):
        write_file(below, b"new")
    with pytest.raises(StoreError, match="Not a directory"):
        write_folder(below, lambda part: None)
    with pytest.raises(StoreError, match="Not a directory"), locked(below):
        pass


# folders


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    def fill(part: Path) -> None:
        (part / "sub").mkdir()
        (part / "sub" / "file").write_bytes(b"content")
        (part / "link").symlink_to("nowhere")

    path = tmp_path / "deep" / "folder"
    write_folder(path, fill)
    assert (path / "sub" / "file").read_bytes() == b"content"
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert os.listdir(path.parent) == ["folder"]


def test_an_existing_folder_is_left_as_it_is(tmp_path: Path) -> None:
    write_folder(tmp_path / "folder", lambda part: (part / "first").touch())
    write_folder(tmp_path / "folder", lambda part: (part / "second").touch())
    assert os.listdir(tmp_path / "folder") == ["first"]


def test_the_first_of_two_folders_wins(tmp_path: Path) -> None:
    def fill(part: Path) -> None:
        write_folder(tmp_path / "folder", lambda part: (part / "first").touch())
        (part / "second").touch()

    write_folder(tmp_path / "folder", fill)
    assert os.listdir(tmp_path / "folder") == ["first"]
    assert parts(tmp_path) == []


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(StoreError, match="Not a directory"):
        write_folder(tmp_path / "file", lambda part: None)
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_filled_does_not_appear(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kilobytes=256) as disk:
        with pytest.raises(StoreError, match="No space left"):
            write_folder(disk / "folder", lambda part: (part / "file").write_bytes(bytes(300_000)))
        with pytest.raises(ZeroDivisionError):
            write_folder(disk / "folder", lambda part: 1 // 0)
        assert os.listdir(disk) == []


def test_folders_are_made_down_to_the_last(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b" / "c")
    make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
    sync_folder(tmp_path / "a")


# what killed writers leave


def age(path: Path) -> None:
    an_hour_ago = time.time() - 3600
    os.utime(path, (an_hour_ago, an_hour_ago))


def test_sweep_removes_only_old_parts(tmp_path: Path) -> None:
    old_file, old_folder, young = (tmp_path / f".part-{n}" for n in range(3))
    old_file.touch()
    old_folder.mkdir()
    (old_folder / "file").touch()
    young.touch()
    (tmp_path / "file").touch()
    for path in (old_file, old_folder, tmp_path / "file"):
        age(path)
    sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".part-2", "file"]
    sweep(tmp_path / "missing")


def test_sweep_spares_a_live_writer_however_slow(tmp_path: Path) -> None:
    def content(file: IO[bytes]) -> None:
        file.write(b"content")
        file.flush()
        age(parts(tmp_path)[0])
        sweep(tmp_path)

    def fill(part: Path) -> None:
        (part / "file").touch()
        age(part)
        sweep(tmp_path)

    write_file(tmp_path / "file", content)
    write_folder(tmp_path / "folder", fill)
    assert (tmp_path / "file").read_bytes() == b"content"
    assert os.listdir(tmp_path / "folder") == ["file"]


def test_sweep_knows_a_killed_writer_from_a_slow_one(tmp_path: Path) -> None:
    code = """
        import sys, time
        from pathlib import Path
        from keepfit.core.files import write_file
        write_file(Path(sys.argv[1]), lambda file: (print("half", flush=True), time.sleep(600)))
        """
    writer = started(code, tmp_path / "file")
    (part,) = parts(tmp_path)
    age(part)
    sweep(tmp_path)
    assert part.exists()
    kill(writer)
    sweep(tmp_path)
    assert os.listdir(tmp_path) == []


# locks


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    lock = tmp_path / "deep" / "lock"
    with locked(lock) as got, locked(lock, wait=False) as other:
        assert (got, other) == (True, False)
    with locked(lock, wait=False) as got:
        assert got


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_lock_is_released_by_the_end_of_its_holder(tmp_path: Path, ending: signal.Signals) -> None:
    code = """
        import sys, time
        from pathlib import Path
        from keepfit.core.files import locked
        with locked(Path(sys.argv[1])):
            print("locked", flush=True)
            time.sleep(600)
        """
    holder = started(code, tmp_path / "lock")
    with locked(tmp_path / "lock", wait=False) as got:
        assert not got
    holder.send_signal(ending)
    with locked(tmp_path / "lock") as got:
        assert got
    holder.communicate()


def test_a_lock_is_released_when_the_block_fails(tmp_path: Path) -> None:
    def fail() -> Callable[[], None]:
        with locked(tmp_path / "lock"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with locked(tmp_path / "lock", wait=False) as got:
        assert got


def test_of_many_that_create_a_file_one_does(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: create_file(tmp_path / "new" / "file", bytes([n])), range(24)))
    assert made.count(True) == 1
    assert (tmp_path / "new" / "file").read_bytes() == bytes([made.index(True)])
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]


def test_a_file_is_created_once_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    assert create_file(tmp_path / "file", b"one")
    assert not create_file(tmp_path / "file", b"two")
    assert (tmp_path / "file").read_bytes() == b"one"
