"""What apprise speaks to, for real: JSON to a web server, mail to an SMTP server."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from receivers import receiver

from keepfit.alerting.message import Message
from keepfit.alerting.send import send
from keepfit.core.errors import DeliveryError

MESSAGE = Message(
    id="message-1",
    form="page",
    time=datetime(2024, 6, 3, tzinfo=UTC),
    about=[],
    title="[shop] auc of shop@1 is 0.61",
    text="what   auc <0.7\nmessage message-1",
    short="auc <0.7",
)


@contextmanager
def mail_server() -> Iterator[tuple[int, list[EmailMessage]]]:
    from aiosmtpd.controller import Controller

    class Box:
        def __init__(self) -> None:
            self.mails: list[EmailMessage] = []

        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
            self.mails.append(message_from_bytes(envelope.content, policy=policy.default))  # type: ignore[arg-type]
            return "250 taken"

    box = Box()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield port, box.mails
    finally:
        controller.stop()


def test_json_has_all_of_it(tmp_path: Path) -> None:
    with receiver() as server:
        send(tmp_path, f"json://127.0.0.1:{server.port}/hook", MESSAGE, [])
        (got,) = server.got
        assert got.json["title"] == MESSAGE.title
        assert got.json["message"] == MESSAGE.text
        assert got.json["type"] == "failure"
        server.answer = 500
        with pytest.raises(DeliveryError, match=r"`json` did not take it: .*500"):
            send(tmp_path, f"json://127.0.0.1:{server.port}/hook", MESSAGE, [])
        server.answer, server.headers = 302, {"location": f"http://127.0.0.1:{server.port}/elsewhere"}
        with pytest.raises(DeliveryError):
            send(tmp_path, f"json://127.0.0.1:{server.port}/hook", MESSAGE, [])
        assert [r.path for r in server.got] == ["/hook"] * 3


def test_mail_has_text_and_html(tmp_path: Path) -> None:
    with mail_server() as (port, mails):
        send(tmp_path, f"mailto://127.0.0.1:{port}?from=keepfit@example.com&to=ana@example.com", MESSAGE, [])
        (mail,) = mails
        assert mail["subject"] == MESSAGE.title
        html, plain = mail.get_body(("html",)), mail.get_body(("plain",))
        assert html
        assert "<pre>what   auc &lt;0.7\nmessage message-1</pre>" in html.get_content().replace("\r", "")
        assert plain
        assert plain.get_content().replace("\r", "").startswith(MESSAGE.text)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("slakc://T0K3N/x", "apprise does not take the address of `slakc`"),
        ("slack://T0K3N", "slack"),
        ("mailto://ana:T0K3N@127.0.0.1:1?from=a@example.com&to=b@example.com", "`mailto` did not take it"),
    ],
)
def test_what_goes_wrong_is_told_without_secrets(
    address: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("TEAM", address)
    with pytest.raises(DeliveryError, match=told) as problem:
        send(tmp_path, "$TEAM", MESSAGE, [])
    logging.getLogger().handlers[0].flush()
    assert "T0K3N" not in "".join([str(problem.value), *capfd.readouterr(), caplog.text])
