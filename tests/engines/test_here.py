from pathlib import Path

import pytest

from keepfit.core.errors import StoreError
from keepfit.engines import Here, Step
from keepfit.testing.engine import EngineSuite


class TestHere(EngineSuite):
    engine = "keepfit.engines:Here"
