"""What every store of objects must pass."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keepfit.core.digests import digest_bytes
from keepfit.core.errors import NotFound, StoreError
from keepfit.objects import Objects, is_whole, open_objects, read
from keepfit.testing import workers

_LAWS = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
_MISSING = digest_bytes(b"never put")
_NO_DIGESTS = ("", "a", "../../etc/passwd", "..", _MISSING[:-1], _MISSING.upper(), _MISSING + "0", "z" * 64)


class ObjectsSuite:
    """Subclass with the `url` of the backend; each root given to `address` needs an empty store of its own."""

    url = ""

    def address(self, root: Path) -> str:
        """Where the store of this root is."""
        return self.url

    def open(self, root: Path) -> Objects:
        """The store of this root."""
        return open_objects(self.address(root), root)

    @pytest.fixture
    def objects(self, tmp_path: Path) -> Objects:
        return self.open(tmp_path)

    @_LAWS
    @given(st.lists(st.binary(max_size=100)))
    def test_what_is_put_can_be_read(self, tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]) -> None:
        root = tmp_path_factory.mktemp("objects")
        objects = self.open(root)
        digests = [objects.put(content) for content in contents]
        assert digests == [digest_bytes(content) for content in contents]
        again = self.open(root)
        assert [read(again, digest) for digest in digests] == contents
        assert sorted(again.list()) == sorted(set(digests))
        assert all(again.has(digest) and is_whole(again, digest) for digest in digests)

    @pytest.mark.parametrize("size", [0, 1, 1000, 1 << 19, (1 << 20) + 1])
    def test_a_file_is_put_like_its_bytes(self, objects: Objects, tmp_path: Path, size: int) -> None:
        source = tmp_path / "source.bin"
        content = os.urandom(size)
        source.write_bytes(content)
        assert objects.put(source) == objects.put(content) == digest_bytes(content)
        assert read(objects, digest_bytes(content)) == content
        assert source.read_bytes() == content

    def test_a_stream_can_be_read_in_parts(self, objects: Objects) -> None:
        with objects.open(objects.put(b"one two three")) as stream:
            assert stream.read(4) == b"one "
            assert stream.read() == b"two three"

    def test_what_is_missing_is_said_to_be(self, objects: Objects) -> None:
        assert list(objects.list()) == []
        for digest in (_MISSING, *_NO_DIGESTS):
            assert not objects.has(digest)
            with pytest.raises(NotFound):
                objects.open(digest)
            objects.delete(digest)

    def test_what_is_deleted_is_gone_and_can_be_put_again(self, objects: Objects) -> None:
        kept, digest = objects.put(b"kept"), objects.put(b"gone")
        objects.delete(digest)
        objects.delete(digest)
        assert not objects.has(digest)
        assert list(objects.list()) == [kept]
        assert objects.put(b"gone") == digest
        assert read(objects, digest) == b"gone"

    def test_a_file_that_is_not_there_cannot_be_put(self, objects: Objects, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="`missing`"):
            objects.put(tmp_path / "missing")

    def test_threads_may_put_the_same_and_other_objects(self, objects: Objects, tmp_path: Path) -> None:
        contents = [bytes([n]) * 10_000 for n in range(5)]
        source = tmp_path / "source.bin"
        source.write_bytes(contents[0])
        with ThreadPoolExecutor(8) as pool:
            digests = list(pool.map(objects.put, [source, *contents] * 6))
        assert set(digests) == set(objects.list()) == {digest_bytes(content) for content in contents}
        assert all(is_whole(objects, digest) for digest in digests)

    def test_kill_leaves_only_whole_objects(self, tmp_path: Path) -> None:
        acknowledged: list[str] = []
        for _ in range(3):
            killed = [workers.start(workers.put, self.address(tmp_path), tmp_path) for _ in range(2)]
            acknowledged += [digest for worker in killed for digest in workers.kill_at_random(worker)]
        objects = self.open(tmp_path)
        there = set(objects.list())
        assert there >= set(acknowledged)
        assert all(is_whole(objects, digest) for digest in there)
