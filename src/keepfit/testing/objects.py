"""What every store of objects must pass."""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Iterator
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

    def test_many_are_put_together(self, objects: Objects, tmp_path: Path) -> None:
        sources = [tmp_path / name for name in ("empty", "small", "large")]
        for source, size in zip(sources, (0, 1000, (1 << 20) + 1), strict=True):
            source.write_bytes(os.urandom(size))
        contents = [os.urandom(40_000 * n) for n in range(40)]
        put: list[bytes | Path] = [*contents, *sources, contents[0], *sources]
        expected = [digest_bytes(c if isinstance(c, bytes) else c.read_bytes()) for c in put]
        assert objects.put_all(iter(put)) == expected
        assert objects.put_all(put) == expected
        assert sorted(objects.list()) == sorted(set(expected))
        assert [read(objects, digest) for digest in expected[:40]] == contents
        assert all(is_whole(objects, digest) for digest in expected)
        assert objects.put_all([]) == []

    def test_a_file_put_as_like_another_is_all_there(self, objects: Objects, tmp_path: Path) -> None:
        first = os.urandom(5 << 20)
        second = first[: 1 << 20] + b"put in" + first[1 << 20 :] + os.urandom(5000)
        third = second[7:] + second[: 1 << 20]
        likes, source = [_MISSING, *_NO_DIGESTS, objects.put(b"small")], tmp_path / "source.bin"
        for content in (first, second, third, first):
            source.write_bytes(content)
            for like in likes[-3:]:
                assert objects.put(source, like=like) == digest_bytes(content)
            likes.append(digest_bytes(content))
        for content in (third, second, first):
            assert read(objects, digest_bytes(content)) == content
            objects.delete(digest_bytes(content))
            assert not objects.has(digest_bytes(content))
        assert objects.put(source, like=likes[-1]) == likes[-1]
        assert read(objects, likes[-1]) == first

    @settings(_LAWS, max_examples=10)
    @given(st.data())
    def test_versions_can_be_deleted_in_any_order(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        root = tmp_path_factory.mktemp("objects")
        objects, there = self.open(root), dict[str, bytes]()
        content = random.Random(data.draw(st.integers(0, 99))).randbytes(5 << 20)
        for _ in range(6):
            at, much = data.draw(st.integers(0, len(content))), data.draw(st.sampled_from([1, 100_000, 2_000_000]))
            content = content[:at] + os.urandom(data.draw(st.sampled_from([0, much]))) + content[at + much :]
            (root / "source").write_bytes(content)
            like = data.draw(st.sampled_from(sorted(there))) if there else None
            there[objects.put(root / "source", like=like)] = content
            if data.draw(st.booleans()):
                gone = data.draw(st.sampled_from(sorted(there)))
                objects.delete(gone)
                del there[gone]
            assert sorted(objects.list()) == sorted(there)
            assert all(read(objects, digest) == there[digest] for digest in there)

    def test_a_file_of_an_object_is_just_that(self, objects: Objects) -> None:
        for size in (0, 1000, (1 << 20) + 1):
            content = os.urandom(size)
            path = objects.file(objects.put(content))
            assert path is None or (path.read_bytes(), stat.S_IMODE(path.stat().st_mode) & 0o222) == (content, 0)
        assert [objects.file(digest) for digest in (_MISSING, *_NO_DIGESTS)] == [None] * (1 + len(_NO_DIGESTS))

    def test_a_source_that_fails_leaves_only_whole_objects(self, objects: Objects, tmp_path: Path) -> None:
        def contents() -> Iterator[bytes | Path]:
            yield from (os.urandom(1 << 19) for _ in range(5))
            yield tmp_path / "missing"

        with pytest.raises(StoreError, match="`missing`"):
            objects.put_all(contents())
        with pytest.raises(StoreError):
            objects.put_all([b"before", tmp_path])
        assert all(is_whole(objects, digest) for digest in objects.list())
        assert objects.has(objects.put(b"after"))

    def test_objects_may_be_deleted_while_they_are_listed(self, objects: Objects) -> None:
        for digest in objects.put_all(os.urandom(1000) for _ in range(1100)):
            assert objects.has(digest)
        for digest in objects.list():
            objects.delete(digest)
        assert list(objects.list()) == []

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
            acknowledged += [d for worker in killed for line in workers.kill_at_random(worker) for d in line.split()]
        objects = self.open(tmp_path)
        there = set(objects.list())
        assert there >= set(acknowledged)
        assert all(is_whole(objects, digest) for digest in there)
