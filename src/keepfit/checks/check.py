"""May this ship? Data, code, model and package held against the plan; the answer is a fact."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from keepfit.checks.code import check_code, code_under_test
from keepfit.checks.data import check_data
from keepfit.checks.gate import Verdict, record_verdict, verdict_of
from keepfit.checks.model import check_model, code_of_checks
from keepfit.checks.package import check_package
from keepfit.checks.requirement import CheckSettings
from keepfit.home import Home
from keepfit.ledger import Fact
from keepfit.ledger.fact import fact_id
from keepfit.runs.execute import keep_environment
from keepfit.runs.run import Run, find_run


def check(home: Home, package: Fact, settings: CheckSettings, *, champion: str | None) -> Verdict:
    """The verdict on a package and the model in it; `champion` is the archive it must not be worse than, if any.

    What takes a process of its own (the user's tests, the champion's answers, the trial of the
    package) runs side by side. The same package against the same champion, demands, checks and
    environment has one verdict, however often it is asked for.
    """
    run = find_run(home, package.refs["run"])
    tests, checks = code_under_test(home, run, settings), code_of_checks(home, settings)
    key = _key(home, package, run, settings, tests, checks, champion)
    known = find_verdict(home, key)
    if known and known.final:
        return known
    with ThreadPoolExecutor(3) as side_by_side:
        code = side_by_side.submit(check_code, home, run, settings, tests)
        trial = side_by_side.submit(check_package, home, package, settings, champion=champion)
        model = side_by_side.submit(check_model, home, run, settings, code=checks, champion=champion)
        gates = [*check_data(home, run), *code.result(), *model.result(), *trial.result()]
    refs = {"package": package.id, "model": package.refs["model"], "run": run.id}
    if known:
        key = [*key, known.id]
    return record_verdict(home, package, gates, key=key, refs=refs | ({"champion": champion} if champion else {}))


def would_repeat(home: Home, package: Fact, settings: CheckSettings, *, champion: str | None) -> bool:
    """Whether the verdict on a package is known, so that to check it would find nothing new."""
    run = find_run(home, package.refs["run"])
    tests, checks = code_under_test(home, run, settings), code_of_checks(home, settings)
    known = find_verdict(home, _key(home, package, run, settings, tests, checks, champion))
    return known is not None and known.final


def _key(
    home: Home,
    package: Fact,
    run: Run,
    settings: CheckSettings,
    tests: dict[str, str],
    checks: dict[str, str],
    champion: str | None,
) -> list[object]:
    environment = keep_environment(home, {**run.code, **tests, **checks})
    return [package.refs["package"], champion, settings, tests, checks, environment]


def find_verdict(home: Home, key: list[object]) -> Verdict | None:
    """The newest verdict given for this key; those that only failed by the clock are followed by others."""
    found, at = None, key
    while fact := home.ledger.get(fact_id("verdict", at)):
        found = verdict_of(fact)
        at = [*key, found.id]
    return found
