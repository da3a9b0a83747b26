"""Webhooks: signed, never redirected, and to private addresses only when the operator says so."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from receivers import Receiver, receiver

from keepfit.alerting.channel import address_of, check_channel, hide, name_of
from keepfit.alerting.message import Message
from keepfit.alerting.send import send
from keepfit.alerting.webhook import ping
from keepfit.core.errors import DeliveryError, UsageError

MESSAGE = Message(
    id="message-1", form="page", time=datetime(2024, 6, 3, tzinfo=UTC), about=[], title="t", text="long", short="short"
)
HERE = ["127.0.0.1"]


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@pytest.mark.parametrize("key", ["a plain secret", "whsec_" + base64.b64encode(b"some bytes").decode()])
def test_it_is_signed_as_the_standard_has_it(
    server: Receiver, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", f"{server.url}?team=ops#{key}")
    send(tmp_path, "$HOOK", MESSAGE, HERE)
    (got,) = server.got
    assert got.path == "/hook?team=ops"
    assert key not in str(got)
    assert got.json["text"] == "short"
    assert got.json["long"] == "long"
    secret = b"some bytes" if key.startswith("whsec_") else key.encode()
    signed = f"message-1.{got.headers['webhook-timestamp']}.".encode() + got.body
    expected = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    assert got.headers["webhook-signature"] == f"v1,{expected}"


def test_a_redirect_is_not_followed(server: Receiver, tmp_path: Path) -> None:
    server.answer, server.headers = 302, {"location": f"http://127.0.0.1:{server.port}/elsewhere"}
    with pytest.raises(DeliveryError, match=r"answered 302 \(a redirect is not followed\)"):
        send(tmp_path, server.url, MESSAGE, HERE)
    assert len(server.got) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "[::1]"])
def test_a_private_address_must_be_listed(host: str, tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="has the private address") as problem:
        send(tmp_path, f"http://{host}:9/hook", MESSAGE, [])
    assert "private = [" in (problem.value.hint or "")


def test_what_cannot_be_reached_is_told_without_the_address(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match=r"`127.0.0.1` cannot be reached: Connection refused") as problem:
        send(tmp_path, "http://127.0.0.1:1/T0K3N", MESSAGE, HERE)
    assert "T0K3N" not in str(problem.value)
    with pytest.raises(DeliveryError, match="cannot be reached"):
        ping("http://127.0.0.1:1/", HERE)


def test_addresses_come_from_the_environment_or_a_file_that_others_cannot_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DeliveryError, match="the environment has no `TEAM`"):
        address_of(tmp_path, "$TEAM")
    monkeypatch.setenv("TEAM", "nonsense")
    with pytest.raises(DeliveryError, match="is not an address"):
        address_of(tmp_path, "$TEAM")
    secret = tmp_path / "team"
    secret.write_text("https://ops.example.com/T0K3N\n")
    secret.chmod(0o644)
    with pytest.raises(DeliveryError, match="others can read"):
        address_of(tmp_path, "file:team")
    secret.chmod(0o600)
    assert address_of(tmp_path, "file:team") == "https://ops.example.com/T0K3N"
    with pytest.raises(DeliveryError, match="No such file"):
        address_of(tmp_path, "file:other")


@pytest.mark.parametrize(
    "written",
    [
        "slack://T1/A1/secret",
        "mailto://ana:secret@mail.example.com",
        "mailto://mail.example.com?pass=secret",
        "https://ops.example.com/hook#secret",
        "nonsense",
        "$",
        "$A-B",
        "file:",
    ],
)
def test_secrets_and_nonsense_do_not_belong_into_the_project(written: str) -> None:
    with pytest.raises(UsageError) as problem:
        check_channel(written)
    assert "secret" not in problem.value.message.replace("a secret of", "")


def test_a_channel_is_called_by_a_name_without_secrets() -> None:
    for written in ("$TEAM", "file:/run/secrets/team"):
        check_channel(written)
        assert name_of(written) == written
    name = name_of("https://hooks.example.com/services/T0K3N?a=b")
    assert name.startswith("https://hooks.example.com/*** (")
    assert name != name_of("https://hooks.example.com/services/other")
    told = hide("refused T0K3N of ana:pass-word", "slack://ana:pass-word@T0K3N/x?y=z")
    assert told == "refused *** of ana:***"
