"""Conformance suites: what every ledger, store of objects and engine must pass.

A backend proves itself with a subclass, collected by pytest; its address is all it tells:

    from keepfit.testing.ledger import LedgerSuite

    class TestSqlite(LedgerSuite):
        url = "sqlite:ledger.db"

The suites need `pytest` and `hypothesis`.
"""

import sys

if pytest := sys.modules.get("pytest"):
    pytest.register_assert_rewrite(*(f"{__name__}.{suite}" for suite in ("engine", "ledger", "objects")))
