"""The load, in a process of its own: told what to ask, it asks until standard input ends, and tells what came of it."""

from __future__ import annotations

import select
import sys

import msgspec

from keepfit.loadtest.fire import Target, fire
from keepfit.loadtest.load import Load
from keepfit.loadtest.questions import Questions


class Job(msgspec.Struct, frozen=True):
    """What to ask, and what each version must answer."""

    url: str
    token: str
    load: Load
    bodies: list[str]
    promised: dict[int, list[list[float]]]


def main() -> None:
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    questions = Questions([body.encode() for body in job.bodies], job.promised, only=True)

    def stop(_: float) -> bool:
        return bool(select.select([sys.stdin], [], [], 0)[0])

    print("ready", flush=True)
    figures = fire(Target(job.url, job.token), questions, job.load, stop=stop)
    print(msgspec.json.encode(figures).decode(), flush=True)


if __name__ == "__main__":
    main()
