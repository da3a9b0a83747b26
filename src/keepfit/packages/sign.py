"""Signatures: DSSE v1 envelopes (secure-systems-lab/dsse) signed with the project's own Ed25519 key."""

from __future__ import annotations

import base64
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from keepfit.core.digests import digest_bytes
from keepfit.core.errors import PackageError
from keepfit.core.files import locked, write_file

PAYLOAD_TYPE = "application/vnd.keepfit.manifest+json"


class _Signature(msgspec.Struct):
    keyid: str
    sig: str


class _Envelope(msgspec.Struct, rename={"payload_type": "payloadType"}):
    payload_type: str
    payload: str
    signatures: list[_Signature]


def sign(payload: bytes, key: Path, kind: str = PAYLOAD_TYPE) -> bytes:
    """The envelope around a payload of this kind, signed with the key in this file (made at first use, mode 0600)."""
    private = _private(key)
    signature = private.sign(_encoding(payload, kind))
    envelope = _Envelope(
        kind,
        base64.b64encode(payload).decode(),
        [_Signature(_key_id(private.public_key()), base64.b64encode(signature).decode())],
    )
    return msgspec.json.encode(envelope)


def opened(envelope: bytes, key: Path, kind: str = PAYLOAD_TYPE) -> bytes:
    """The payload of an envelope of this kind, signed with the key in this file; PackageError otherwise."""
    try:
        held = msgspec.json.decode(envelope, type=_Envelope)
        payload = base64.b64decode(held.payload, validate=True)
        signature = base64.b64decode(held.signatures[0].sig, validate=True)
    except (msgspec.MsgspecError, ValueError, IndexError) as problem:
        raise PackageError("the package's envelope cannot be read") from problem
    public = _private(key).public_key()
    if held.payload_type != kind:
        raise PackageError(f"the envelope holds a `{held.payload_type}`, not a `{kind}`")
    if held.signatures[0].keyid != _key_id(public):
        raise PackageError(f"the package is signed with the key `{held.signatures[0].keyid}`, not with this project's")
    try:
        public.verify(signature, _encoding(payload, kind))
    except InvalidSignature:
        raise PackageError("the package's signature does not fit its manifest: it was changed") from None
    return payload


def _encoding(payload: bytes, kind: str) -> bytes:
    """What is signed: DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(payload), payload)


def _key_id(public: Ed25519PublicKey) -> str:
    return digest_bytes(public.public_bytes_raw())[:16]


def _private(path: Path) -> Ed25519PrivateKey:
    if not path.exists():
        with locked(path.with_suffix(".lock")):
            if not path.exists():
                write_file(path, Ed25519PrivateKey.generate().private_bytes_raw(), mode=0o600)
    try:
        return Ed25519PrivateKey.from_private_bytes(path.read_bytes())
    except ValueError as problem:
        raise PackageError("the signing key is damaged", where=str(path)) from problem
