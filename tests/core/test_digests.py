import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepfit.core.digests import canonical, digest_bytes, digest_file, digest_stream, digest_value, short

json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def test_a_digest_is_blake3_in_hexadecimal() -> None:
    # the first test vector of the BLAKE3 reference
    assert digest_bytes(b"") == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert short(digest_bytes(b"")) == "af1349b9f5f9"


@pytest.mark.parametrize("size", [0, 1, (1 << 19) - 1, 1 << 19, (1 << 20) + 7])
def test_bytes_file_and_stream_agree(tmp_path: Path, size: int) -> None:
    content = bytes(range(251)) * (size // 251 + 1)
    content = content[:size]
    (tmp_path / "file").write_bytes(content)
    copy = io.BytesIO()
    assert digest_bytes(content) == digest_bytes(memoryview(content)) == digest_file(tmp_path / "file")
    assert digest_stream(io.BytesIO(content), copy) == digest_bytes(content)
    assert copy.getvalue() == content


@given(st.binary(), st.binary())
def test_only_equal_bytes_have_equal_digests(one: bytes, other: bytes) -> None:
    assert (digest_bytes(one) == digest_bytes(other)) == (one == other)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), json, max_size=5))
def test_the_order_of_keys_does_not_matter(value: dict[str, Any]) -> None:
    turned = dict(reversed(value.items()))
    assert canonical(turned) == canonical(value)
    assert digest_value(turned) == digest_value(value)


def test_a_file_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        digest_file(tmp_path / "missing")
