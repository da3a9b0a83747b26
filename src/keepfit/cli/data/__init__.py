"""`keepfit data`: each sub-verb is a file here."""

from __future__ import annotations

from keepfit.cli import Verb

VERBS = {
    "add": Verb("version datasets, or any files, as they are now", "keepfit data add flights"),
    "status": Verb("what changed since the newest version", "keepfit data status"),
    "log": Verb("the versions: when, by whom, how much, what changed", "keepfit data log flights"),
    "diff": Verb("what differs: files, columns, rows, distributions", "keepfit data diff flights@1 flights@2"),
    "checkout": Verb("put the files of a version back", "keepfit data checkout flights@1 --to /tmp/flights"),
}
