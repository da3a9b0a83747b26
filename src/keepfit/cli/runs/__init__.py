"""`keepfit runs`: each sub-verb is a file here; without one, the list."""

from __future__ import annotations

from keepfit.cli import Verb

VERBS = {
    "list": Verb("runs, newest or best first", "keepfit runs --sort auc --limit 50"),
    "search": Verb("runs that meet a condition", "keepfit runs search \"auc > 0.7 and kind = 'l2'\""),
    "show": Verb("everything about one run, with the curves it logged", "keepfit runs show run-3f2a"),
    "compare": Verb(
        "what differs: parameters, metrics, data, code, environment",
        "keepfit runs compare run-3f2a run-91bc --html runs.html",
    ),
}
DEFAULT = "list"
