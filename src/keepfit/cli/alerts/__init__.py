"""`keepfit alerts`: each sub-verb is a file here; without one, the list."""

from __future__ import annotations

from keepfit.cli import Verb

VERBS = {
    "list": Verb("what is open, who knows of it, what is silenced", "keepfit alerts --all"),
    "show": Verb("one alert: likely causes, who was told", "keepfit alerts show alert-3f2a91"),
    "ack": Verb("say that you know of it: nobody else is told", "keepfit alerts ack alert-3f2a91 --note 'on it'"),
    "silence": Verb("tell nobody of a kind or a fault for a while", "keepfit alerts silence drift --for 2h"),
    "test": Verb("send a test message to every channel", "keepfit alerts test"),
}
DEFAULT = "list"
