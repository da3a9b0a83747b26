"""`keepfit trust`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from keepfit.cli.opening import open_anyway
from keepfit.cli.report import Report
from keepfit.packages.keys import met_keys, trust_key


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("key", nargs="?", help="believe what this key has signed (default: show the keys there are)")


def run(options: Namespace) -> Report:
    _, home = open_anyway(options.project)
    if options.key:
        trust_key(home, options.key)
        return Report({"trusted": options.key}, f"key {options.key} is trusted from now on")
    found = met_keys(home)
    lines = []
    for key in found:
        state = "this machine's own" if key.own else "trusted" if key.trusted else "not trusted"
        lines.append(f"{key.id}  {state}, {key.packages} packages, the newest made by {key.actor or 'nobody named'}")
    return Report(found, "\n".join(lines) or "no package is signed yet: keepfit package")
