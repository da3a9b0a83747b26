"""Sending one message over one channel."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from keepfit.alerting.channel import WEB, address_of, name_of
from keepfit.alerting.message import Message
from keepfit.core.errors import DeliveryError


def send(root: Path, written: str, message: Message, private: Collection[str]) -> None:
    """Send a message now; DeliveryError, without any secret in it, when it was not taken."""
    address = address_of(root, written)
    if address.partition(":")[0].lower() in WEB:
        from keepfit.alerting.webhook import post

        post(address, message, private)
        return
    try:
        from keepfit.alerting.apprise import notify
    except ImportError:
        hint = "pip install 'keepfit[alerts]'"
        raise DeliveryError(f"`{name_of(written)}` needs apprise", hint=hint) from None
    notify(address, message)
