"""Writes facts, names and objects in a project's stores from several threads; says what has been acknowledged.

python writer.py FOLDER ROUND     one line per acknowledged thing: `fact ID TIME` or `object DIGEST TIME`
"""

from __future__ import annotations

import os
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from keepfit.core.errors import NameMoved, StoreError
from keepfit.ledger import Move, fact, open_ledger
from keepfit.objects import open_objects

SIZES = (10, 3_000, 200_000, 3_000_000)
THREADS = 4


def main(folder: Path, round: str) -> None:
    ledger = open_ledger("sqlite:.keepfit/ledger.db", folder)
    objects = open_objects("folder:.keepfit/objects", folder)
    say = threading.Lock()

    def acknowledge(text: str) -> None:
        with say:
            os.write(1, f"{text} {time.monotonic()}\n".encode())

    def write(number: int) -> None:
        for count in range(100_000):
            content = f"{round} {number} {count} ".encode() * (SIZES[count % len(SIZES)] // 10 + 1)
            digest = objects.put(content)
            acknowledge(f"object {digest}")
            made = fact(
                "written", f"thread/{number}", time=datetime.now(UTC), key=[round, number, count], refs={"is": digest}
            )
            name = f"newest/{count % 2}"
            try:
                ledger.append([made], [Move(name, ledger.name(name), made.id)])
            except NameMoved:
                continue
            acknowledge(f"fact {made.id}")

    def work(number: int) -> None:
        try:
            write(number)
        except (StoreError, OSError):
            os._exit(3)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
