"""Objects in a bucket: S3 and all that speak its language, Google Cloud Storage, Azure.

Credentials come from the environment (`AWS_ACCESS_KEY_ID` ...) or from the profile that
`AWS_PROFILE` names in `~/.aws`; never from keepfit.toml, and none is ever shown.
"""

from __future__ import annotations

import configparser
import contextlib
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, cast

import blake3

from keepfit.core.digests import digest_bytes, digest_file
from keepfit.core.errors import NotFound, StoreError, UsageError
from keepfit.objects.copy import SMALL

try:
    import obstore
    from obstore.exceptions import (
        AlreadyExistsError,
        BaseError,
        PermissionDeniedError,
        PreconditionError,
        UnauthenticatedError,
    )
    from obstore.store import from_url
except ImportError as problem:
    raise UsageError("buckets need obstore, which is not installed", hint="pip install 'keepfit[remote]'") from problem

_DIGEST = re.compile(r"[0-9a-f]{64}")
_AT_ONCE = 16
"""Requests under way at a time."""
_PATIENCE = {"max_retries": 3, "retry_timeout": timedelta(seconds=60)}
_ACCESS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE), and AWS_ENDPOINT_URL if it is not Amazon's"


class Bucket:
    """The store below an address such as `s3://bucket/prefix`; see `Objects` for what it promises.

    Any number of threads and machines may share it. An object is one file of the bucket, `ab/cdef...`.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._store = _connect(url)

    def put(self, content: bytes | Path, *, like: str | None = None) -> str:
        digest = _digest(content)
        if not self.has(digest):
            sent = content if isinstance(content, bytes) else _checked(content, digest)
            with _told(self._url):
                obstore.put(self._store, _key(digest), cast(Any, sent))
        return digest

    def put_all(self, contents: Iterable[bytes | Path]) -> list[str]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(self.put, contents))

    def file(self, digest: str) -> Path | None:
        return None

    def open(self, digest: str) -> BinaryIO:
        missing = NotFound(f"there is no object `{digest}`", where=self._url, hint="keepfit verify")
        if not _DIGEST.fullmatch(digest):
            raise missing
        with _told(self._url, missing):
            found = obstore.get(self._store, _key(digest))
            if found.meta["size"] <= SMALL:
                return io.BytesIO(bytes(found.bytes()))
        return io.BufferedReader(_Reader(iter(found.stream(min_chunk_size=1 << 20)), self._url), 1 << 20)

    def has(self, digest: str) -> bool:
        if not _DIGEST.fullmatch(digest):
            return False
        with _told(self._url):
            try:
                obstore.head(self._store, _key(digest))
            except FileNotFoundError:
                return False
        return True

    def list(self) -> Iterator[str]:
        with _told(self._url):
            for page in obstore.list(self._store):
                for meta in page:
                    digest = meta["path"].replace("/", "")
                    if _DIGEST.fullmatch(digest) and _key(digest) == meta["path"]:
                        yield digest

    def delete(self, digest: str) -> None:
        if _DIGEST.fullmatch(digest):
            with _told(self._url), contextlib.suppress(FileNotFoundError):
                obstore.delete(self._store, _key(digest))


class BucketBoard:
    """Small files below an address such as `s3://bucket/prefix`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._store = _connect(url)

    def names(self, after: str = "") -> list[str]:
        with _told(self._url):
            pages = obstore.list(self._store, offset=after or None)
            return sorted(meta["path"] for page in pages for meta in page if "/" not in meta["path"])

    def read(self, name: str) -> bytes:
        with _told(self._url, NotFound(f"there is no `{name}`", where=self._url)):
            return bytes(obstore.get(self._store, name).bytes())

    def create(self, name: str, content: bytes) -> bool:
        with _told(self._url):
            try:
                obstore.put(self._store, name, content, mode="create")
            except (FileExistsError, AlreadyExistsError, PreconditionError):
                return False
        return True

    def is_exclusive(self) -> bool:
        name = f"probe/{os.urandom(8).hex()}"
        try:
            return self.create(name, b"1") and not self.create(name, b"2")
        finally:
            with _told(self._url), contextlib.suppress(FileNotFoundError):
                obstore.delete(self._store, name)


class _Reader(io.RawIOBase):
    """A large object as it comes in."""

    def __init__(self, blocks: Iterator[Any], url: str) -> None:
        self._blocks, self._url, self._held = blocks, url, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._held:
            with _told(self._url):
                self._held = memoryview(bytes(next(self._blocks, b"")))
        count = min(len(buffer), len(self._held))
        buffer[:count], self._held = self._held[:count], self._held[count:]
        return count


def _connect(url: str) -> Any:
    scheme, _, rest = url.partition(":")
    rest = rest.removeprefix("//") if rest.startswith("//") else ""
    if not rest or "@" in rest or "?" in rest:
        hint = "credentials belong into the environment; the address is just the bucket and a prefix"
        raise UsageError(f"an address with `{scheme}:` is written `{scheme}://bucket/prefix`", hint=hint)
    config = _profile(os.environ) if scheme == "s3" else {}
    endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or config.get("endpoint", "")
    allow_http = str(endpoint.startswith("http://")).lower()
    options = {"connect_timeout": "10s", "read_timeout": "60s", "timeout": "24h", "allow_http": allow_http}
    with _told(url):
        return from_url(
            url, config=cast(Any, config), client_options=cast(Any, options), retry_config=cast(Any, _PATIENCE)
        )


def _profile(environment: Mapping[str, str]) -> dict[str, str]:
    """What ~/.aws says of the profile in use, where the environment says nothing."""
    read = configparser.ConfigParser(interpolation=None)
    home = Path.home() / ".aws"
    files = ("AWS_CONFIG_FILE", home / "config"), ("AWS_SHARED_CREDENTIALS_FILE", home / "credentials")
    with contextlib.suppress(configparser.Error, OSError, UnicodeDecodeError):
        read.read([environment.get(name, str(path)) for name, path in files])
    name = environment.get("AWS_PROFILE", "default")
    found = {k: v for section in (f"profile {name}", name) if section in read for k, v in read[section].items()}
    config = {"region": found.get("region"), "endpoint": found.get("endpoint_url")}
    if "AWS_ACCESS_KEY_ID" not in environment:
        names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        config |= {f"{name}": found.get(name) for name in names}
    for given, setting in (
        ("AWS_REGION", "region"),
        ("AWS_DEFAULT_REGION", "region"),
        ("AWS_ENDPOINT_URL", "endpoint"),
    ):
        if given in environment:
            config.pop(setting, None)
    return {name: value for name, value in config.items() if value}


@contextlib.contextmanager
def _told(url: str, missing: NotFound | None = None) -> Iterator[None]:
    """Put what the service says into the user's words, without anything secret."""
    try:
        yield
    except (PermissionDeniedError, UnauthenticatedError):
        raise _locked_out(url) from None
    except FileNotFoundError:
        raise missing or _no_bucket(url) from None
    except BaseError as problem:
        said = str(problem).partition("\n")[0]
        if "404 Not Found" in said:
            raise _no_bucket(url) from None
        if "403 Forbidden" in said or "401 Unauthorized" in said:
            raise _locked_out(url) from None
        reason = re.sub(r"https?://\S+", "the server", said.rpartition(" - ")[2].partition("<?xml")[0].rstrip(": "))
        raise StoreError(f"the bucket cannot be used: {reason}", where=url, hint="run the command again") from None


def _locked_out(url: str) -> StoreError:
    return StoreError("the bucket does not let these credentials in", where=url, hint=_ACCESS)


def _no_bucket(url: str) -> StoreError:
    name = url.partition("://")[2].partition("/")[0]
    return StoreError(f"there is no bucket `{name}`", where=url, hint="create it, or mend the address in keepfit.toml")


def _key(digest: str) -> str:
    return f"{digest[:2]}/{digest[2:]}"


def _digest(content: bytes | Path) -> str:
    if isinstance(content, bytes):
        return digest_bytes(content)
    try:
        return digest_file(content)
    except OSError as problem:
        raise StoreError(f"cannot read `{content.name}`: {problem.strerror}", where=str(content.parent)) from problem


def _checked(path: Path, digest: str) -> bytes | Iterator[bytes]:
    """A file's content to send: sending breaks off when it is not, to the end, what its digest says."""
    changed = StoreError(f"`{path.name}` changed while it was read", where=str(path.parent), hint="put it again")
    if path.stat().st_size <= SMALL:
        content = path.read_bytes()
        if digest_bytes(content) != digest:
            raise changed
        return content
    return _blocks(path, digest, changed)


def _blocks(path: Path, digest: str, changed: StoreError) -> Iterator[bytes]:
    hasher, last = blake3.blake3(), b""
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            hasher.update(block)
            if last:
                yield last
            last = block
    if hasher.hexdigest() != digest:
        raise changed
    yield last
