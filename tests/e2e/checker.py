"""Says what is wrong with a project's stores: python checker.py FOLDER < `fact ID` or `object DIGEST`, a line each."""

from __future__ import annotations

import sys
from pathlib import Path

from keepfit.ledger import open_ledger
from keepfit.objects import is_whole, open_objects


def main(folder: Path) -> None:
    ledger = open_ledger("sqlite:.keepfit/ledger.db", folder)
    objects = open_objects("folder:.keepfit/objects", folder)
    if problem := ledger.verify():
        print(problem)
    for digest in objects.list():
        if not is_whole(objects, digest):
            print("damaged object", digest)
    for line in sys.stdin:
        kind, id = line.split()
        if not (ledger.get(id) if kind == "fact" else objects.has(id)):
            print("lost", kind, id)
    for id in ledger.names("newest/").values():
        fact = ledger.get(id)
        if fact is None or not objects.has(fact.refs["is"]):
            print("a name points at nothing", id)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
