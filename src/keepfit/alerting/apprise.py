"""Messages to the hundred and more services that apprise speaks to."""

from __future__ import annotations

import html
import logging
import threading
from urllib.parse import urlsplit

from apprise import Apprise, NotifyBase, NotifyFormat, NotifyType

from keepfit.alerting.channel import hide
from keepfit.alerting.message import Message
from keepfit.core.errors import DeliveryError

MAIL = ("mailto", "mailtos")
LONG = (*MAIL, "json", "jsons")
"""Schemes of channels with room for all of a message; the others are chats."""
TIMEOUT = 60.0
"""Seconds that a service may take."""
_TYPES = {"page": NotifyType.FAILURE, "escalation": NotifyType.FAILURE, "resolved": NotifyType.SUCCESS}


def notify(address: str, message: Message) -> None:
    """Send it; DeliveryError, in apprise's own words without the secrets of the address, when it was not taken."""
    scheme = urlsplit(address).scheme
    text, form = message.text if scheme in LONG else message.short, NotifyFormat.TEXT
    if scheme in MAIL:  # apprise sends it as plain text too
        text, form = f"<pre>{html.escape(text)}</pre>", NotifyFormat.HTML
    with _Heard() as heard:
        service = Apprise.instantiate(address)
    if not isinstance(service, NotifyBase):
        why = hide("; ".join(heard.lines), address) or "it does not say why"
        raise DeliveryError(f"apprise does not take the address of `{scheme}`: {why}")
    service.redirects = False
    sender = Apprise()
    sender.add(service)
    type_ = _TYPES.get(message.form, NotifyType.INFO)
    with sender.notify(text, message.title, type_, body_format=form, timeout=TIMEOUT) as result:
        if not result:
            lines = dict.fromkeys(entry.message for entry in result.logs())
            why = hide("; ".join(lines), address)[:500] or "it does not say why"
            raise DeliveryError(f"`{scheme}` did not take it: {why}")


class _Heard(logging.Handler):
    """What apprise says of an address in this thread: another may be at one with other secrets."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines = list[str]()
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        if record.thread == self._thread:
            self.lines.append(record.getMessage())

    def __enter__(self) -> _Heard:
        _LOGGER.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        _LOGGER.removeHandler(self)


_LOGGER = logging.getLogger("apprise")
_LOGGER.propagate = False  # it would print addresses, secrets and all
_LOGGER.addHandler(logging.NullHandler())
