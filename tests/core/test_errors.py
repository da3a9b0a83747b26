import inspect

import pytest

from keepfit.core import errors
from keepfit.core.errors import KeepfitError, UsageError, did_you_mean

CLASSES = [thing for _, thing in inspect.getmembers(errors, inspect.isclass) if issubclass(thing, KeepfitError)]


def test_an_error_says_what_where_and_what_helps() -> None:
    problem = UsageError("`trian` is no command", where="keepfit.toml:3:1", hint="keepfit train")
    assert str(problem) == "error[usage]: `trian` is no command\n  at keepfit.toml:3:1\n\nhint: keepfit train"
    assert str(UsageError("no")) == "error[usage]: no"


def test_every_class_of_error_has_a_code_of_its_own() -> None:
    codes = [error.code for error in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(error.exit_code > 0 for error in CLASSES)


def test_the_tree_in_the_docstring_names_every_class() -> None:
    words = (errors.__doc__ or "").split()
    assert [error.__name__ for error in CLASSES if error.__name__ not in words] == []


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("trian", ["train", "tune", "check"], "did you mean `train`?"),
        ("carier", ["carrier", "carriers"], "did you mean `carrier` or `carriers`?"),
        ("zzz", ["b", "a", "a"], "known: `a`, `b`"),
        ("churned", ["churned\r"], r"did you mean `churned\r`?"),
        ("zzz", [], None),
        ("zzz", [f"name{n}" for n in range(21)], None),
    ],
)
def test_did_you_mean_names_the_nearest(word: str, known: list[str], hint: str | None) -> None:
    assert did_you_mean(word, known) == hint
