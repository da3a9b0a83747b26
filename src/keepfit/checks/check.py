"""May this model ship? Data, code and model held against the plan; the answer is a fact."""

from __future__ import annotations

from keepfit.checks.code import check_code
from keepfit.checks.data import check_data
from keepfit.checks.gate import Verdict, record_verdict, verdict_of
from keepfit.checks.model import check_model
from keepfit.checks.requirement import CheckSettings
from keepfit.home import Home
from keepfit.ledger.fact import fact_id
from keepfit.models.model import ModelVersion
from keepfit.runs.run import find_run


def check(
    home: Home,
    model: ModelVersion,
    settings: CheckSettings,
    *,
    champion: str | None,
) -> Verdict:
    """The verdict on a model version, against the champion's package if there is one.

    The same model against the same champion and demands has one verdict, however often it is asked for.
    """
    key = ["model", model.id, champion, settings]
    if known := home.ledger.get(fact_id("verdict", key)):
        return verdict_of(known)
    run = find_run(home, model.run)
    gates = check_data(home, run)
    if settings.tests:
        references = [r for r in (run.spec["fit"], run.spec["features"]) if r]
        gates.append(check_code(home, run.subject, settings.tests, references))
    gates += check_model(home, run, settings, champion=champion)
    return record_verdict(
        home,
        model.id,
        gates,
        key=key,
        refs={"model": model.id, "run": run.id, **({"champion": champion} if champion else {})},
        stage="model",
    )
