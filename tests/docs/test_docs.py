"""What the documents promise is held against the code."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from keepfit.cli import VERBS
from keepfit.core import errors

ROOT = Path(__file__).parents[2]


def test_generated_pages_are_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec and spec.loader
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for name, text in generate.pages().items():
        assert (ROOT / "docs" / name).read_text() == text, "run: python docs/generate.py"


def all_errors(kind: type[errors.KeepfitError] = errors.KeepfitError) -> list[type[errors.KeepfitError]]:
    return [kind, *(e for sub in kind.__subclasses__() for e in all_errors(sub))]


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.code)
def test_every_error_has_a_section(kind: type[errors.KeepfitError]) -> None:
    assert f"\n## {kind.code}\n" in (ROOT / "docs" / "errors.md").read_text()


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))])
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
        if not target.startswith("http"):
            assert (ROOT / page).parent.joinpath(target).exists(), f"{page} links to {target}"


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md", "docs/errors.md"])
def test_commands_in_the_documents_exist(page: str) -> None:
    for verb in re.findall(r"`(?:keepfit|\./dev run) ([a-z][a-z-]+)", (ROOT / page).read_text()):
        assert verb in VERBS, f"{page} speaks of keepfit {verb}"


def test_the_folder_listing_of_the_architecture_is_the_real_one() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    listing = text[text.index("src/keepfit/\n") : text.index("## The narrow waist")]
    package = ROOT / "src" / "keepfit"
    real = {p.name for p in package.iterdir() if p.is_dir() and (p / "__init__.py").exists()}
    real |= {p.name for p in package.glob("*.py") if not p.name.startswith("__")}
    told = set(re.findall(r"\b([a-z]+)/", listing)) | set(re.findall(r"\b([a-z]+\.py)\b", listing))
    assert real <= told, f"not told of: {sorted(real - told)}"
