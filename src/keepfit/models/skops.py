"""scikit-learn models as skops files with stable bytes: no code runs on load, equal models give equal files."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Sequence
from typing import Any

from keepfit.core.errors import PackageError, UserCodeError

_PLAIN = re.compile(r"(sklearn|numpy|scipy|builtins|collections)\.|functools\.partial$")
_THREADS = {"n_jobs": "null", "n_threads": "1"}
"""How many threads a model was made with is not written; it answers with one. A forest adds up the answers of its trees
in the order in which they come: with several threads, the last bits would be chance."""
_EPOCH = (1980, 1, 1, 0, 0, 0)


def takes(model: object) -> bool:
    """Whether it may be scikit-learn's: whatever no other format takes."""
    return True


def dump(model: object, trust: Sequence[str]) -> bytes:
    """The model as bytes; UserCodeError when it holds a class that is neither scikit-learn's nor trusted.

    skops names members after object ids and stamps them with the clock; both are replaced by
    what repeats, so that equal models have equal bytes in every process.
    """
    io_ = _skops()
    try:
        raw = io_.dumps(model)
    except Exception as problem:
        raise UserCodeError(
            f"the fitted {type(model).__name__} cannot be saved: {problem}",
            hint="give back a scikit-learn estimator or Pipeline from your fit function",
        ) from problem
    content = _canonical(raw)
    strange = _untrusted(content, trust)
    if strange:
        raise UserCodeError(
            f"the fitted model holds `{strange[0]}`, which is not scikit-learn's",
            hint=f'if you trust it, write trust = ["{strange[0]}"] under [train] in keepfit.toml',
        )
    return content


def load(content: bytes, trust: Sequence[str]) -> Any:
    """The model; PackageError for damaged bytes, or for a class that is neither scikit-learn's nor trusted."""
    io_ = _skops()
    try:
        strange = _untrusted(content, trust)
        if not strange:
            return io_.loads(content, trusted=io_.get_untrusted_types(data=content))
    except Exception as problem:
        raise PackageError(f"the model cannot be loaded: {problem}") from problem
    raise PackageError(f"the model holds `{strange[0]}`, which it may not")


def _untrusted(content: bytes, trust: Sequence[str]) -> list[str]:
    types = _skops().get_untrusted_types(data=content)
    return [t for t in types if not _PLAIN.match(t) and t not in trust]


def _canonical(raw: bytes) -> bytes:
    source = zipfile.ZipFile(io.BytesIO(raw))
    schema = json.loads(source.read("schema.json"))
    ids: dict[int, int] = {}
    files: dict[str, str] = {}
    _renumber(schema, ids, files)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as target:
        target.writestr(zipfile.ZipInfo("schema.json", _EPOCH), json.dumps(schema, separators=(",", ":")))
        for old, new in files.items():
            target.writestr(zipfile.ZipInfo(new, _EPOCH), source.read(old))
    return out.getvalue()


def _renumber(node: Any, ids: dict[int, int], files: dict[str, str]) -> None:
    """Replace object ids by their order of appearance, and member names likewise."""
    if isinstance(node, list):
        for item in node:
            _renumber(item, ids, files)
    elif isinstance(node, dict):
        if isinstance(node.get("__id__"), int):
            own = -len(ids) - 1  # whether two equal numbers or texts are one object is the interpreter's affair
            old = own if node.get("__loader__") == "JsonNode" else node["__id__"]
            node["__id__"] = ids.setdefault(old, len(ids) + 1)
        if isinstance(node.get("file"), str):
            name = node["file"]
            node["file"] = files.setdefault(name, f"{len(files) + 1}.{name.rpartition('.')[2]}")
        for key, value in node.items():
            if key in _THREADS and isinstance(value, dict) and value.get("__loader__") == "JsonNode":
                value["content"] = _THREADS[key]
            _renumber(value, ids, files)


def _skops() -> Any:
    try:
        import skops.io as io_
    except ImportError as problem:
        raise UserCodeError("scikit-learn models need skops", hint="pip install 'keepfit[sklearn]'") from problem
    return io_
