from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keepfit.core.errors import StoreError, UsageError
from keepfit.objects import Objects, open_objects, read
from keepfit.objects.board import Board, FolderBoard
from keepfit.objects.obstore import Bucket, BucketBoard
from keepfit.testing.buckets import Server, bucket_server
from keepfit.testing.objects import ObjectsSuite


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with bucket_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


class TestBucket(ObjectsSuite):
    def address(self, root: Path) -> str:
        return f"s3://bucket/{root.name}"


class TestCachedBucket(TestBucket):
    def open(self, root: Path) -> Objects:
        return open_objects(self.address(root), root, cache=root / "cache")


def test_a_large_object_comes_in_parts(tmp_path: Path) -> None:
    content = os.urandom(20_000_000)
    source = tmp_path / "source"
    source.write_bytes(content)
    bucket = Bucket("s3://bucket/large")
    digest = bucket.put(source)
    assert read(bucket, digest) == content
    with bucket.open(digest) as stream:
        assert stream.read(10) == content[:10]


@pytest.mark.parametrize("size", [1000, 20_000_000])
def test_a_file_that_changes_while_it_is_sent_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(size))
    bucket = Bucket(f"s3://bucket/changing-{size}")
    has = Bucket.has

    def change_meanwhile(self: Bucket, digest: str) -> bool:
        source.write_bytes(b"1" * size)
        return has(self, digest)

    monkeypatch.setattr(Bucket, "has", change_meanwhile)
    with pytest.raises(StoreError, match="`source` changed while it was read"):
        bucket.put(source)
    assert list(bucket.list()) == []


def test_no_such_bucket() -> None:
    bucket = Bucket("s3://elsewhere/prefix")
    for use in (lambda: bucket.put(b"content"), lambda: list(bucket.list())):
        with pytest.raises(StoreError, match="there is no bucket `elsewhere`"):
            use()


def test_wrong_credentials_are_told_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "this-is-not-it")
    bucket = Bucket("s3://bucket/prefix")
    for use in (lambda: bucket.put(b"content"), lambda: list(bucket.list())):
        with pytest.raises(StoreError, match="does not let these credentials in") as told:
            use()
        assert "this-is-not-it" not in str(told.value)
        assert "AWS_PROFILE" in str(told.value)


def test_credentials_may_be_in_a_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = [f"{name.lower()} = {os.environ[name]}" for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    (tmp_path / "credentials").write_text("\n".join(["[work]", *lines]))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "work")
    bucket = Bucket("s3://bucket/profile")
    assert read(bucket, bucket.put(b"content")) == b"content"


@pytest.mark.parametrize("url", ["s3:bucket", "s3://key:secret@bucket/prefix", "s3://bucket/prefix?sig=secret"])
def test_an_address_with_credentials_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is written `s3://bucket/prefix`") as told:
        open_objects(url, tmp_path)
    assert "secret" not in str(told.value)


def test_without_obstore_the_error_tells_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['obstore'] = None\n"
        "from pathlib import Path; from keepfit.objects import open_objects\n"
        "try: open_objects('s3://bucket/prefix', Path())\n"
        "except Exception as problem: print(problem)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "hint: pip install 'keepfit[remote]'" in done.stdout


def test_a_server_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match="cannot be used"):
        Bucket("s3://bucket/prefix").has("0" * 64)


@pytest.fixture(params=["folder", "bucket"])
def board(request: pytest.FixtureRequest, tmp_path: Path) -> Board:
    return FolderBoard(tmp_path / "board") if request.param == "folder" else BucketBoard(f"s3://bucket/{tmp_path.name}")


def test_small_files_by_name(board: Board) -> None:
    assert board.names() == []
    assert board.create("0002", b"two") and board.create("0001", b"one")
    assert board.names() == ["0001", "0002"]
    assert board.names("0001") == ["0002"]
    assert board.read("0001") == b"one"


def test_a_server_that_overwrites_is_found_out(tmp_path: Path) -> None:
    assert FolderBoard(tmp_path / "board").is_exclusive()
    board = BucketBoard("s3://bucket/probe")
    assert not board.is_exclusive()
    assert board.names() == []
