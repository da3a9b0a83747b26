"""From a data file to a project that runs: keepfit.toml, plain functions, and their tests."""

from __future__ import annotations

import importlib.util
import keyword
import os
import re
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from keepfit.core.digests import digest_file
from keepfit.core.errors import DataError, UsageError
from keepfit.core.files import is_part, write_file
from keepfit.datasets.infer import infer
from keepfit.infra.starter import CONFTEST, Starter, code_text, settings_text, test_text
from keepfit.project.project import FILE
from keepfit.project.rules import MODEL_NAME

_LIBRARIES = {"conftest", "joblib", "keepfit", "numpy", "pandas", "polars", "pytest", "scipy", "sklearn", "skops"}
_GLOB = re.compile(r"[*?\[\]]")


class Started(NamedTuple):
    """A project that was started."""

    written: list[Path]
    copies: dict[Path, Path]
    """Data that were copied into the project: copy -> original."""
    starter: Starter


def scaffold(data: Path, folder: Path, *, label: str | None = None, name: str | None = None) -> Started:
    """Start a project in `folder` for the data at `data` (a file, a folder or a glob); tells what was written.

    Data outside the folder are copied into it. Nothing of the user's is overwritten: raises
    UsageError naming the files that are in the way; and what `keepfit.datasets.infer.infer`
    raises of the data. keepfit.toml is written last, so that a killed call can be repeated.
    """
    found = infer(data, label=label)
    here = Path(os.path.abspath(data))
    dataset = _identifier(here.parent.name if _GLOB.search(here.name) else here.stem)
    model = dataset if name is None else name
    if not MODEL_NAME.fullmatch(model):
        raise UsageError(f"`{model}` is no name for a model", hint="use letters, digits, `-`, `_` and `.`")
    module = _identifier(model)
    source, copies = _source(here, found.files, folder, dataset)
    module = f"{module}_model" if module in _LIBRARIES | sys.stdlib_module_names else module
    starter = Starter(
        model=model,
        module=module,
        dataset=f"{dataset}_data" if dataset == "pl" else dataset,
        source=source,
        found=found,
        tests=_tests(folder, module),
        tested=importlib.util.find_spec("pytest") is not None,
    )
    if not starter.lists:
        raise DataError("there are only ids and free text to predict from", where=str(here))
    texts = {
        folder / f"{starter.module}.py": code_text(starter),
        folder / starter.tests / f"test_{starter.module}.py": test_text(starter),
        **({} if (folder / "conftest.py").exists() else {folder / "conftest.py": CONFTEST}),
        folder / FILE: settings_text(starter),
    }
    _refuse_overwriting(texts, copies, folder)
    for target, origin in copies.items():
        write_file(target, partial(_copy, origin))
    for target, text in texts.items():
        write_file(target, text.encode())
    return Started([*copies, *texts], copies, starter)


def _source(here: Path, files: list[Path], folder: Path, dataset: str) -> tuple[str, dict[Path, Path]]:
    """What `from` says of the data, and what to copy (target -> origin) so that it is true."""
    base = Path(os.path.abspath(folder))
    inside = here.is_relative_to(base)
    if inside or here.is_file():
        source = here.relative_to(base).as_posix() if inside else f"data/{here.name}"
        if here.exists() and _GLOB.search(source):
            raise UsageError(f"`{source}` reads as a pattern", hint="rename it without any of * ? [ ]")
        return source, {} if inside else {base / source: here}
    top = Path(os.path.commonpath([os.path.abspath(f.parent) for f in files]))
    copies = {folder / "data" / dataset / Path(os.path.abspath(f)).relative_to(top): f for f in files}
    return f"data/{dataset}/**/*{files[0].suffix}", copies


def _tests(folder: Path, module: str) -> str:
    """The folder for the tests: one that holds no tests of others, which the model would be held to."""
    ours = {f"test_{module}.py", "__pycache__"}
    free = (name for name in ("tests", f"{module}_tests") if {p.name for p in _listed(folder / name)} <= ours)
    if name := next(free, None):
        return name
    hint = "start in a folder of its own"
    raise UsageError(f"`tests` and `{module}_tests` hold files of others", where=str(folder), hint=hint)


def _listed(folder: Path) -> list[Path]:
    """What is in a folder, apart from what a killed call left half written."""
    found = folder.iterdir() if folder.is_dir() else [folder] if folder.exists() else []
    return [path for path in found if not is_part(path.name)]


def _copy(origin: Path, target: IO[bytes]) -> None:
    with origin.open("rb") as content:
        shutil.copyfileobj(content, target, 1 << 20)


def _refuse_overwriting(texts: dict[Path, str], copies: dict[Path, Path], folder: Path) -> None:
    """Only what a killed call may have left, which is the same to the letter, is written again."""
    found = [p for p, text in texts.items() if p.exists() and (p.name == FILE or p.read_bytes() != text.encode())]
    found += [p for p, origin in copies.items() if p.exists() and digest_file(p) != digest_file(origin)]
    if found:
        names = ", ".join(f"`{p.relative_to(folder).as_posix()}`" for p in sorted(found))
        raise UsageError(
            f"{names} would be overwritten", where=str(folder), hint="move it away, or start in another folder"
        )


def _identifier(text: str) -> str:
    """The text as a name that Python takes."""
    plain = re.sub(r"\W+", "_", text.lower(), flags=re.ASCII).strip("_") or "data"
    if plain[0].isdigit():
        return f"data_{plain}"
    return f"{plain}_" if keyword.iskeyword(plain) else plain
