"""The file that a command is told to write."""

from __future__ import annotations

from pathlib import Path

from keepfit.core.errors import UsageError


def refuse_target(file: Path) -> None:
    """UsageError when no file can be put there: nothing is worked out in vain, and no folder made by a slip."""
    if file.is_dir():
        raise UsageError(f"`{file}` is a folder", hint=f"name a file in it: --out {file / 'NAME'}")
    if not file.parent.is_dir():
        raise UsageError(f"there is no folder `{file.parent}`", hint=f"mkdir -p {file.parent}")
