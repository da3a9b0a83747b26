from keepfit.testing.ledger import LedgerSuite


class TestSqlite(LedgerSuite):
    url = "sqlite:ledger.db"
