"""Signatures: DSSE v1 envelopes (secure-systems-lab/dsse), signed with the Ed25519 key of this machine's project.

What another machine signed is believed when its key is trusted: its public half is in the
folder `trusted` beside the key, put there by someone's word and by nothing else.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from keepfit.core.digests import digest_bytes
from keepfit.core.errors import PackageError
from keepfit.core.files import locked, write_file

PAYLOAD_TYPE = "application/vnd.keepfit.manifest+json"
_KEY_ID = re.compile(r"[0-9a-f]{16}")


class Key(NamedTuple):
    """The public half of a key."""

    id: str
    public: bytes


class _Signature(msgspec.Struct, omit_defaults=True):
    keyid: str
    sig: str
    public: str = ""
    """The key itself, of which `keyid` is the digest: who trusts the id can take the key from here."""


class _Envelope(msgspec.Struct, rename={"payload_type": "payloadType"}):
    payload_type: str
    payload: str
    signatures: list[_Signature]


def sign(payload: bytes, key: Path, kind: str = PAYLOAD_TYPE) -> bytes:
    """The envelope around a payload of this kind, signed with the key in this file (made at first use, mode 0600)."""
    private = _private(key)
    public = private.public_key().public_bytes_raw()
    signature = base64.b64encode(private.sign(_encoding(payload, kind))).decode()
    signatures = [_Signature(key_id(public), signature, public.hex())]
    return msgspec.json.encode(_Envelope(kind, base64.b64encode(payload).decode(), signatures))


def opened(envelope: bytes, key: Path, kind: str = PAYLOAD_TYPE, *, trust: str | None = None) -> bytes:
    """The payload of an envelope of this kind, signed with the key in this file or a trusted one; else PackageError.

    With `trust`, the key with this id is trusted too, this once.
    """
    held, payload, signature = _read(envelope)
    if held.payload_type != kind:
        raise PackageError(f"the envelope holds a `{held.payload_type}`, not a `{kind}`")
    id = held.signatures[0].keyid
    public = signer(envelope).public if id == trust else _public(id, key)
    if public is None:
        hint = f"if you know whose key that is: keepfit trust {id}"
        raise PackageError(f"the package is signed with the key `{id}`, which is not trusted here", hint=hint)
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _encoding(payload, kind))
    except InvalidSignature:
        raise PackageError("the package's signature does not fit its manifest: it was changed") from None
    return payload


def signer(envelope: bytes) -> Key:
    """The key that an envelope says it is signed with; PackageError when it does not tell."""
    held, _, _ = _read(envelope)
    told = held.signatures[0]
    try:
        public = bytes.fromhex(told.public)
    except ValueError:
        public = b""
    if key_id(public) != told.keyid:
        raise PackageError("the envelope does not hold the key it is signed with")
    return Key(told.keyid, public)


def own_key(key: Path) -> Key:
    """The public half of the key in this file, which is made if it is not there."""
    public = _private(key).public_key().public_bytes_raw()
    return Key(key_id(public), public)


def is_trusted(id: str, key: Path) -> bool:
    """Whether what is signed with this key is believed by who holds the key in this file."""
    return _public(id, key) is not None


def trust(other: Key, key: Path) -> None:
    """Believe from now on what is signed with another key."""
    write_file(key.parent / "trusted" / other.id, other.public.hex().encode())


def key_id(public: bytes) -> str:
    """What people call a key."""
    return digest_bytes(public)[:16]


def _read(envelope: bytes) -> tuple[_Envelope, bytes, bytes]:
    try:
        held = msgspec.json.decode(envelope, type=_Envelope)
        payload = base64.b64decode(held.payload, validate=True)
        return held, payload, base64.b64decode(held.signatures[0].sig, validate=True)
    except (msgspec.MsgspecError, ValueError, IndexError) as problem:
        raise PackageError("the package's envelope cannot be read") from problem


def _public(id: str, key: Path) -> bytes | None:
    """The public key with this id, if it is one's own or trusted."""
    own = own_key(key)
    if id == own.id:
        return own.public
    if not _KEY_ID.fullmatch(id):
        return None
    try:
        public = bytes.fromhex((key.parent / "trusted" / id).read_text())
    except (OSError, ValueError):
        return None
    return public if key_id(public) == id else None


def _encoding(payload: bytes, kind: str) -> bytes:
    """What is signed: DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(payload), payload)


def _private(path: Path) -> Ed25519PrivateKey:
    if not path.exists():
        with locked(path.with_suffix(".lock")):
            if not path.exists():
                write_file(path, Ed25519PrivateKey.generate().private_bytes_raw(), mode=0o600)
    try:
        return Ed25519PrivateKey.from_private_bytes(path.read_bytes())
    except ValueError as problem:
        raise PackageError("the signing key is damaged", where=str(path)) from problem
