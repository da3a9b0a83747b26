"""Running one command: its arguments, its report, its errors."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from keepfit.cli import VERBS
from keepfit.core.errors import KeepfitError, StoreError, UsageError, did_you_mean


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"{self.prog} --help")


def run(verb: str, words: list[str]) -> int:
    """Run `verb`; prints its report on stdout, everything else on stderr; gives the exit code."""
    as_json = "--json" in words
    try:
        if verb not in VERBS:
            raise UsageError(f"`{verb}` is not a command", hint=did_you_mean(verb, VERBS) or "keepfit --help")
        command: Any = importlib.import_module(f"keepfit.cli.{verb.replace('-', '_')}")
        report = command.run(parser_of(verb, command).parse_args(words))
        _answer(_json(report.value) if as_json else report.text)
        return int(report.exit_code)
    except KeepfitError as problem:
        return _tell(problem, as_json)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone: nothing more to say
        return 141
    except Exception:
        with contextlib.suppress(OSError):
            traceback.print_exc()
            print(_BUG, file=sys.stderr)
        return 1


_BUG = "\nerror[bug]: keepfit itself failed; the lines above say where. Nothing was left half done."


def _answer(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as problem:
        with contextlib.suppress(OSError):
            sys.stdout.close()  # drops what is still buffered, which would fail again at exit
        raise StoreError(f"what was asked is done, but the answer cannot be written: {problem.strerror}") from problem


def _tell(problem: KeepfitError, as_json: bool) -> int:
    told = {"code": problem.code, "message": problem.message, "where": problem.where, "hint": problem.hint}
    with contextlib.suppress(OSError, ValueError):  # standard output may be what failed
        if as_json:
            print(json.dumps({"error": told}), flush=True)
    with contextlib.suppress(OSError):
        print(problem, file=sys.stderr)
    return problem.exit_code


def parser_of(verb: str, command: Any) -> argparse.ArgumentParser:
    """What a command understands; it raises UsageError instead of ending the process."""
    parser = _Parser(
        prog=f"keepfit {verb}",
        description=VERBS[verb].summary,
        epilog=f"example:\n  {VERBS[verb].example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--project", type=Path, default=Path(), metavar="DIR", help="the project's folder (default: here)"
    )
    return parser


def _json(value: Any) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
