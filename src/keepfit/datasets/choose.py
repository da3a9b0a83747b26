"""From the user's words to sources: a dataset by its name, anything else by its path."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from keepfit.core.errors import DataError, NotFound, UsageError, did_you_mean
from keepfit.datasets.dataset import Dataset
from keepfit.datasets.source import Source, path_source, source_of
from keepfit.datasets.version import newest_version, versioned
from keepfit.datasets.walk import shown, walk
from keepfit.home import Home


class Chosen(NamedTuple):
    """What a command is about."""

    source: Source
    dataset: Dataset | None


def choose(
    home: Home, datasets: Sequence[Dataset], words: Sequence[str], *, all_versioned: bool = False
) -> list[Chosen]:
    """What the words mean, each once; without words every dataset, with `all_versioned` also what else has versions.

    A path is taken from the working folder, else from the project's; one whose files all belong to a
    dataset means the dataset. Raises NotFound for a word that means nothing here, DataError for a
    path outside the project.
    """
    if words:
        found = [_choose_one(home, datasets, word) for word in words]
    else:
        found = [Chosen(source_of(home.root, d), d) for d in datasets]
        names = {d.name for d in datasets}
        found += [_versioned(home, n) for n in versioned(home) if all_versioned and n not in names]
    return list({chosen.source.name: chosen for chosen in found}.values())


def _choose_one(home: Home, datasets: Sequence[Dataset], word: str) -> Chosen:
    for dataset in datasets:
        if dataset.name == word:
            return Chosen(source_of(home.root, dataset), dataset)
    if newest_version(home, word):
        return _versioned(home, word)
    path = _path(home.root, word)
    if path is None:
        known = [*(d.name for d in datasets), *versioned(home)]
        raise NotFound(f"there is no dataset and no file `{shown(word)}`", hint=did_you_mean(word, known))
    source = path_source(home.root, path)
    for dataset in datasets:
        place = source_of(home.root, dataset)
        if not dataset.query and _belongs(home.root, source, place):
            return Chosen(place, dataset)
    if path in {d.name for d in datasets}:
        raise UsageError(f"`{path}` is the name of a dataset as well", hint=f"move the folder, or rename [data.{path}]")
    return Chosen(source, None)


def _versioned(home: Home, name: str) -> Chosen:
    version = newest_version(home, name)
    if version is None:
        raise NotFound(f"`{name}` has no version", hint=f"keepfit data add {name}")
    return Chosen(version.source, None)


def _path(root: Path, word: str) -> str | None:
    """The path from the project's folder that a word means from the working folder, else from the project's."""
    for place in (os.path.abspath(word), os.path.normpath(root / word)):
        if os.path.lexists(place) or glob.glob(place, recursive=True):
            path = os.path.relpath(place, root)
            if path == ".." or path.startswith("../"):
                hint = "copy it below the project"
                raise DataError(f"`{shown(word)}` is outside the project", where=str(root), hint=hint)
            return path
    return None


def _belongs(root: Path, source: Source, place: Source) -> bool:
    """Whether all files of a source are files of another; where they cannot be, nothing is walked."""
    if place.base and not f"{source.base}/".startswith(f"{place.base}/"):
        return False
    files = _paths(root, source)
    return bool(files) and files <= _paths(root, place)


def _paths(root: Path, source: Source) -> set[str]:
    return set(walk(root, source).paths(f"{source.base}/" if source.base else ""))
