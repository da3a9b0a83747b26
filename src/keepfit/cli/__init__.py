"""The command line: finds the verb, loads only that, prints its report. It asks and shows; it never decides."""

from __future__ import annotations

import sys
from typing import NamedTuple


class Verb(NamedTuple):
    """A command, for the overview and for its own help."""

    summary: str
    example: str


VERBS = {
    "init": Verb("make a project from a data file", "keepfit init churn.csv --label churned"),
    "profile": Verb("what a table is like: columns, gaps, associations", "keepfit profile flights --html flights.html"),
    "status": Verb("what is in production, how it is doing, and what happens next", "keepfit status"),
    "data": Verb("versions of datasets, or of any files: add, status, diff, checkout, log", "keepfit data add"),
    "train": Verb("train on what is known now; known work is not done again", "keepfit train"),
    "tune": Verb("search for good parameters; every trial is a run", "keepfit tune --jobs 2"),
    "runs": Verb("list, show, search and compare runs", "keepfit runs --sort auc --where 'auc > 0.7 and rate < 0.1'"),
    "check": Verb("may a model ship? hold it against the plan and the champion", "keepfit check delay@challenger"),
    "package": Verb("build a model's package and try it in a fresh process", "keepfit package --out delay.zip"),
    "plan": Verb("what releasing a version would change, and what stands against it", "keepfit plan delay@7"),
    "approve": Verb("say yes to the release of a version, signed", "keepfit approve delay@7"),
    "release": Verb("put a model that passed its checks into production", "keepfit release delay@challenger"),
    "rollback": Verb("put the previous champion back", "keepfit rollback --reason 'late flights missed'"),
    "releases": Verb("who released, rolled out, approved or took back what, when and why", "keepfit releases"),
    "serve": Verb("answer predictions over HTTP", "keepfit serve --port 8080"),
    "bench": Verb("how fast it answers under load, and whether rightly", "keepfit bench --rate 500 --seconds 10"),
    "predict": Verb(
        "predict the rows of files, of any size, with the champion", "keepfit predict new.csv --out out.csv"
    ),
    "watch": Verb("what monitoring saw, window by window, and the open alerts", "keepfit watch --last 14"),
    "alerts": Verb("who must know: list, show, ack, silence, test", "keepfit alerts ack alert-3f2a91 --note 'on it'"),
    "retrain": Verb(
        "go once around: train, check, package, release if it is better", "keepfit retrain --reason 'new plane'"
    ),
    "up": Verb("keep a model in production: serve, watch, alert, retrain", "keepfit up"),
    "demo": Verb("a year of real flights in minutes", "keepfit demo --months 3"),
    "why": Verb(
        "walk back from a prediction, model, run or release to where it came from", "keepfit why delay@champion"
    ),
    "log": Verb("what happened, who did it, and when", "keepfit log --kind release --since 2013-05-01"),
    "reproduce": Verb(
        "make a result again from what was kept, and prove it equal bit for bit", "keepfit reproduce delay@champion"
    ),
    "who-was-live": Verb("which model answered at a time", "keepfit who-was-live --at 2013-05-02"),
    "push": Verb("bring data, models and facts to the remote", "keepfit push"),
    "pull": Verb("bring what others have pushed", "keepfit pull"),
    "trust": Verb("whose packages are believed here, and whose are not", "keepfit trust 3f2a91bc0d4e5f60"),
    "verify": Verb("check every object, name and fact, and repair what can be", "keepfit verify --repair"),
    "gc": Verb("free what no fact and no name needs", "keepfit gc --yes"),
    "schema": Verb("the JSON Schema of keepfit.toml, for editors", "keepfit schema > keepfit.schema.json"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; gives its exit code.

    0: done, and the answer is good. 1: it could not be done. 2: the command makes no sense.
    3: done, and the answer is no (a gate failed, an alert is open, nothing was live).
    """
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0 if words else 2
    if words[0] == "--version":
        from importlib.metadata import version

        print(f"keepfit {version('keepfit')}")
        return 0
    from keepfit.cli.run import run

    return run(words[0], words[1:])


def _overview() -> str:
    width = max(map(len, VERBS)) + 2
    lines = [f"  {name:<{width}}{verb.summary}" for name, verb in VERBS.items()]
    return "\n".join(
        [
            "keepfit keeps models fit: one loop from data to production and back.",
            "",
            "usage: keepfit VERB [options]      keepfit VERB --help for each",
            "",
            *lines,
            "",
            "first steps: keepfit demo --months 3    or    keepfit init DATA.csv",
        ]
    )
