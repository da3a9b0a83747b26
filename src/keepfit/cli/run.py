"""Running one command: its arguments, its report, its errors."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from keepfit.cli import VERBS, Verb
from keepfit.core.errors import KeepfitError, StoreError, UsageError, did_you_mean


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"{self.prog} --help")


def run(verb: str, words: list[str]) -> int:
    """Run `verb`; prints its report on stdout, everything else on stderr; gives the exit code."""
    as_json = "--json" in words
    try:
        command = find_command([verb, *words])
        rest = words[command.depth - 1 :]
        if command.default and not {"-h", "--help"} & set(rest):
            command = command._replace(module=importlib.import_module(f"{command.module.__name__}.{command.default}"))
        if command.verbs:
            _answer(overview_of(command))
            return 0 if rest else 2
        report = command.module.run(parser_of(command).parse_args(rest))
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
            import traceback

            traceback.print_exc()
            print(BUG, file=sys.stderr)
        return 1


BUG = "\nerror[bug]: keepfit itself failed; the lines above say where. Nothing was left half done."


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
            print(_json({"error": told}), flush=True)
    with contextlib.suppress(OSError):
        print(problem, file=sys.stderr)
    return problem.exit_code


class Command(NamedTuple):
    """A verb, or a sub-verb below one: a module with `arguments` and `run`, or a package with more `VERBS`."""

    name: str
    verb: Verb
    module: Any

    @property
    def depth(self) -> int:
        """How many words it takes to name it."""
        return len(self.name.split())

    @property
    def verbs(self) -> Mapping[str, Verb]:
        """The sub-verbs, if it has some."""
        return getattr(self.module, "VERBS", {})

    @property
    def default(self) -> str | None:
        """The sub-verb that is meant when none is given, if there is one."""
        return getattr(self.module, "DEFAULT", None)

    def below(self) -> Iterator[Command]:
        """Its sub-verbs as commands."""
        for word, verb in self.verbs.items():
            module = importlib.import_module(f"{self.module.__name__}.{word.replace('-', '_')}")
            yield Command(f"{self.name} {word}", verb, module)


def find_command(words: list[str]) -> Command:
    """The command that the first words name; UsageError when there is none."""
    name, verbs, package = "keepfit", VERBS, "keepfit.cli"
    found: Command | None = None
    for word in words:
        if found and (not found.verbs or word.startswith("-")):
            break
        if word not in verbs:
            known = did_you_mean(word, verbs) or f"{name} --help"
            raise UsageError(f"`{' '.join([*name.split()[1:], word])}` is not a command", hint=known)
        module = importlib.import_module(f"{package}.{word.replace('-', '_')}")
        name, package = f"{name} {word}", module.__name__
        found = Command(name.removeprefix("keepfit "), verbs[word], module)
        verbs = dict(found.verbs)
    assert found
    return found


def overview_of(command: Command) -> str:
    """The help of a verb with sub-verbs: each with an example."""
    width = max(map(len, command.verbs)) + 2
    lines = [
        line
        for word, verb in command.verbs.items()
        for line in (f"  {word:<{width}}{verb.summary}", f"  {'':<{width}}{verb.example}")
    ]
    usage = f"usage: keepfit {command.name} VERB [options]      keepfit {command.name} VERB --help for each"
    last = "every one takes --json and --project DIR" + (f"; no VERB: {command.default}" if command.default else "")
    return "\n".join([usage, "", command.verb.summary, "", *lines, "", last, "", f"example:\n  {command.verb.example}"])


def parser_of(command: Command) -> argparse.ArgumentParser:
    """What a command understands; it raises UsageError instead of ending the process."""
    parser = _Parser(
        prog=f"keepfit {command.name}",
        description=command.verb.summary,
        epilog=f"example:\n  {command.verb.example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.module.arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--project", type=Path, default=Path(), metavar="DIR", help="the project's folder (default: here)"
    )
    return parser


def _json(value: Any) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
