"""keepfit.toml: what is right loads, and everything that is wrong is told with its place."""

from __future__ import annotations

import os
import re
import tempfile
import textwrap
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keepfit.demo
from keepfit.core.errors import ProjectError
from keepfit.project import Project, check_project, find_root, load_leniently, load_project
from keepfit.runs.training import Range

TOML = """\
model = "delay"

[data.flights]
from      = "data/flights/*.parquet"
departure = { type = "timestamp", role = "event time" }
carrier   = { type = "category", at_most = 40 }
origin    = { type = "category", missing = 0 }
distance  = { type = "number", at_least = 0 }
late      = { type = "bool", role = "label", known_after = "24h" }
fresh     = "2d"

[data.weather]
from     = "data/weather.csv"
observed = { type = "timestamp", role = "event time" }
origin   = { type = "text", role = "key" }
wind     = { type = "number" }

[train]
features = "flights:features"
fit = "flights:train"
window = "60d"
test = "last 14d"
seed = 7
parameters = { rate = 0.1 }

[check]
auc = { at_least = 0.65, versus_champion = -0.002 }
brier = { better_than = "base rate" }
p99 = { at_most = "20ms" }
slices = { by = ["carrier", "origin"], auc = { at_least = 0.55 } }
also = ["flights:fair"]

[release]
automatic = false

[serve]
port = 0

[watch]
alarms = "1 per 1000 windows"

[retrain]
when = ["performance", "every 30d"]
"""
CODE = """\
import polars as pl

def features(flights: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    return flights

def train(X, y, seed: int, rate: float, depth: int = 6):
    raise RuntimeError("must not be run")

def fair(test) -> bool:
    return True

raise RuntimeError("must not be imported")
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "keepfit.toml").write_text(TOML)
    (tmp_path / "flights.py").write_text(CODE)
    return tmp_path


def problems(root: Path, *changes: tuple[str, str], code: str | None = None) -> str:
    """What loading says after these replacements in the file."""
    text = TOML
    for old, new in changes:
        assert text.count(old) >= 1, old
        text = text.replace(old, new, 1)
    (root / "keepfit.toml").write_text(text)
    if code is not None:
        (root / "flights.py").write_text(textwrap.dedent(code))
    with pytest.raises(ProjectError) as caught:
        load_project(root)
    return str(caught.value)


def test_a_project_that_fits_together_loads(root: Path) -> None:
    project = load_project(root)
    assert project.name == "delay"
    assert project.task == "binary"
    assert project.main.name == "flights"
    assert [d.name for d in project.sides] == ["weather"]
    assert list(project.main.columns) == ["departure", "carrier", "origin", "distance", "late"]
    assert project.main.label_delay == timedelta(hours=24)
    assert project.train.parameters == {"rate": 0.1}
    assert not project.release.automatic
    assert (project.ledger, project.objects) == ("sqlite:.keepfit/ledger.db", "folder:.keepfit/objects")
    check_project(project)


def test_little_need_be_said(tmp_path: Path) -> None:
    columns = 'x = { type = "number" }\ny = { type = "number", role = "label" }'
    text = f'model = "m"\n[data.d]\nfrom = "d.csv"\n{columns}\n[train]\nfit = "m:fit"\n'
    (tmp_path / "keepfit.toml").write_text(text)
    (tmp_path / "m.py").write_text("def fit(X, y): ...")
    project = load_project(tmp_path)
    built = Project(root=tmp_path, name="m", datasets=project.datasets, train=project.train)
    assert project == built
    assert (project.task, project.serve.port, project.release.automatic) == ("regression", 8080, True)


def test_the_demo_is_a_project_that_fits_together() -> None:
    assert load_project(Path(keepfit.demo.__file__).parent / "flights").task == "binary"


@pytest.mark.parametrize(("kind", "task"), [("category", "multiclass"), ("integer", "regression")])
def test_the_type_of_the_label_decides_the_task(root: Path, kind: str, task: str) -> None:
    metric = "accuracy" if task == "multiclass" else "r2"
    text = TOML.replace('type = "bool"', f'type = "{kind}"').replace("auc", metric).replace("brier", metric + " # ")
    (root / "keepfit.toml").write_text(text.replace(f"{metric} # ", "# "))
    assert load_project(root).task == task


def test_one_problem_is_told_with_place_and_hint(root: Path) -> None:
    told = problems(root, ('carrier   = { type = "category"', 'carrier   = { type = "catgory"'))
    assert told == "\n".join(
        [
            "error[project]: `type` cannot be `catgory`",
            "  at keepfit.toml:6:15",
            "",
            "hint: did you mean `category`?",
        ]
    )


def test_every_problem_is_told_in_the_order_of_the_file(root: Path) -> None:
    told = problems(
        root,
        ('"24h"', '"24 hours"'),
        ('"flights:train"', '"flights:trian"'),
        ("[watch]", "[wacth]"),
        ("port = 0", 'port = "8080"'),
    )
    assert told.splitlines() == [
        "error[project]: 4 problems",
        "  keepfit.toml:9:46: `24 hours` is not a duration (write a number and a unit: 20ms, 30s, 15m, 24h, 60d, 2w)",
        "  keepfit.toml:20:1: `flights.py` has no function `trian` (did you mean `train`?)",
        '  keepfit.toml:37:1: `port` must be a whole number, not `"8080"`',
        "  keepfit.toml:39:2: `wacth` is not known (did you mean `watch`?)",
    ]


@pytest.mark.parametrize(
    ("old", "new", "at", "words"),
    [
        ("[check]", "[chekc]", "chekc]", "did you mean `check`?"),
        ("seed = 7", "sead = 7", "sead = 7", "`sead` is not known in [train]"),
        ('role = "label"', 'role = "labl"', 'role = "labl"', "did you mean `label`?"),
        ("brier =", "breir =", "breir =", "did you mean `brier`?"),
        ("at_most = 40", "at_mots = 40", "at_mots =", "did you mean `at_most`?"),
        ("seed = 7", "seed = 7.5", "seed = 7.5", "`seed` must be a whole number, not `7.5`"),
        ("seed = 7", "seed = -1", "seed = -1", "the seed `-1` is not between"),
        ("at_least = 0.65", 'at_least = "high"', 'at_least = "high"', '`at_least` must be a number, not `"high"`'),
        ("at_least = 0.65", "at_least = nan", "at_least = nan", "`at_least` must be a number"),
        ('also = ["flights:fair"]', 'also = "flights:fair"', "also =", "`also` must be a list"),
        ('["carrier", "origin"]', '["carrier", 3]', "3]", "`by` must be text in quotes, not `3`"),
        ("automatic = false", 'automatic = "no"', "automatic", "`automatic` must be true or false"),
        ("automatic = false", 'stages = ["shadow 1h", "canary 1h"]', '"canary 1h"', "does not say which share"),
        ("automatic = false", 'stages = ["shdow 1h"]', '"shdow 1h"', "`shdow 1h` is no stage of a release"),
        ("automatic = false", 'stages = ["canary 5% soon"]', '"canary', "`soon` is not a duration"),
        ("automatic = false", 'stages = ["canary 5% 1h", "canary 1% 1h"]', '"canary 1%', "asks no less"),
        ("automatic = false", 'key = "carier"', "key", "did you mean `carrier`?"),
        ("automatic = false", 'blocks = "day"', "blocks", "`day` is not a duration"),
        ("automatic = false", "approvals = -1", "approvals", "`-1` people cannot approve"),
        ("automatic = false", 'approvals = "ana"', "approvals", "`approvals` must be a whole number or a table"),
        ("automatic = false", "approvals = { cuont = 1 }", "cuont", "did you mean `count`?"),
        ("automatic = false", 'approvals = { count = 2, by = ["ana"] }', "approvals", "cannot give 2 approvals"),
        ('late      = { type = "bool"', 'fresher = "2d"\nlate = { type = "bool"', "fresher", "did you mean `fresh`?"),
        ('late      = { type = "bool"', 'age = "text"\nlate = { type = "bool"', "age", 'write age = { type = "text" }'),
        ('late      = { type = "bool", ', "late = { ", "late", "`type` is missing in [data.flights.late]"),
        ('from      = "data/flights/*.parquet"', "", "flights]", "`from` is missing in [data.flights]"),
        ('fresh     = "2d"', 'fresh = { type = "text" }', "fresh", "rename the column"),
        ('fresh     = "2d"', 'fresh = "two days"', "fresh", "is not a duration"),
        ('fresh     = "2d"', 'fresh = "99999999999d"', "fresh", "longer than time"),
        ("data/flights/*.parquet", "../flights.csv", "from", "outside the project"),
        ("data/flights/*.parquet", "/data/flights.csv", "from", "outside the project"),
        ("data/flights/*.parquet", "data/**.parquet", "from", "`**` must stand alone"),
        (', role = "label", known_after = "24h"', "", "data.flights]", "no column is the label"),
        ("at_most = 40 }", 'role = "label" }', "late", "`late` is a second label beside `flights.carrier`"),
        (
            'type = "bool", role',
            'type = "timestamp", role',
            'type = "timestamp"',
            "the label `late` cannot be a timestamp",
        ),
        ('departure = { type = "timestamp"', 'departure = { type = "date"', 'type = "date"', "must be a timestamp"),
        ("missing = 0 }", "missing = 5 }", "missing = 5", "share from 0 to 1"),
        ("at_least = 0 }", "at_least = 0, at_most = -1 }", "at_most = -1", "`at_least` is 0, but `at_most` is -1"),
        ('"bool", role', '"bool", at_most = 1, role', "at_most = 1", "`at_most` means nothing for a bool"),
        ('"last 14d"', '"14d"', "test =", "is not a test period"),
        ('"last 14d"', '"last 120%"', "test =", "leaves nothing to train"),
        ('"last 14d"', '"last 60d"', "test =", "leaves nothing of the window"),
        ('"last 14d"', '"last 0d"', "test =", "no time at all"),
        ('"60d"', '"60 days"', "window", "is not a duration"),
        ('["carrier", "origin"]', '["carrier", "orign"]', '"orign"]', "did you mean `origin`?"),
        ('["carrier", "origin"]', '["late"]', '"late"]', "`late` is not an input"),
        ("auc = { at_least = 0.65", "rmse = { at_most = 0.65", "rmse", "`rmse` does not fit a binary model"),
        ('"base rate"', '"base rat"', "better_than", 'write better_than = "base rate"'),
        ('"20ms"', '"quick"', 'at_most = "quick"', "is not a duration"),
        ('also = ["flights:fair"]', 'tests = "test"', "tests", "there is no folder `test`"),
        ('"1 per 1000 windows"', '"few"', "alarms", "is not an alarm budget"),
        ('"every 30d"', '"every month"', '"every month"', "is not a duration"),
        ('"performance"', '"performence"', '"performence"', "did you mean `performance`?"),
        ('when = ["performance"', 'at_most = "often"\nwhen = ["performance"', 'at_most = "often"', "is not a pace"),
        ("port = 0", "port = 70000", "port", "is not between 0 and 65535"),
        ("port = 0", "max_rows = 0", "max_rows", "must be at least 1"),
        ('origin   = { type = "text"', 'orgin = { type = "text"', "orgin", "did you mean `origin`?"),
        ('origin   = { type = "text"', 'origin = { type = "integer"', 'type = "integer"', "declare both alike"),
        ("[data.weather]", "[data.my-weather]", "my-weather]", "no name for a dataset"),
        ('"flights:fair"', '"flights.fair"', '"flights.fair"', 'write "module:function"'),
        ('"flights:fair"', '"flihgts:fair"', '"flihgts:fair"', "did you mean `flights`?"),
        ("rate = 0.1", "rate = 0.1, dept = 3", "dept", "did you mean `depth`?"),
        ("rate = 0.1", "rate = 0.1, seed = 3", "seed = 3", "write seed under [train]"),
        ('model = "delay"', 'model = "a/b"', "model", "no name for a model"),
        ('model = "delay"', "", "", "`model` is missing"),
        ('model = "delay"', "model = ", "", "is not TOML"),
    ],
)
def test_what_is_wrong_is_told_where_it_is(root: Path, old: str, new: str, at: str, words: str) -> None:
    told = problems(root, (old, new))
    assert words in told
    ((line, column),) = re.findall(r"keepfit\.toml:(\d+):(\d+)", told)
    assert (root / "keepfit.toml").read_text().splitlines()[int(line) - 1][int(column) - 1 :].startswith(at)


VALUES = [i.span() for i in re.finditer(r"(?<== )(?:\"[^\"]*\"|[\d.-]+|\[[^\]\n]*\]|\{[^}\n]*\}|true|false)", TOML)]
STRANGE = ["-1", "0", "1e400", "nan", "99999999999999999999", '""', '"x"', '"every "', '"last "', '"1 per 0d"', "true"]
STRANGE += ["[]", "{}", "[[1]]", '["", "a:b"]', "1979-05-27", '{ type = "text" }', '{ role = "key" }', '"**"', '":"']


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(VALUES), st.sampled_from(STRANGE)), min_size=1, max_size=3))
def test_whatever_is_written_either_loads_or_is_told_with_its_place(changes: list[tuple[tuple[int, int], str]]) -> None:
    text = TOML
    for (start, end), value in sorted(dict(changes).items(), reverse=True):
        text = text[:start] + value + text[end:]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "keepfit.toml").write_text(text)
        (Path(folder) / "flights.py").write_text(CODE)
        try:
            load_project(Path(folder))
        except ProjectError as problem:
            told = str(problem)
            assert re.search(r"(keepfit\.toml|flights\.py):\d+:\d+", told)


def test_missing_sections_are_named(root: Path) -> None:
    (root / "keepfit.toml").write_text('model = "delay"\n')
    with pytest.raises(ProjectError) as caught:
        load_project(root)
    assert "there is no [data.NAME] section" in str(caught.value)
    assert "there is no [train] section" in str(caught.value)


def test_durations_need_an_event_time(root: Path) -> None:
    told = problems(root, (', role = "event time"', ""))
    for words in ("`window` is a duration", "`test` is a duration", "`fresh` needs", "`weather` has an event time"):
        assert words in told
    assert "`known_after` needs an event time" in told


def test_what_follows_from_a_broken_section_is_not_told(root: Path) -> None:
    told = problems(root, ('late      = { type = "bool"', 'late = { type = "boolean"'))
    assert told.count("keepfit.toml:") == 1


@pytest.mark.parametrize(
    ("code", "place", "words"),
    [
        ("def features(flights, wether): ...", "flights.py:1:23", "did you mean `weather`?"),
        ("def features(weather): ...", "flights.py:1:1", "does not take the main dataset `flights`"),
        ("def features(flights, /): ...", "flights.py:1:14", "by position only"),
        ("def train(X, y, rate, depth): ...", "flights.py:1:23", "`depth`, which nothing gives"),
        ("def train(y, rate): ...", "flights.py:1:1", "does not take `X`"),
        ("def train(X, y, **more): ...", "keepfit.toml:24:16", "takes no `rate`"),
        ("def fair(test, extra): ...", "flights.py:1:1", "must take one parameter"),
        ("def fair(): ...", "flights.py:1:1", "must take one parameter"),
        ("fair = 1", "flights.py:1:1", "is not a function written with `def`"),
        ("async def train(X, y, rate): ...", "flights.py:1:1", "is not a function written with `def`"),
        ("def train(X, y:", "flights.py:1:", "is not Python"),
    ],
)
def test_functions_must_take_what_they_can_be_given(root: Path, code: str, place: str, words: str) -> None:
    name = code.removeprefix("async ").removeprefix("def ").partition("(")[0].partition(" ")[0]
    forms = {
        "features": "def features(flights, weather=None): ...",
        "train": "def train(X, y, rate): ...",
        "fair": "def fair(test): ...",
    }
    others = [form for other, form in forms.items() if other != name]
    told = problems(root, ("seed = 7", "seed = 8"), code="\n".join([code, *others]))
    assert words in told
    assert place in told


def test_a_default_makes_a_parameter_free(root: Path) -> None:
    forms = ["features(flights, scale=2)", "train(X, y, rate, *, depth=3)", "fair(test, strict=True)"]
    (root / "flights.py").write_text("\n".join(f"def {form}: ..." for form in forms))
    load_project(root)


def test_the_root_is_found_from_below(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    below = root / "data" / "flights"
    below.mkdir(parents=True)
    assert find_root(below) == root.resolve()
    for look in (find_root, load_project):
        with pytest.raises(ProjectError, match=r"no `keepfit\.toml`") as caught:
            look(tmp_path_factory.mktemp("elsewhere"))
        assert caught.value.hint == "keepfit init DATA.csv"


def test_a_project_built_in_python_is_held_to_the_same_rules(root: Path) -> None:
    good = load_project(root)
    bad = Project(
        root=root, name="delay", datasets=good.datasets, train=type(good.train)(fit="flights:train", window="5 days")
    )
    with pytest.raises(ProjectError) as caught:
        check_project(bad)
    told = str(caught.value)
    assert "train.window: `5 days` is not a duration" in told
    assert "flights.py:6:28: `train` asks for `rate`" in told


def test_a_project_without_main_says_so(root: Path) -> None:
    good = load_project(root)
    with pytest.raises(ProjectError, match="no label"):
        _ = Project(root=root, name="x", datasets=good.sides, train=good.train).main


def test_home_opens_the_stores_for_whoever_acts(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from keepfit.project import home

    project = load_project(root)
    monkeypatch.setenv("KEEPFIT_ACTOR", "ada")
    for actor, expected in ((None, "ada"), ("bo", "bo")):
        place = home(project, actor=actor)
        assert place.actor == expected
        place.ledger.close()
    monkeypatch.delenv("KEEPFIT_ACTOR")
    place = home(project)
    assert place.actor
    assert place.objects.put(b"x")
    assert place.folder.is_dir()
    assert os.listdir(place.folder)
    place.ledger.close()


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        ('"mysql:shop"', "`mysql:shop` is no database that can be asked", "`sqlite`"),
        ('"postgres//h/shop"', "is no database that can be asked", "postgresql://host/shop"),
        ('"sqlit:shop.db"', "`sqlit:shop.db` is no database", "did you mean `sqlite`?"),
        ('"sqlite:"', "names no database", "sqlite:shop.db"),
        ('"$SHOP-DB"', "`$SHOP-DB` is no environment variable", "$SHOP_DATABASE"),
        ('"postgresql://ann:s3cret@h/shop"', "a password does not belong into keepfit.toml", "postgresql://ann@h/shop"),
    ],
)
def test_an_address_of_a_database_is_held_against_what_can_be_asked(
    root: Path, source: str, message: str, hint: str
) -> None:
    query = f'from      = {source}\nquery     = "SELECT 1"'
    told = problems(root, ('from      = "data/flights/*.parquet"', query))
    assert message in told
    assert hint in told
    assert "s3cret" not in told


def test_a_database_needs_a_query(root: Path) -> None:
    told = problems(root, ('"data/flights/*.parquet"', '"postgresql://ann:s3cret@h/shop"'))
    assert "`postgresql://ann@h/shop` is a database, and no `query` says what to read" in told
    told = problems(root, ('"data/flights/*.parquet"', '"sqlite:shop.db"\nquery = " "'))
    assert "`query` asks for nothing" in told


def test_a_dataset_may_come_from_a_database(root: Path) -> None:
    text = TOML.replace('"data/flights/*.parquet"', '"$SHOP_DATABASE"\nquery = "SELECT * FROM flights ORDER BY id"')
    (root / "keepfit.toml").write_text(text)
    main = load_project(root).main
    assert (main.source, main.query) == ("$SHOP_DATABASE", "SELECT * FROM flights ORDER BY id")


TUNE = ("seed = 7", "seed = 7\ntune = { trials = 40, rate = [0.03, 0.3], depth = { from = 1, to = 64, log = true } }")


def test_what_tuning_searches_is_read(root: Path) -> None:
    (root / "keepfit.toml").write_text(TOML.replace(*TUNE))
    tune = load_project(root).train.tune
    assert tune
    assert (tune.trials, tune.sampler) == (40, "tpe")
    assert tune.over == {"rate": [0.03, 0.3], "depth": Range(low=1, high=64, log=True)}


@pytest.mark.parametrize(
    ("old", "new", "place", "told"),
    [
        ("rate =", "rat =", "24:23", "did you mean `rate`?"),
        ("trials =", "trial =", "24:10", "did you mean `trials`?"),
        ("[0.03, 0.3]", "[0.3, 0.03]", "24:23", "the range of `rate` is empty: from 0.3 to 0.03"),
        ("[0.03, 0.3]", "[]", "24:23", "there is nothing to try of `rate`"),
        ("[0.03, 0.3]", "0.3", "24:23", "`rate` must be a list [...] or a table { ... }, not `0.3`"),
        ("log = true", "lag = true", "24:72", "`lag` is not known in [train.tune.depth]"),
        ("from = 1,", "from = 0,", "24:43", "cannot be tried by logarithm from 0"),
        ("trials = 40", "trials = 0", "24:10", "`trials` must be at least 1"),
        ("trials = 40", 'sampler = "tpa"', "24:10", "`sampler` cannot be `tpa`"),
        ("trials = 40", 'metric = "aucc"', "24:10", "did you mean `auc`?"),
        ("trials = 40", 'metric = "cost"', "24:10", 'write better = "higher" or better = "lower"'),
        ("rate =", "seed =", "24:23", "`train` takes no `seed`"),
    ],
)
def test_what_tuning_cannot_search_is_told_with_its_place(
    root: Path, old: str, new: str, place: str, told: str
) -> None:
    text = problems(root, TUNE, (old, new) if old != "rate =" else (f"40, {old}", f"40, {new}"))
    assert f"keepfit.toml:{place}" in text
    assert told in text


def test_log_is_given_like_x_and_y(root: Path) -> None:
    code = CODE.replace("depth: int = 6", "log, depth: int = 6")
    (root / "flights.py").write_text(code)
    load_project(root)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("flights.py", "def train(", "def train(("),
        ("keepfit.toml", 'fit = "flights:train"', 'fit = "flights:trian"'),
        ("keepfit.toml", 'fit = "flights:train"', "fit = 3"),
        ("keepfit.toml", "alarms =", "alrams ="),
        ("keepfit.toml", "port = 8123", "port = 812345"),
        ("keepfit.toml", 'model = "delay"', "model = 5"),
        ("keepfit.toml", "[train]", "[train"),
    ],
)
def test_what_is_broken_is_as_it_was_when_the_project_was_whole(root: Path, file: str, old: str, new: str) -> None:
    (root / "keepfit.toml").write_text(TOML.replace("port = 0", "port = 8123"))
    good, problem = load_leniently(root)
    assert problem is None
    content = (root / file).read_text()
    assert old in content
    (root / file).write_text(content.replace(old, new))
    again, problem = load_leniently(root)
    assert again == good
    with pytest.raises(ProjectError, match=re.escape(problem.message if problem else "there is a problem")):
        load_project(root)
    (root / file).write_text(content)
    assert load_leniently(root) == (good, None)


def test_what_was_never_whole_gives_what_can_be_read(root: Path) -> None:
    (root / "keepfit.toml").write_text('model = "delay"\nledger = "sqlite:other.db"\n[train\n')
    with pytest.raises(ProjectError, match="not TOML"):
        load_leniently(root)
    (root / "keepfit.toml").write_text('model = "delay"\nledger = "sqlite:other.db"\n')
    project, problem = load_leniently(root)
    assert problem
    assert (project.name, project.ledger, project.datasets) == ("delay", "sqlite:other.db", ())
