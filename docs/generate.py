"""Writes the reference pages from the code; the tests fail when a page is out of date.

python docs/generate.py
"""

from __future__ import annotations

import json
from argparse import RawDescriptionHelpFormatter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from keepfit.cli import VERBS
from keepfit.cli.run import Command, find_command, overview_of, parser_of
from keepfit.project import json_schema

DOCS = Path(__file__).parent


def pages() -> dict[str, str]:
    """File name -> text of every generated page."""
    schema = json_schema()
    return {
        "keepfit.schema.json": json.dumps(schema, indent=2) + "\n",
        "project.md": "\n".join(_project(schema)) + "\n",
        "commands.md": "\n".join(_commands()) + "\n",
    }


def _project(schema: dict[str, Any]) -> Iterator[str]:
    yield "# keepfit.toml"
    yield ""
    yield "Every key, in the order of the loop. Editors complete and check it with"
    yield "[keepfit.schema.json](keepfit.schema.json) (also: `keepfit schema`). Durations are `20ms`, `30s`, `15m`,"
    yield "`24h`, `60d`, `2w`. This page is written by `python docs/generate.py`."
    for name, field in schema["properties"].items():
        if "$ref" not in field and name != "data":
            yield f"\n`{name}`: {_type(field)}{_default(field)}. {field.get('description', '')}".rstrip()
    for name, field in schema["properties"].items():
        if name == "data":
            yield "\n## [data.NAME]\n"
            yield from _table(schema, schema["$defs"]["DataSection"])
            yield "\nA key whose value is a table is a column:\n"
            yield from _table(schema, schema["$defs"]["Column"])
        elif "$ref" in field:
            yield f"\n## [{name}]\n"
            yield from _table(schema, _resolved(schema, field))
    sections = ("TuneSettings", "Range", "Requirement", "LatencyRequirement", "SliceRequirement")
    for title in (*sections, "Approvals", "GuardLimits"):
        yield f"\n### {title}\n"
        yield schema["$defs"][title].get("description", "")
        yield ""
        yield from _table(schema, schema["$defs"][title])


def _table(schema: dict[str, Any], section: dict[str, Any]) -> Iterator[str]:
    yield "| key | value | |"
    yield "|---|---|---|"
    for name, field in section["properties"].items():
        need = "required. " if name in section.get("required", ()) else ""
        told = " ".join(field.get("description", "").split()).replace("|", "\\|")
        yield f"| `{name}` | {_type(field)}{_default(field)} | {need}{told} |"
    match section.get("additionalProperties"):
        case {"description": str() as told} as others:
            yield f"| any other | {_type(others)} | {told} |"


def _resolved(schema: dict[str, Any], field: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schema["$defs"][field["$ref"].rpartition("/")[2]]
    return found


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "enum" in field:
        return ", ".join(f'`"{v}"`' for v in field["enum"])
    if "anyOf" in field:
        return " or ".join(_type(f) for f in field["anyOf"])
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    if field.get("type") == "object":
        return "table"
    return str(field.get("type", "any"))


def _default(field: dict[str, Any]) -> str:
    return f" = `{json.dumps(field['default'])}`" if field.get("default") not in (None, [], {}) else ""


def _commands() -> Iterator[str]:
    yield "# Commands"
    yield ""
    yield "Written by `python docs/generate.py`. Every command takes `--json` and `--project DIR`; exit codes are in"
    yield "[errors.md](errors.md)."
    for verb in VERBS:
        yield from _command(find_command([verb]), "##")


def _command(command: Command, heading: str) -> Iterator[str]:
    if command.verbs:
        yield f"\n{heading} keepfit {command.name}\n\n```\n{overview_of(command)}\n```"
        for sub in command.below():
            yield from _command(sub, f"{heading}#")
        return
    parser = parser_of(command)
    parser.formatter_class = partial(RawDescriptionHelpFormatter, width=100)
    yield f"\n{heading} keepfit {command.name}\n\n```\n{parser.format_help().strip()}\n```"


if __name__ == "__main__":
    for name, text in pages().items():
        (DOCS / name).write_text(text)
