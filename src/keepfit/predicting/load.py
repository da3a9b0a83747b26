"""A model into this process, by its name or from a package file."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from keepfit.core.errors import KeepfitError, NotFound, ProjectError, StoreError
from keepfit.core.files import write_folder
from keepfit.home import FOLDER, Home
from keepfit.packages.package import Manifest
from keepfit.packages.unpack import lay_out, verified
from keepfit.predicting.model import Model
from keepfit.predicting.packaged import Packaged, for_now, packaged, pinned_champion
from keepfit.project import Project, find_root, home, load_leniently
from keepfit.serving.records import Records
from keepfit.serving.rows import refresh

_logger = logging.getLogger("keepfit")


def load(
    model: str | os.PathLike[str], *, project: str | os.PathLike[str] | None = None, trust: str | None = None
) -> Model:
    """The model `delay` (the champion), `delay@7`, `delay@challenger` or of a package file, ready to predict.

    The project is looked for in the folder `project`, by default the current one, and above it. A package
    file is believed when the project does so, or when the id of the key it is signed with is `trust`:
    then no project is needed. Signature and digests are checked before any of the package's code runs.

    The champion is also had while ledger and objects are away, if the endpoint has pinned it here.

    Raises NotFound for a name that nothing goes by, ProjectError when there is no project, PackageError
    for a package that is damaged, not trusted, or does not repeat its golden rows bit for bit here.
    """
    file = Path(model)
    if not isinstance(model, str) or os.sep in model or file.is_file():
        return _of_file(file, Path(project or "."), trust)
    found, _ = load_leniently(find_root(Path(project or ".")))
    try:
        laid = _stored(found, model)
    except StoreError:  # as the endpoint, which goes on with what it has pinned
        kept = pinned_champion(found.root / FOLDER, found.name, model)
        if kept is None:
            raise
        laid = kept
    return Model(laid.folder, laid.manifest, _records(found.root))


def _stored(project: Project, model: str) -> Packaged:
    stores = home(project)
    try:
        found = packaged(stores, project.name, model)
        _refresh(stores, found.manifest)
        return found
    finally:
        stores.ledger.close()


def _of_file(file: Path, start: Path, trust: str | None) -> Model:
    try:
        archive = file.read_bytes()
    except OSError as problem:
        raise NotFound(f"`{file}` cannot be read: {problem.strerror}", hint="keepfit package --out FILE") from problem
    place = for_now()
    try:
        root = find_root(start)
    except ProjectError:
        if trust is None:
            raise ProjectError(
                f"without a project nobody says whether `{file}` can be trusted",
                hint='load(file, trust="the id of the key it is signed with"), or load(file, project="folder")',
            ) from None
        root = place
    members, manifest = verified(archive, root / FOLDER / "key", trust=trust)
    if manifest.sides and root == place:
        raise ProjectError(
            f"`{manifest.model}` joins rows of `{manifest.sides[0].name}`, which a project has",
            hint='load(file, project="folder")',
        )
    write_folder(place / "package", lambda part: lay_out(members, manifest, part))
    return Model(place / "package", manifest, _records(root))


def _records(root: Path) -> Records:
    return Records(root / FOLDER / "serving" / "records.db")


def _refresh(stores: Home, manifest: Manifest) -> None:
    """Have the newest rows of side datasets where the endpoint has them; as there, what is known already will do."""
    try:
        refresh(stores, manifest.sides)
    except KeepfitError as problem:
        _logger.warning("side datasets cannot be read: %s", problem.message)
